"""The client against the development server: what each group of calls is for, and that nothing is stored twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from annals_client import (
    Annals,
    Conflict,
    Delta,
    Erased,
    NotFound,
    PreconditionFailed,
    Result,
    Unauthorized,
)
from tests.client.asking import Ask
from tests.e2e.asking import unique
from tests.e2e.client.faults import harmed
from tests.e2e.servers import Server

PATIENCE_S = 20


@pytest.fixture
def annals(server: Server) -> Any:
    """A client that waits, with every scope."""
    with Annals(server.url, server.key) as client:
        yield client


@pytest.fixture
def talk(annals: Annals) -> str:
    """A new conversation's id."""
    return annals.conversations.create(user_id="ada", memory_space_id="client").conversation_id


def _eventually(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result


def _contents(annals: Annals, conversation_id: str, **wanted: Any) -> list[str]:
    return [message.content for message in annals.messages.list(conversation_id, **wanted)]


WRITES: list[tuple[Callable[[Any, str], Any], int]] = [
    (lambda client, talk: client.messages.append(talk, role="user", content="hi"), 1),
    (lambda client, talk: client.messages.append(talk, role="user", content="hi", if_match=0), 1),
    (lambda client, talk: client.messages.append_many(talk, [{"role": "user", "content": word} for word in "abc"]), 3),
    (
        lambda client, talk: client.memory.remember(
            memory_space_id="client", conversation_id=talk, user_id="ada", user_message="hi", agent_response="ho"
        ),
        2,
    ),
]


@pytest.mark.parametrize(("write", "count"), WRITES)
def test_a_write_whose_answer_was_lost_is_stored_once(
    ask: Ask, server: Server, annals: Annals, talk: str, write: Callable[[Any, str], Any], count: int
) -> None:
    with harmed(server.url, 0, 0) as proxy:
        ask(proxy.url, lambda client: write(client, talk), key=server.key)
    assert len(proxy.asked) == 3
    assert annals.conversations.get(talk).message_count == count
    assert annals.conversations.verify(talk).valid


def test_a_conversation_whose_answer_was_lost_is_made_once(ask: Ask, server: Server, annals: Annals) -> None:
    user = unique("user")
    with harmed(server.url, 0) as proxy:
        made = ask(
            proxy.url,
            lambda client: client.conversations.create(user_id=user, memory_space_id="client"),
            key=server.key,
        )
    assert [found.conversation_id for found in annals.conversations.list(user_id=user)] == [made.conversation_id]


def test_a_session_whose_answer_was_lost_is_made_once_and_found(ask: Ask, server: Server, annals: Annals) -> None:
    name, user = unique("session"), unique("user")
    assert annals.conversations.find_session(name, user_id=user) is None
    with harmed(server.url, 0) as proxy:
        made = ask(
            proxy.url,
            lambda client: client.conversations.get_or_create_session(name, user_id=user, agent_id="guide"),
            key=server.key,
        )
    assert (made.session_id, made.participants) == (name, {"userId": user, "agentId": "guide"})
    assert ask(server.url, lambda client: client.conversations.find_session(name, user_id=user), key=server.key) == made
    assert annals.conversations.get_or_create_session(name, user_id=user) == made
    assert [each.session_id for each in annals.conversations.list(user_id=user, session_id=name)] == [name]
    assert annals.conversations.find_session(name) is None


def test_a_run_whose_answer_was_lost_is_stored_once(ask: Ask, server: Server, annals: Annals, talk: str) -> None:
    with harmed(server.url, 0) as proxy:
        run = ask(
            proxy.url, lambda client: client.runs.put(talk, "r/1", "running", data=None, if_match=0), key=server.key
        )
    assert (run.number, run.version, run.status) == (1, 1, "running")
    with harmed(server.url, 0) as proxy:
        run = ask(
            proxy.url, lambda client: client.runs.put(talk, "r/1", "failed", error="No.", if_match=1), key=server.key
        )
    assert (run.number, run.version) == (1, 2)
    assert annals.runs.get(talk, "r/1").error == "No."
    annals.runs.put(talk, "r/2", "completed", parent_run_id="r/1", data={"own_name": [1]})
    listed = ask(server.url, lambda client: client.runs.list(talk, page_size=1, include_data=True), key=server.key)
    assert [(each.run_id, each.data) for each in listed] == [("r/2", {"own_name": [1]}), ("r/1", None)]
    ask(server.url, lambda client: client.runs.delete(talk, "r/2"), key=server.key)
    with pytest.raises(NotFound):
        annals.runs.get(talk, "r/2")


def test_a_message_between_agents_whose_answer_was_lost_is_sent_once(ask: Ask, server: Server, annals: Annals) -> None:
    agents = (unique("a"), unique("b"))
    with harmed(server.url, 0) as proxy:
        sent = ask(proxy.url, lambda client: client.a2a.send("hi", from_=agents[0], to=agents[1]), key=server.key)
    assert (sent.from_, sent.to) == agents
    assert annals.conversations.get_or_create(agents=(agents[1], agents[0])).message_count == 1
    assert _contents(annals, sent.conversation_id) == ["hi"]


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_a_stream_that_was_cut_goes_on_and_tells_nothing_twice(ask: Ask, server: Server, talk: str, cut: int) -> None:
    turn = {"memory_space_id": "client", "user_id": "ada", "conversation_id": talk, "user_message": "Who am I?"}
    with harmed(server.url, cut, cut) as proxy:
        events = ask(proxy.url, lambda client: client.memory.remember_stream(**turn), key=server.key)
    deltas = [event for event in events if isinstance(event, Delta)]
    assert [type(event).__name__ for event in events[:2]] == ["Start", "Context"]
    assert isinstance(events[-1], Result)
    assert "".join(delta.text for delta in deltas) == events[-1].full_response
    assert [delta.number for delta in deltas] == list(range(1, len(deltas) + 1))
    assert events[-1].conversation.message_ids == ["msg-001", "msg-002"]


def test_a_stream_whose_first_answer_was_lost_is_one_turn(ask: Ask, server: Server, annals: Annals, talk: str) -> None:
    turn = {"memory_space_id": "client", "user_id": "ada", "conversation_id": talk, "user_message": "Who am I?"}
    with harmed(server.url, 0) as proxy:
        events = ask(proxy.url, lambda client: client.memory.remember_stream(**turn), key=server.key)
    assert _contents(annals, talk) == ["Who am I?", events[-1].full_response]


def test_histories_are_read_from_either_end(annals: Annals, talk: str) -> None:
    annals.messages.append_many(talk, [{"role": "user", "content": str(number)} for number in range(10)])
    assert "".join(_contents(annals, talk)) == "0123456789"
    assert "".join(message.content for message in annals.messages.latest(talk, 3)) == "789"
    assert _contents(annals, talk, order="desc", limit=3, page_size=2) == ["9", "8", "7"]
    assert [message.seq for message in annals.messages.list(talk, after=7)] == [8, 9, 10]
    assert [message.seq for message in annals.messages.get_many(talk, ["msg-003", "msg-001"])] == [1, 3]


def test_an_append_behind_another_tail_is_told_the_current_one(annals: Annals, talk: str) -> None:
    tail = annals.messages.append(talk, role="user", content="a").tail_seq
    annals.messages.append(talk, role="assistant", content="b", if_match=tail)
    with pytest.raises(PreconditionFailed) as failed:
        annals.messages.append(talk, role="user", content="c", if_match=tail)
    assert failed.value.current == 2


def test_a_message_goes_there_and_back_unchanged(annals: Annals, talk: str) -> None:
    said: Any = {
        "role": "tool",
        "content": "Ünïcode 👩‍🚀\n",
        "parts": [{"a_b": None, "aB": [1.5, {"_x": True}]}],
        "metadata": {"snake_case": 1, "camelCase": None},
        "name": "n",
        "from_": "x",
        "to": "y",
        "thread_id": "t",
        "run_id": "r",
        "timestamp": datetime(2026, 5, 3, 12, tzinfo=UTC),
        "status": "incomplete",
    }
    annals.messages.append(talk, **said)
    message = annals.messages.get(talk, "msg-001")
    assert {name: getattr(message, name) for name in said} == said


def test_a_conversations_life(annals: Annals, talk: str) -> None:
    conversations = annals.conversations
    assert conversations.update(talk, {"title": "Lisbon"}, if_match=1).metadata == {"title": "Lisbon"}
    with pytest.raises(PreconditionFailed):
        conversations.update(talk, {}, if_match=1)
    annals.memory.remember(
        memory_space_id="client", conversation_id=talk, user_id="ada", user_message="Peanuts?", agent_response="No."
    )
    assert conversations.preamble(talk, "Earlier: nothing.").role == "system"
    assert conversations.context(talk, 1000, include_summary=True).messages[0].content == "Earlier: nothing."
    assert conversations.context_as(talk, 1000, "anthropic", include_summary=True).system == "Earlier: nothing."
    assert conversations.analytics(talk).by_role == {"user": 1, "assistant": 1}
    assert annals.messages.redact(talk, "msg-001", reason="asked to").status == "redacted"
    assert conversations.archive(talk, before=datetime.now(UTC) + timedelta(days=1)).status == "archived"
    assert _contents(annals, talk) == ["Earlier: nothing."]
    assert conversations.seal(talk).status == "sealed"
    with pytest.raises(Conflict, match="sealed"):
        annals.messages.append(talk, role="user", content="more")
    receipt = conversations.erase(talk)
    assert annals.receipts.get(receipt.receipt_id) == receipt
    with pytest.raises(Erased):
        conversations.get(talk)


def test_conversations_are_found_by_what_they_are_and_what_was_said(annals: Annals) -> None:
    user, word = unique("user"), unique("word")
    names = {
        annals.conversations.create(user_id=user, memory_space_id="client", metadata={"n": number}).conversation_id
        for number in range(3)
    }
    for name in names:
        annals.messages.append(name, role="user", content=word)
    _eventually(lambda: annals.conversations.count(user_id=user, message_count=1) == 3)
    assert {each.conversation_id for each in annals.conversations.list(user_id=user, page_size=2)} == names
    assert annals.conversations.count(user_id=user, metadata={"n": 1}, created_after="2026-01-01T00:00:00Z") == 1
    hits = _eventually(lambda: annals.conversations.search(word, user_id=user))
    assert {hit.conversation.conversation_id for hit in hits} <= names
    assert hits[0].matches[0].message_id == "msg-001"
    assert annals.conversations.delete_many(user_id=user, dry_run=True).count == 3
    assert set(annals.conversations.delete_many(user_id=user).conversation_ids) == names


def test_memories_are_made_changed_found_and_deleted(annals: Annals) -> None:
    space = unique("space")
    said: Any = {"memory_space_id": space, "user_id": "ada", "tags": ["taste"], "metadata": {"x": 1}}
    made = annals.memories.create("Ada likes tea.", **said)
    changed = annals.memories.update(made.memory_id, content="Ada likes coffee.", if_match=1)
    assert (changed.version, changed.previous_versions[0].content) == (2, "Ada likes tea.")
    assert [each.version for each in annals.memories.versions(made.memory_id)] == [2, 1]
    assert annals.memories.version(made.memory_id, 1).content == "Ada likes tea."
    _eventually(lambda: annals.memories.count(memory_space_id=space, tags=["taste"]) == 1)
    hits = _eventually(lambda: annals.memory.search("coffee", memory_space_id=space, metadata={"x": 1}))
    assert [hit.memory_id for hit in hits] == [made.memory_id]
    assert annals.memories.archive(made.memory_id).status == "archived"
    assert annals.memories.restore(made.memory_id).status == "active"
    annals.memories.delete(made.memory_id)
    with pytest.raises(NotFound):
        annals.memories.get(made.memory_id)


def test_facts_are_stored_superseded_and_listed(annals: Annals) -> None:
    space = unique("space")
    said: Any = {"fact": "Ada lives in Rome.", "subject": "Ada", "predicate": "lives in", "object": "Rome"}
    newer: Any = {**said, "fact": "Ada lives in Oslo.", "object": "Oslo"}
    turn: Any = {"memory_space_id": space, "user_id": "ada", "user_message": "I live in Rome.", "agent_response": "Ok."}
    (known,) = annals.memory.remember(**turn, facts=[said]).facts
    moved = annals.facts.create(memory_space_id=space, user_id="ada", **newer)
    assert annals.facts.get(known.fact_id).superseded_by == moved.fact_id
    assert _eventually(lambda: [each.object for each in annals.facts.list(memory_space_id=space)] == ["Oslo"])
    annals.facts.delete(moved.fact_id)
    with pytest.raises(NotFound):
        annals.facts.get(moved.fact_id)


def test_users_are_remembered_searched_and_forgotten(annals: Annals) -> None:
    user = unique("user")
    tea = annals.user_memories.create(user, "Likes green tea.", topics=["taste"], input="I like tea.")
    annals.user_memories.create(user, "Lives in Oslo.", topics=["home"])
    changed = annals.user_memories.update(user, tea.memory_id, topics=["taste", "tea"], if_match=1)
    assert (changed.version, changed.memory) == (2, "Likes green tea.")
    assert [each.memory for each in annals.user_memories.list(user, page_size=1)] == [
        "Lives in Oslo.",
        "Likes green tea.",
    ]
    assert [each.memory_id for each in annals.user_memories.search(user, "GREEN", method="text")] == [tea.memory_id]
    assert {each.topic for each in annals.user_memories.topics(user)} == {"taste", "tea", "home"}
    annals.user_memories.delete(user, tea.memory_id)
    assert annals.user_memories.clear(user) == 1
    assert list(annals.user_memories.list(user)) == []


def test_what_is_recalled_is_text_for_a_prompt(annals: Annals, talk: str) -> None:
    space, word = unique("space"), unique("word")
    annals.memory.remember(memory_space_id=space, user_id="ada", user_message=f"I like {word}.", agent_response="Ok.")
    annals.messages.append(talk, role="user", content="And now?")
    _eventually(lambda: annals.memory.search(word, memory_space_id=space))
    found = annals.memory.recall(word, memory_space_id=space, max_tokens=500, history=5, history_of=talk)
    assert word in found.context
    assert found.tokens <= 500
    assert [message.content for message in found.history] == ["And now?"]


def test_a_space_is_described(annals: Annals) -> None:
    name = unique("space")
    said = annals.spaces.put(name, name="Home", participants=[{"participant_id": "ada", "type": "person"}])
    assert annals.spaces.get(name) == said
    assert (said.name, said.participants[0].type) == ("Home", "person")
    with pytest.raises(PreconditionFailed):
        annals.spaces.put(name, if_match=7)


def test_a_conversation_is_summarised(annals: Annals, talk: str) -> None:
    annals.messages.append(talk, role="user", content="I fly to Lisbon on 3 May.")
    made = annals.conversations.summarize(talk)
    found = annals.conversations.get(talk, include=["messages", "summary"])
    assert (found.summary, made.to_seq) == (made, 1)
    assert found.messages
    assert found.messages[0].content == "I fly to Lisbon on 3 May."


def test_a_key_opens_what_it_was_made_for(server: Server, annals: Annals) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    made = annals.keys.create("reader", ["read"], memory_spaces=["client"], expires_at=tomorrow)
    assert made.key_id in {key.key_id for key in annals.keys.list()}
    with Annals(server.url, made.key) as reader:
        assert list(reader.conversations.list(memory_space_id="elsewhere")) == []
    annals.keys.revoke(made.key_id)
    with Annals(server.url, "wrong") as stranger, pytest.raises(Unauthorized):
        stranger.keys.list()


def test_what_was_exported_can_be_imported(ask: Ask, server: Server, annals: Annals, talk: str, tmp_path: Path) -> None:
    annals.messages.append_many(talk, [{"role": "user", "content": str(number)} for number in range(5)])
    annals.runs.put(talk, "r-1", "completed", data={"n": 1})
    path = tmp_path / "talk.jsonl"
    size = ask(server.url, lambda client: client.conversations.export(talk, path), key=server.key)
    assert size == path.stat().st_size
    moved = unique("moved")
    path.write_text(path.read_text().replace(talk, moved))
    for imported, skipped in ((5, 0), (0, 5)):
        (found,) = ask(server.url, lambda client: client.conversations.import_(path), key=server.key)
        assert (found.conversation_id, found.imported, found.skipped) == (moved, imported, skipped)
    assert "".join(_contents(annals, moved)) == "01234"
    assert [(run.run_id, run.data) for run in annals.runs.list(moved, include_data=True)] == [("r-1", {"n": 1})]


def test_a_large_import_goes_in_parts(annals: Annals) -> None:
    name = unique("large")
    lines = [json.dumps({
        "type": "conversation", "conversationId": name, "conversationType": "user-agent",
        "participants": {"userId": "ada", "memorySpaceId": "client"},
    })]  # fmt: skip
    said = {"type": "message", "conversationId": name, "role": "user"}
    lines += [json.dumps({**said, "content": f"{number:07d}" * 10_000}) for number in range(100)]
    (found,) = annals.conversations.import_(lines)
    assert (found.imported, found.skipped) == (100, 0)
    assert [int(content[:7]) for content in _contents(annals, name)] == list(range(100))


def test_a_csv_of_many_conversations_has_them_all(annals: Annals, talk: str, tmp_path: Path) -> None:
    annals.messages.append(talk, role="user", content="in the file")
    with (tmp_path / "all.csv").open("wb") as file:
        annals.conversations.export_many(file, format="csv", memory_space_id="client")
    assert "in the file" in (tmp_path / "all.csv").read_text()


def test_the_service_says_that_it_is_up(ask: Ask, server: Server) -> None:
    assert ask(server.url, lambda client: client.health()).status == "ok"


def test_memories_are_exported_with_their_versions(ask: Ask, server: Server, annals: Annals, tmp_path: Path) -> None:
    user = unique("user")
    made = annals.memories.create("Ada likes tea.", memory_space_id="client", user_id=user)
    annals.memories.update(made.memory_id, content="Ada likes coffee.")
    path = tmp_path / "memories.jsonl"

    def is_exported() -> bool:
        export = {"include_versions": True, "user_id": user}
        size = ask(server.url, lambda client: client.memories.export(path, **export), key=server.key)
        return bool(size == path.stat().st_size > 0)

    assert _eventually(is_exported)
    [line] = map(json.loads, path.read_text().splitlines())
    assert (line["type"], line["content"], line["previousVersions"][0]["content"]) == (
        "memory", "Ada likes coffee.", "Ada likes tea.",
    )  # fmt: skip


def test_a_person_is_exported_and_erased(annals: Annals, tmp_path: Path) -> None:
    user = unique("user")
    annals.memory.remember(
        memory_space_id="client", user_id=user, user_message="My name is Ada.", agent_response="Noted."
    )

    def is_exported() -> bool:
        annals.users.export(user, tmp_path / "ada.jsonl")
        return "My name is Ada." in (tmp_path / "ada.jsonl").read_text()

    assert _eventually(is_exported)
    receipt = annals.users.erase(user)

    assert receipt.removed
    assert (receipt.status, receipt.removed.conversations) == ("erased", 1)
    assert annals.conversations.count(user_id=user) == 0


def test_a_message_is_followed_while_it_is_said(annals: Annals) -> None:
    talk, said = unique("talk"), "item/ä 1"
    made: Any = {"participants": {"user_id": "ada", "memory_space_id": "client"}}
    annals.messages.upsert(talk, said, role="assistant", content="To be", revision=1, conversation=made)
    events = annals.messages.follow(talk, said)
    received = [next(iter(events)), next(iter(events))]
    annals.messages.upsert(talk, said, role="assistant", content=", or not", revision=2)
    received.append(next(iter(events)))
    assert [draft.content for draft in annals.messages.drafts(talk)] == ["To be, or not"]
    stored = annals.messages.upsert(talk, said, role="assistant", content=" to be.", revision=3, completed=True)
    received += [*events]
    assert [type(event).__name__ for event in received][:3] == ["MessageStart", "MessageDelta", "MessageDelta"]
    assert (events.text, events.result.message) == ("To be, or not to be.", stored.message)
    assert annals.messages.drafts(talk) == []
    assert _contents(annals, talk) == ["To be, or not to be."]
