"""Sessions of Strands in Annals, message by message."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from answering import Answering
from strands import Agent, tool
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from annals_client import NO_RETRIES, ConnectionFailed
from annals_client import Annals as PlainAnnals
from annals_client.integrations.strands import AnnalsSessionManager, AnnalsSessionRepository, StaleSession
from annals_client.testing import Annals

SESSION, AGENT = "trip", "guide"
EVERY_BLOCK: list[Any] = [
    {"text": "Look: 🜁 ünïcode \u0000 and\nlines"},
    {"image": {"format": "png", "source": {"bytes": b"\x89PNG\x00\xff"}}},
    {"document": {"format": "pdf", "name": "plan", "source": {"bytes": b"%PDF-1.7"}, "citations": {"enabled": True}}},
    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://films/a.mp4"}}}},
    {"toolUse": {"toolUseId": "t-1", "name": "book", "input": {"beds": 2, "price": 1.5, "for": None, "with": []}}},
    {
        "toolResult": {
            "toolUseId": "t-1",
            "status": "success",
            "content": [{"json": {"ok": True, "at": [1, 2.5, None]}}, {"image": {"source": {"bytes": b"\x00"}}}],
        }
    },
    {"reasoningContent": {"reasoningText": {"text": "They want two beds.", "signature": "c2ln"}}},
    {"reasoningContent": {"redactedContent": b"\x01\x02"}},
    {"cachePoint": {"type": "default"}},
    {"guardContent": {"text": {"qualifiers": ["query"], "text": "guarded"}}},
    {"citationsContent": {"content": [{"text": "Lisbon"}], "citations": [{"title": "guide", "location": {}}]}},
]


@pytest.fixture
def repository(annals: Annals) -> AnnalsSessionRepository:
    """A repository with a session and an agent, and no message."""
    repository = AnnalsSessionRepository(annals, user_id="ada")
    repository.create_session(Session(SESSION, SessionType.AGENT))
    repository.create_agent(SESSION, SessionAgent(AGENT, {"mood": "calm"}, {"removed_message_count": 0}))
    return repository


def message(index: int, text: str = "", role: Any = "user", **more: Any) -> SessionMessage:
    """A message of a session."""
    said: Any = {"role": role, "content": [{"text": text or f"words {index}"}], **more}
    return SessionMessage.from_message(said, index)


def agent(annals: PlainAnnals, *answers: Any, **options: Any) -> Agent:
    """An agent that goes on with the session."""
    manager = AnnalsSessionManager(SESSION, annals, user_id="ada")
    return Agent(agent_id=AGENT, model=Answering(*answers), session_manager=manager, callback_handler=None, **options)


def texts(messages: Any) -> list[str]:
    """The first texts of messages."""
    return [each["content"][0]["text"] for each in messages]


def test_a_turn_is_two_messages_of_a_conversation_and_is_found_by_search(annals: Annals) -> None:
    agent(annals, "The Alfama, by tram 28.")("Where shall we walk in Lisbon?")
    annals.settle()
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    stored = annals.messages.latest(conversation.conversation_id)
    assert [(each.role, each.content, each.external_id) for each in stored] == [
        ("user", "Where shall we walk in Lisbon?", "guide/0"),
        ("assistant", "The Alfama, by tram 28.", "guide/1"),
    ]
    found = annals.memory.search("tram", memory_space_id="strands", user_id="ada")
    assert "The Alfama, by tram 28." in [each.content for each in found]


def test_a_new_agent_goes_on_where_the_last_one_ended(annals: Annals) -> None:
    first = agent(annals, "One.")
    first.state.set("city", "Lisbon")
    first("Begin.")
    second = agent(annals, "Two.")
    second("Go on.")
    assert second.state.get("city") == "Lisbon"
    assert second.messages[:2] == first.messages
    assert texts(agent(annals).messages) == ["Begin.", "One.", "Go on.", "Two."]


def test_an_agent_of_another_process_goes_on(annals: Annals, annals_environment: None) -> None:
    program = """if True:
        from answering import Answering
        from strands import Agent
        from annals_client.integrations.strands import AnnalsSessionManager
        manager = AnnalsSessionManager("trip", user_id="ada")
        Agent(agent_id="guide", model=Answering("There."), session_manager=manager, callback_handler=None)("Here.")
    """
    agent(annals, "One.")("Begin.")
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)  # noqa: S603 - our own program
    assert texts(agent(annals).messages) == ["Begin.", "One.", "Here.", "There."]


def test_an_agent_that_missed_a_turn_adds_nothing_after_it(annals: Annals) -> None:
    agent(annals, "One.")("Begin.")
    stale, newer = agent(annals, "Old."), agent(annals, "New.")
    newer("Go on.")
    with pytest.raises(StaleSession):
        stale("And I?")
    assert texts(agent(annals).messages) == ["Begin.", "One.", "Go on.", "New."]


def test_a_state_that_was_changed_since_it_was_read_is_not_overwritten(
    annals: Annals, repository: AnnalsSessionRepository
) -> None:
    other = AnnalsSessionRepository(annals, user_id="ada")
    mine, theirs = repository.read_agent(SESSION, AGENT), other.read_agent(SESSION, AGENT)
    assert mine is not None
    assert theirs is not None
    theirs.state = {"mood": "cheerful"}
    other.update_agent(SESSION, theirs)
    mine.state = {"mood": "gloomy"}
    for _ in range(2):
        with pytest.raises(StaleSession):
            repository.update_agent(SESSION, mine)
    read = repository.read_agent(SESSION, AGENT)
    assert read is not None
    assert read.state == {"mood": "cheerful"}


def test_a_state_may_be_updated_again_and_keeps_when_it_was_created(repository: AnnalsSessionRepository) -> None:
    created = repository.read_agent(SESSION, AGENT)
    assert created is not None
    for number in range(3):
        repository.update_agent(SESSION, SessionAgent(AGENT, {"number": number}, {}, {"interrupt_state": {"x": b"1"}}))
    read = repository.read_agent(SESSION, AGENT)
    assert read is not None
    assert (read.state, read._internal_state, read.created_at) == (
        {"number": 2},
        {"interrupt_state": {"x": b"1"}},
        created.created_at,
    )


def test_a_message_that_is_written_again_is_stored_once(repository: AnnalsSessionRepository) -> None:
    written = message(0)
    repository.create_message(SESSION, AGENT, written)
    repository.create_message(SESSION, AGENT, written)
    assert repository.list_messages(SESSION, AGENT) == [written]


def test_another_message_of_the_same_index_is_refused(repository: AnnalsSessionRepository) -> None:
    repository.create_message(SESSION, AGENT, message(0, "first"))
    with pytest.raises(StaleSession):
        repository.create_message(SESSION, AGENT, message(0, "second"))
    assert texts(each.message for each in repository.list_messages(SESSION, AGENT)) == ["first"]


class LosingAnswers(httpx.HTTPTransport):
    """A connection that loses the first answer to each request that stores something."""

    def __init__(self, url: str) -> None:
        super().__init__(uds=url.removeprefix("unix://") if url.startswith("unix:") else None)
        self.lost: set[bytes] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        told = request.method.encode() + request.url.raw_path + request.read()
        if request.method in ("POST", "PUT") and told not in self.lost:
            self.lost.add(told)
            response.read()
            raise httpx.ReadError("the answer was lost", request=request)
        return response


@pytest.fixture
def losing(annals_url: str, annals_key: str) -> Iterator[dict[str, Any]]:
    """What makes a client whose answers are lost."""
    with httpx.Client(transport=LosingAnswers(annals_url)) as http:
        yield {"url": annals_url, "key": annals_key, "http": http}


def test_a_turn_whose_answers_were_lost_is_stored_once(annals: Annals, losing: dict[str, Any]) -> None:
    agent(PlainAnnals(**losing), "One.")("Begin.")
    assert texts(agent(annals).messages) == ["Begin.", "One."]
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    assert len([*annals.messages.list(conversation.conversation_id)]) == 2


def test_what_is_tried_again_by_the_caller_is_stored_once(annals: Annals, losing: dict[str, Any]) -> None:
    repository = AnnalsSessionRepository(PlainAnnals(**losing, retries=NO_RETRIES), user_id="ada")

    def insist(act: Any, *args: Any) -> None:
        with pytest.raises(SessionException) as failure:
            act(*args)
        assert isinstance(failure.value.__cause__, ConnectionFailed)
        act(*args)

    AnnalsSessionRepository(annals, user_id="ada").create_session(Session(SESSION, SessionType.AGENT))
    state = SessionAgent(AGENT, {"n": 1}, {})
    insist(repository.create_agent, SESSION, state)
    insist(repository.update_agent, SESSION, SessionAgent(AGENT, {"n": 2}, {}))
    insist(repository.create_message, SESSION, AGENT, message(0))
    assert len(repository.list_messages(SESSION, AGENT)) == 1


def test_redacted_words_are_gone_from_history_and_search(annals: Annals) -> None:
    guarded = agent(annals, "Hello.")
    guarded("My number is 4711-0815.")
    manager = guarded._session_manager
    assert isinstance(manager, AnnalsSessionManager)
    manager.append_message({"role": "user", "content": [{"text": "It is 4711-0815, really."}]}, guarded)
    manager.redact_latest_message({"role": "user", "content": [{"text": "[blocked]"}]}, guarded)
    annals.settle()
    assert texts(agent(annals).messages) == ["My number is 4711-0815.", "Hello.", "[blocked]"]
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    shown = annals.messages.latest(conversation.conversation_id)
    assert [each.content for each in shown] == ["My number is 4711-0815.", "Hello.", "", "[blocked]"]
    found = annals.memory.search("4711-0815", memory_space_id="strands")
    assert "It is 4711-0815, really." not in [each.content for each in found]
    assert annals.conversations.verify(conversation.conversation_id).valid


def test_a_redacted_message_reads_as_what_took_its_place(repository: AnnalsSessionRepository) -> None:
    first = message(0, "secret")
    for each in (first, message(1, "kept")):
        repository.create_message(SESSION, AGENT, each)
    first.redact_message = {"role": "user", "content": [{"text": "[blocked]"}]}
    for _ in range(2):  # the second changes nothing
        repository.update_message(SESSION, AGENT, first)
    read = repository.read_message(SESSION, AGENT, 0)
    assert read is not None
    assert (read.to_message(), read.redact_message, read.created_at) == (
        first.redact_message,
        first.redact_message,
        first.created_at,
    )
    assert repository.list_messages(SESSION, AGENT)[0] == read
    assert texts(each.to_message() for each in repository.list_messages(SESSION, AGENT)) == ["[blocked]", "kept"]


def test_a_message_may_be_replaced_more_than_once(repository: AnnalsSessionRepository) -> None:
    for index in range(3):
        repository.create_message(SESSION, AGENT, message(index))
    for text in ("once", "twice"):
        repository.update_message(SESSION, AGENT, message(1, text))
    assert texts(each.message for each in repository.list_messages(SESSION, AGENT)) == ["words 0", "twice", "words 2"]
    assert texts(each.message for each in repository.list_messages(SESSION, AGENT, offset=1)) == ["twice", "words 2"]


def test_a_redaction_that_broke_off_is_completed_by_the_next_reader(
    annals: Annals, repository: AnnalsSessionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.create_message(SESSION, AGENT, message(0, "secret"))
    with monkeypatch.context() as broken:
        broken.setattr(annals.messages, "redact", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            repository.update_message(SESSION, AGENT, message(0, "harmless"))
    other = AnnalsSessionRepository(annals, user_id="ada")
    assert texts(each.message for each in other.list_messages(SESSION, AGENT)) == ["harmless"]
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    assert [each.content for each in annals.messages.latest(conversation.conversation_id)] == ["", "harmless"]


def test_a_key_that_may_not_redact_says_so_and_can_still_go_on(
    annals: Annals, annals_url: str, repository: AnnalsSessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    limited = AnnalsSessionRepository(
        url=annals_url, key=annals.keys.create("agent", ["read", "write"]).key, user_id="ada"
    )
    limited.create_message(SESSION, AGENT, message(0, "secret"))
    with pytest.raises(SessionException, match="erase"):
        limited.update_message(SESSION, AGENT, message(0, "harmless"))
    assert texts(each.message for each in limited.list_messages(SESSION, AGENT)) == ["harmless"]
    assert "still in the conversation" in caplog.text
    assert texts(each.message for each in repository.list_messages(SESSION, AGENT)) == ["harmless"]
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    assert [each.content for each in annals.messages.latest(conversation.conversation_id)] == ["", "harmless"]
    limited.close()


@pytest.mark.parametrize("block", EVERY_BLOCK, ids=lambda block: next(iter(block)))
def test_a_block_comes_back_equal(repository: AnnalsSessionRepository, block: Any) -> None:
    for index, content in enumerate(([block], [block, {"text": "and words"}, block])):
        repository.create_message(
            SESSION, AGENT, SessionMessage.from_message({"role": "user", "content": content}, index)
        )
    assert [each.message["content"] for each in repository.list_messages(SESSION, AGENT)] == [
        [block],
        [block, {"text": "and words"}, block],
    ]


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("content", [[], [{"text": ""}], [{"text": " "}], [{"text": "a"}, {"text": "b"}]], ids=str)
def test_content_that_says_little_comes_back_equal(
    repository: AnnalsSessionRepository, role: Any, content: Any
) -> None:
    written = SessionMessage.from_message({"role": role, "content": content}, 0)
    repository.create_message(SESSION, AGENT, written)
    assert repository.list_messages(SESSION, AGENT) == [written]


def test_all_fields_of_a_message_come_back_equal(repository: AnnalsSessionRepository) -> None:
    usage = {
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        "custom": {"pinned": None, "raw": b"\x00"},
    }
    written = message(0, "words", "assistant", tracking_id="t-1", metadata=usage)
    before = copy.deepcopy(written)
    repository.create_message(SESSION, AGENT, written)
    assert written == before
    assert repository.read_message(SESSION, AGENT, 0) == written
    assert repository.read_message(SESSION, AGENT, 1) is None


@pytest.mark.parametrize("size", [100_000, 500_000, 5_000_000])
def test_messages_of_any_size_come_back_equal(repository: AnnalsSessionRepository, size: int) -> None:
    image = {"image": {"format": "png", "source": {"bytes": os.urandom(size)}}}
    result = {
        "toolResult": {"toolUseId": "t-1", "status": "success", "content": [{"text": "a tool said " * (size // 12)}]}
    }
    contents: list[Any] = [[{"text": "what was said " * (size // 14)}], [image, {"text": "See."}], [result]]
    for index, content in enumerate(contents):
        repository.create_message(
            SESSION, AGENT, SessionMessage.from_message({"role": "user", "content": content}, index)
        )
    assert [each.message["content"] for each in repository.list_messages(SESSION, AGENT)] == contents


def test_a_session_that_ended_in_the_call_of_a_tool_goes_on(annals: Annals) -> None:
    @tool
    def tram(line: int) -> str:
        """When the next tram comes."""
        raise KeyboardInterrupt

    call = {"name": "tram", "id": "call-1", "input": '{"line": 28}'}
    with pytest.raises(BaseException):  # noqa: B017, PT011 - as a process that is ended in the middle
        agent(annals, call, tools=[tram])("When does it come?")
    resumed = agent(annals, "I cannot say.", tools=[tram])
    resumed("Well?")
    again = agent(annals, tools=[tram])
    results = [block for each in again.messages for block in each["content"] if "toolResult" in block]
    assert [each["toolResult"]["toolUseId"] for each in results] == ["call-1"]
    assert again.messages[-1]["content"] == [{"text": "I cannot say."}]


def test_the_same_session_id_of_two_users_is_two_sessions(annals: Annals) -> None:
    for user in ("ada", "bob"):
        repository = AnnalsSessionRepository(annals, user_id=user)
        assert repository.read_session(SESSION) is None
        repository.create_session(Session(SESSION, SessionType.AGENT))
        repository.create_agent(SESSION, SessionAgent(AGENT, {"user": user}, {}))
        repository.create_message(SESSION, AGENT, message(0, f"I am {user}."))
    read = AnnalsSessionRepository(annals, user_id="ada")
    assert texts(each.message for each in read.list_messages(SESSION, AGENT)) == ["I am ada."]


def test_a_session_that_is_made_twice_is_refused_and_a_manager_takes_the_one_there_is(annals: Annals) -> None:
    made = Session(SESSION, SessionType.AGENT)
    repository = AnnalsSessionRepository(annals)
    assert repository.create_session(made) == made
    with pytest.raises(SessionException, match="already exists"):
        repository.create_session(Session(SESSION, SessionType.AGENT))
    assert repository.read_session(SESSION) == made
    assert AnnalsSessionManager(SESSION, annals).session == made


def test_a_session_goes_on_with_the_conversation_that_another_program_began(annals: Annals) -> None:
    annals.conversations.get_or_create_session(SESSION, user_id="ada", memory_space_id="strands")
    agent(annals, "One.")("Begin.")
    assert texts(agent(annals).messages) == ["Begin.", "One."]


def test_an_erased_session_is_free_and_its_agents_are_gone(annals: Annals, repository: AnnalsSessionRepository) -> None:
    repository.create_message(SESSION, AGENT, message(0))
    repository.delete_session(SESSION)
    assert repository.read_session(SESSION) is None
    with pytest.raises(SessionException, match="does not exist"):
        repository.delete_session(SESSION)
    repository.create_session(Session(SESSION, SessionType.AGENT))
    assert repository.read_agent(SESSION, AGENT) is None
    assert repository.list_messages(SESSION, AGENT) == []


def test_a_session_that_others_erased_is_made_anew(annals: Annals, repository: AnnalsSessionRepository) -> None:
    repository.create_message(SESSION, AGENT, message(0))
    AnnalsSessionRepository(annals, user_id="ada").delete_session(SESSION)
    with pytest.raises(SessionException, match="does not exist"):
        repository.create_message(SESSION, AGENT, message(1))
    agent(annals, "One.")("Begin.")
    assert texts(agent(annals).messages) == ["Begin.", "One."]


def test_what_is_missing_is_said(annals: Annals) -> None:
    repository = AnnalsSessionRepository(annals)
    assert repository.read_agent(SESSION, AGENT) is None
    assert repository.read_message(SESSION, AGENT, 0) is None
    assert repository.read_multi_agent(SESSION, "graph") is None
    for act in (repository.create_agent, repository.update_agent):
        with pytest.raises(SessionException, match="does not exist"):
            act(SESSION, SessionAgent(AGENT, {}, {}))
    for write in (repository.create_message, repository.update_message):
        with pytest.raises(SessionException, match="does not exist"):
            write(SESSION, AGENT, message(0))
    with pytest.raises(SessionException, match="does not exist"):
        repository.list_messages(SESSION, AGENT)


def test_what_is_missing_of_a_session_is_said(annals: Annals) -> None:
    repository = AnnalsSessionRepository(annals)
    repository.create_session(Session(SESSION, SessionType.AGENT))
    assert repository.list_messages(SESSION, AGENT) == []
    with pytest.raises(SessionException, match="does not exist"):
        repository.update_agent(SESSION, SessionAgent(AGENT, {}, {}))
    for write in (repository.create_message, repository.update_message):
        with pytest.raises(SessionException, match="does not exist"):
            write(SESSION, AGENT, message(0))


def test_agents_of_a_session_have_their_own_messages(repository: AnnalsSessionRepository) -> None:
    repository.create_agent(SESSION, SessionAgent("guide/2", {}, {}))
    for index in range(4):
        for name in (AGENT, "guide/2"):
            repository.create_message(SESSION, name, message(index, f"{name} says {index}"))
    listed = repository.list_messages(session_id=SESSION, agent_id="guide/2", limit=2, offset=1)
    assert texts(each.message for each in listed) == ["guide/2 says 1", "guide/2 says 2"]
    assert [each.message_id for each in repository.list_messages(SESSION, AGENT)] == [0, 1, 2, 3]
    assert repository.list_messages(SESSION, AGENT, limit=0) == []
    assert repository.list_messages(SESSION, AGENT, offset=9) == []


def test_an_agent_goes_on_after_messages_were_taken_back(annals: Annals) -> None:
    agent(annals, "One.")("Begin.")
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    annals.conversations.rewind(conversation.conversation_id, messages=1)
    again = agent(annals, "Another one.")
    again("Once more.")
    assert texts(agent(annals).messages) == ["Begin.", "Once more.", "Another one."]


def test_archived_messages_are_still_the_agents(annals: Annals) -> None:
    agent(annals, "One.")("Begin.")
    conversation = annals.conversations.find_session(SESSION, user_id="ada", memory_space_id="strands")
    assert conversation is not None
    annals.conversations.archive(conversation.conversation_id, before=2)
    assert texts(agent(annals).messages) == ["Begin.", "One."]


def multi_agent(state: dict[str, Any]) -> Any:
    """Multi-agents with a state."""
    mock = Mock(**{"serialize_state.return_value": state})
    mock.id = "graph"
    return mock


def test_the_state_of_multi_agents_is_kept_and_not_overwritten_by_a_stale_one(
    annals: Annals, repository: AnnalsSessionRepository
) -> None:
    repository.create_multi_agent(SESSION, multi_agent({"node": 1, "huge": "x" * 500_000}))
    with pytest.raises(SessionException, match="already exists"):
        repository.create_multi_agent(SESSION, multi_agent({"node": 0}))
    other = AnnalsSessionRepository(annals, user_id="ada")
    assert json.dumps(other.read_multi_agent(SESSION, "graph")) == json.dumps({"node": 1, "huge": "x" * 500_000})
    other.update_multi_agent(SESSION, multi_agent({"node": 2}))
    with pytest.raises(StaleSession):
        repository.update_multi_agent(SESSION, multi_agent({"node": 3}))
    assert other.read_multi_agent(SESSION, "graph") == {"node": 2}


def test_what_annals_refuses_is_an_exception_of_strands(annals_url: str, annals_key: str) -> None:
    repository = AnnalsSessionRepository(url=annals_url, key="wrong")
    with pytest.raises(SessionException):
        repository.read_session(SESSION)
    repository.close()
