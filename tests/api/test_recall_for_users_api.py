"""For whom what is recalled: a user gets what is the user's own or nobody's, over the functions' real events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from annals.memory import adapters
from annals.operations.rebuild import rebuild_index
from annals.providers.chat import ChatMessage, Finished, Pieces
from annals.search import profiles
from annals.search.documents import OWNED_SINCE
from tests.support.api import Api, Reply
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

RECALL, STREAM = "/v1/memory/recall", "/v1/memory/remember-stream"
SPACE = {"memorySpaceId": "home"}
QUESTION = "What is my PIN?"
SECRET = "4711"
ONES = {**SPACE, "userId": "u1"}
TWOS = {**SPACE, "userId": "u2"}


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as found:
        yield found


class Parrot:
    """A chat model that says the user's message back, and keeps the prompts that it got."""

    model = "parrot"

    def __init__(self) -> None:
        self.prompts: list[tuple[str, list[ChatMessage]]] = []

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        self.prompts.append((instructions or "", list(messages)))
        yield f"You said: {messages[-1].content}"
        yield Finished("stop")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Parrot:
    parrot = Parrot()
    monkeypatch.setattr(adapters, "chat", lambda: parrot)
    return parrot


def index(stream: Stream) -> None:
    stream.deliver()
    stream.deliver_ledger()


def made(answer: Reply) -> dict[str, Any]:
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


def say(api: Api, whose: dict[str, str], text: str, answer: str = "Noted.", **more: Any) -> str:
    """Remember a turn; the id of its conversation."""
    turn = {**whose, "userMessage": text, "agentResponse": answer, **more}
    return str(made(api.post("/v1/memory/remember", turn))["conversation"]["conversationId"])


def append(api: Api, conversation_id: str, role: str, content: str, **more: Any) -> None:
    made(api.post(f"/v1/conversations/{conversation_id}/messages", {"role": role, "content": content, **more}))


def conversation(api: Api, **participants: str) -> str:
    body = {"type": "user-agent", "participants": {"agentId": "guide", **SPACE, **participants}}
    return str(made(api.post("/v1/conversations", body))["conversationId"])


def recalled(api: Api, query: str = QUESTION, **more: Any) -> dict[str, Any]:
    payload = {"query": query, **SPACE, **more}
    answer = api.post(RECALL, {name: value for name, value in payload.items() if value is not None})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def texts(found: dict[str, Any]) -> str:
    """All words of a recollection."""
    return json.dumps(found, ensure_ascii=False)


def prompted(api: Api, model: Parrot, question: str = QUESTION, **more: Any) -> str:
    """All that the model of a streamed turn got beside the user's message."""
    answer = api.post(STREAM, {**SPACE, "userMessage": question, **more})
    assert answer.status == 200, answer.body
    assert b"event: result" in answer.body, answer.body
    instructions, messages = model.prompts[-1]
    assert messages[-1] == ChatMessage("user", question)
    return "\n".join([instructions, *(message.content for message in messages[:-1])])


# Users


def test_what_one_user_said_is_not_recalled_for_another(api: Api, stream: Stream) -> None:
    say(api, TWOS, f"My PIN is {SECRET}", f"Your PIN is {SECRET}, I have noted it.")
    say(api, ONES, "My PIN is 2000")
    index(stream)

    assert SECRET not in texts(recalled(api, userId="u1"))
    assert "2000" in recalled(api, userId="u1")["context"]
    assert SECRET in recalled(api, userId="u2")["context"]
    assert "2000" not in texts(recalled(api, userId="u2"))


def test_what_one_user_said_is_not_in_the_prompt_of_another(api: Api, stream: Stream, model: Parrot) -> None:
    say(api, TWOS, f"My PIN is {SECRET}")
    index(stream)

    assert SECRET not in prompted(api, model, userId="u1")
    assert SECRET in prompted(api, model, userId="u2")


def test_a_user_gets_no_other_user_s_facts_and_memories(api: Api, stream: Stream, model: Parrot) -> None:
    fact = {"fact": f"The PIN is {SECRET}.", "subject": "PIN", "predicate": "is", "object": SECRET}
    made(api.post("/v1/facts", {**TWOS, **fact}))
    made(api.post("/v1/memories", {**TWOS, "content": f"They told me their PIN: {SECRET}"}))
    made(api.post("/v1/users/u2/memories", {"memory": f"Their PIN is {SECRET}", **SPACE}))
    made(api.post("/v1/users/u2/memories", {"memory": f"PIN {SECRET} of no space"}))
    index(stream)

    assert SECRET not in texts(recalled(api, userId="u1"))
    assert SECRET not in texts(recalled(api, userId="u1", memorySpaceId=None))
    assert SECRET not in prompted(api, model, userId="u1")
    assert recalled(api, userId="u2")["context"].count(SECRET) == 4


def test_what_belongs_to_nobody_is_recalled_for_everybody(api: Api, stream: Stream, model: Parrot) -> None:
    fact = {"fact": "A PIN has four digits.", "subject": "PIN", "predicate": "has", "object": "four digits"}
    made(api.post("/v1/facts", {**SPACE, **fact}))
    made(api.post("/v1/memories", {**SPACE, "agentId": "guide", "content": "A PIN is changed at any counter."}))
    say(api, {**SPACE, "agentId": "guide"}, "Note: a PIN is never sent by post.")
    made(api.post("/v1/a2a/messages", {**SPACE, "from": "guide", "to": "clerk", "text": "PIN letters are late."}))
    index(stream)

    for shown in (recalled(api, userId="u1")["context"], prompted(api, model, userId="u1")):
        for words in ("four digits", "any counter", "never sent by post", "letters are late"):
            assert words in shown
        assert "assistant (guide): PIN letters" in shown


def test_user_memories_of_no_space_are_the_user_s_in_every_space(api: Api, stream: Stream, model: Parrot) -> None:
    made(api.post("/v1/users/u1/memories", {"memory": "Their PIN begins with 9"}))
    made(api.post("/v1/users/u1/memories", {"memory": "Their PIN at work ends in 8", "memorySpaceId": "work"}))
    index(stream)

    context = recalled(api, userId="u1")["context"]
    assert "begins with 9" in context
    assert "at work" not in context
    assert "begins with 9" in prompted(api, model, userId="u1")
    assert "at work" in recalled(api, userId="u1", memorySpaceId="work")["context"]
    assert recalled(api, userId="u2")["context"] == ""
    assert recalled(api, recallScope="space")["context"] == ""


def test_other_things_of_no_space_stay_out_of_a_space(api: Api, stream: Stream) -> None:
    made(api.post("/v1/a2a/messages", {"from": "guide", "to": "clerk", "text": "PIN letters are late."}))
    index(stream)

    assert recalled(api, userId="u1")["context"] == ""
    assert "letters are late" in recalled(api, userId="u1", memorySpaceId=None)["context"]


def test_a_key_for_some_spaces_gets_no_memory_of_no_space(api: Api, stream: Stream) -> None:
    made(api.post("/v1/users/u1/memories", {"memory": "Their PIN begins with 9"}))
    made(api.post("/v1/users/u1/memories", {"memory": "Their PIN at work ends in 8", "memorySpaceId": "work"}))
    say(api, ONES, "My PIN is 2000")
    index(stream)

    context = api.limited(spaces={"home"}).post(RECALL, {"query": QUESTION, "userId": "u1"}).json["context"]
    assert "2000" in context
    assert "9" not in context.replace("2025", "")
    assert "work" not in context


# Conversations of several users


def test_a_message_belongs_to_the_user_of_its_conversation_whoever_spoke(api: Api, stream: Stream) -> None:
    group = say(api, ONES, "Let us plan the trip to Rome.")
    append(api, group, "user", "I pay the trip to Rome.", userId="u2", name="Ben")
    append(api, group, "assistant", "The trip to Rome is paid.")
    index(stream)

    own = recalled(api, "the trip to Rome", userId="u1")["context"]
    assert "user (Ben): I pay" in own
    assert "is paid" in own
    assert recalled(api, "the trip to Rome", userId="u2")["context"] == ""


def test_in_a_conversation_of_nobody_messages_belong_to_whom_they_name_or_answer(api: Api, stream: Stream) -> None:
    room = conversation(api)
    append(api, room, "assistant", "A PIN is what I ask for.")
    append(api, room, "user", f"My PIN is {SECRET}", userId="u2")
    append(api, room, "tool", f"PIN {SECRET} stored", name="store")
    append(api, room, "assistant", f"Your PIN is {SECRET}.")
    append(api, room, "user", "My PIN is 2000", userId="u1")
    append(api, room, "assistant", "Your PIN is 2000.")
    index(stream)

    one, two = recalled(api, userId="u1"), recalled(api, userId="u2")
    assert SECRET not in texts(one)
    assert one["context"].count("2000") == 2
    assert "2000" not in texts(two)
    assert two["context"].count(SECRET) == 3
    assert all("what I ask for" in found["context"] for found in (one, two))


def test_an_answer_whose_question_is_redacted_becomes_nobody_else_s(api: Api, stream: Stream) -> None:
    room = conversation(api)
    append(api, room, "user", "My PIN is 2000", userId="u1")
    append(api, room, "user", f"My PIN is {SECRET}", userId="u2")
    append(api, room, "assistant", f"Your PIN is {SECRET}.")
    index(stream)
    assert api.post(f"/v1/conversations/{room}/messages/msg-002/redact", {"reason": "asked for"}).status == 200
    index(stream)

    assert SECRET not in texts(recalled(api, userId="u1"))
    assert SECRET not in texts(recalled(api, userId="u3"))
    assert SECRET in texts(recalled(api, recallScope="space"))


def test_a_streamed_reply_in_a_conversation_of_nobody_is_whose_it_answers(
    api: Api, stream: Stream, model: Parrot
) -> None:
    room = conversation(api)
    prompted(api, model, f"My PIN is {SECRET}", userId="u2", conversationId=room)
    append(api, room, "assistant", "A PIN is what I ask for.", userId="u1")
    index(stream)

    assert SECRET not in prompted(api, model, userId="u1", conversationId=room)
    assert SECRET not in texts(recalled(api, userId="u1", conversationId=room))
    history = recalled(api, userId="u2", conversationId=room)["history"]
    assert [message["role"] for message in history] == ["user", "assistant"]
    assert SECRET in str(history)


def test_what_was_made_of_a_user_s_messages_is_that_user_s_where_it_names_none(api: Api, stream: Stream) -> None:
    mine = say(api, TWOS, f"My PIN is {SECRET}", conversationId="twos")
    room = conversation(api)
    append(api, room, "user", f"My PIN is {SECRET}", userId="u2")
    for place, source in enumerate((mine, room)):
        ref = {"conversationId": source, "messageIds": ["msg-001"]}
        fact = {"fact": f"A PIN is {SECRET}", "subject": "PIN", "predicate": f"is {place}", "object": SECRET}
        made(api.post("/v1/facts", {**SPACE, **fact, "sourceRef": ref}))
        summary = {"content": f"They spoke of the PIN {SECRET}", "contentType": "summarized", "agentId": "guide"}
        made(api.post("/v1/memories", {**SPACE, **summary, "conversationRef": ref}))
    say(api, {**SPACE, "agentId": "guide"}, f"The PIN is {SECRET}", conversationId=mine)
    index(stream)

    assert SECRET not in texts(recalled(api, userId="u1"))
    assert len(recalled(api, userId="u2")["facts"]) == 2
    assert sum(SECRET in hit["content"] for hit in recalled(api, userId="u2")["items"]) >= 4


# Histories


def test_the_history_of_another_user_s_conversation_is_refused(api: Api, stream: Stream, model: Parrot) -> None:
    twos = say(api, TWOS, f"My PIN is {SECRET}")
    before = len(api.get(f"/v1/conversations/{twos}/messages").json["items"])

    payload = {**ONES, "query": QUESTION, "conversationId": twos}
    assert api.post(RECALL, payload).problem == (409, "PARTICIPANT_MISMATCH", "userId")
    turn = {**ONES, "userMessage": QUESTION, "conversationId": twos}
    assert api.post(STREAM, turn).problem == (409, "PARTICIPANT_MISMATCH", "userId")
    assert len(api.get(f"/v1/conversations/{twos}/messages").json["items"]) == before
    assert model.prompts == []


def test_a_turn_without_a_user_is_recalled_for_the_user_of_its_conversation(
    api: Api, stream: Stream, model: Parrot
) -> None:
    say(api, TWOS, f"My PIN is {SECRET}")
    ones = say(api, ONES, "My PIN is 2000")
    index(stream)

    shown = prompted(api, model, agentId="guide", conversationId=ones, history=0)
    assert "2000" in shown
    assert SECRET not in shown
    assert SECRET in prompted(api, model, agentId="guide")


# The whole space


def test_a_streamed_reply_made_of_everybody_s_words_is_recalled_for_no_user(
    api: Api, stream: Stream, model: Parrot
) -> None:
    question = f"So the PIN is {SECRET}?"
    prompted(api, model, question, agentId="guide", facts=[
        {"fact": f"A PIN is {SECRET}.", "subject": "PIN", "predicate": "is", "object": SECRET}
    ])  # fmt: skip
    index(stream)

    found = recalled(api, userId="u1")
    assert [hit["content"] for hit in found["items"]] == [question]
    assert found["facts"] == []
    assert len(recalled(api)["items"]) == 2


def test_the_whole_space_is_recalled_where_that_is_asked_for(api: Api, stream: Stream, model: Parrot) -> None:
    twos = say(api, TWOS, f"My PIN is {SECRET}")
    say(api, ONES, "My PIN is 2000")
    index(stream)

    hive = {"userId": "u1", "recallScope": "space"}
    for shown in (recalled(api, **hive)["context"], prompted(api, model, **hive), recalled(api)["context"]):
        assert SECRET in shown
        assert "2000" in shown
    assert SECRET in str(recalled(api, **hive, conversationId=twos)["history"])


def test_erasing_a_user_takes_what_would_be_recalled(api: Api, stream: Stream, model: Parrot) -> None:
    say(api, TWOS, f"My PIN is {SECRET}")
    index(stream)
    prompted(api, model, userId="u1")
    index(stream)
    assert api.delete("/v1/users/u2").status in (200, 202)
    index(stream)

    assert SECRET not in texts(recalled(api, recallScope="space"))
    assert SECRET not in texts(recalled(api, userId="u1"))


@pytest.mark.parametrize("path", [RECALL, STREAM])
@pytest.mark.parametrize("more", [{"recallScope": "user"}, {"userId": None}, {"userId": None, "recallScope": "user"}])
def test_a_user_s_recall_without_a_user_is_refused(
    api: Api, stream: Stream, model: Parrot, path: str, more: dict[str, Any]
) -> None:
    payload = {"query": QUESTION} if path == RECALL else {"userMessage": QUESTION, "agentId": "guide"}

    answer = api.post(path, {**SPACE, **payload, **more})
    assert answer.problem[0] == 422
    assert answer.problem[2] == "userId"
    assert api.get("/v1/conversations").json["items"] == []


@pytest.mark.parametrize("path", [RECALL, STREAM])
def test_there_is_no_other_scope(api: Api, stream: Stream, model: Parrot, path: str) -> None:
    payload = {"query": QUESTION} if path == RECALL else {"userMessage": QUESTION}
    answer = api.post(path, {**ONES, **payload, "recallScope": "tenant"})
    assert (answer.problem[0], answer.problem[2]) == (422, "recallScope")


# Filters


def test_a_filter_narrows_what_is_recalled_and_never_widens_it(api: Api, stream: Stream, model: Parrot) -> None:
    say(api, TWOS, f"My PIN is {SECRET}")
    group = say(api, ONES, "My PIN is 2000", tags=["bank"])
    append(api, group, "user", "The PIN of us both is 3000", userId="u2")
    index(stream)

    twos_words = {"userId": "u1", "filter": {"userId": "u2"}}
    tagged = {"userId": "u1", "filter": {"tags": ["bank"]}}
    for shown in (lambda **more: recalled(api, **more)["context"], lambda **more: prompted(api, model, **more)):
        narrowed = shown(**twos_words)
        assert "3000" in narrowed
        assert SECRET not in narrowed
        assert "2000" not in narrowed
        assert "2000" in shown(**tagged)
        assert "3000" not in shown(**tagged)


def test_a_stream_s_filter_that_cannot_be_is_refused_before_anything_is_stored(
    api: Api, stream: Stream, model: Parrot
) -> None:
    never = {"createdAfter": "2025-02-01T00:00:00Z", "createdBefore": "2025-01-01T00:00:00Z"}
    for wrong, field in ((never, "filter.createdAfter"), ({"colour": "red"}, "filter.colour")):
        answer = api.post(STREAM, {**ONES, "userMessage": QUESTION, "filter": wrong})
        assert (answer.problem[0], answer.problem[2]) == (422, field)
    assert api.get("/v1/conversations").json["items"] == []


def test_a_message_that_is_longer_than_an_entry_is_refused_as_that(api: Api, stream: Stream, model: Parrot) -> None:
    answer = api.post(STREAM, {**ONES, "userMessage": "long " * 100_000})
    assert answer.problem[:2] == (413, "ENTRY_TOO_LARGE")


# An index of before


def test_an_older_index_is_refused_for_a_user_and_rebuilt_without_embedding_anew(
    api: Api, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(profiles, "INDEX_VERSION", OWNED_SINCE - 1)
        say(api, TWOS, f"My PIN is {SECRET}")
        index(stream)
    with apsw.Connection(str(tmp_path / "index.sqlite3")) as database:
        database.execute("DROP INDEX memory_owner; ALTER TABLE memory DROP COLUMN owner")

    assert SECRET in texts(api.post("/v1/memory/search", {"query": QUESTION}).json)
    assert api.post(RECALL, {"query": QUESTION, "userId": "u1"}).problem[:2] == (503, "SEARCH_UNAVAILABLE")

    embedder, embedded = adapters.embedder(), list[str]()
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda texts: embedded.extend(texts) or embed(texts))
    rebuild_index(adapters.index(), embedder, lambda _: None)
    assert embedded == []
    assert SECRET in recalled(api, userId="u2")["context"]
    assert SECRET not in texts(recalled(api, userId="u1"))
