"""Messages with external ids: writers at once and processes that die, on databases where both are real."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from annals.conversations.appending import append_for
from annals.conversations.create import NewConversation
from annals.errors import ExternalIdTaken, MemoryNotFound
from annals.ledger.append import AppendResult
from annals.ledger.messages import appended_messages, new_message
from annals.memory.memories.memory_creation import new_memory
from annals.memory.memories.memory_deletion import remove_memory
from annals.memory.memories.memory_external_ids import ExternalMemoryId
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.memory_upsert import put_memory
from annals.memory.memories.models import CreateMemory
from tests.support import faults
from tests.support.api import Api
from tests.support.racing import at_once

pytestmark = pytest.mark.usefixtures("database")

PATH = "/v1/conversations/chat"
MESSAGES = f"{PATH}/messages"
MISSING = {"participants": {"userId": "ada", "memorySpaceId": "work"}, "metadata": {"made": "once"}}
NEW = NewConversation("user-agent", {"userId": "ada", "memorySpaceId": "work"}, {}, "chat")
MOST_CALLS = 60


def said(content: str, external_id: str) -> dict[str, Any]:
    return {"role": "user", "content": content, "externalId": external_id}


def append(api: Api, *messages: dict[str, Any], new: NewConversation | None = None) -> AppendResult:
    return append_for(api.caller, "chat", [new_message(message) for message in messages], new=new)


def contents(api: Api) -> list[str]:
    answer = api.get(f"{MESSAGES}?order=asc&limit=1000")
    return [message["content"] for message in answer.json["items"]] if answer.status == 200 else []


def texts(stored: AppendResult) -> list[str]:
    return [message["content"] for message in appended_messages(stored)]


@pytest.fixture
def chat(api: Api) -> Api:
    """A client whose tenant has an empty conversation."""
    assert api.post("/v1/conversations", {"conversationId": "chat", "type": "user-agent", **MISSING}).status == 201
    return api


def test_equal_messages_at_once_are_stored_once_and_answered_alike(chat: Api) -> None:
    answers = at_once(8, lambda _: append(chat, said("once", "one")))
    assert sum(answer.replayed for answer in answers) == 7
    assert {answer.entry.hash for answer in answers} == {answers[0].entry.hash}
    assert [texts(answer) for answer in answers] == [["once"]] * 8
    assert contents(chat) == ["once"]


def test_of_different_messages_with_one_external_id_at_once_one_is_stored(chat: Api) -> None:
    answers = at_once(8, lambda turn: append(chat, said(str(turn), "one")))
    assert sum(isinstance(answer, ExternalIdTaken) for answer in answers) == 7
    (stored,) = (answer for answer in answers if isinstance(answer, AppendResult))
    assert contents(chat) == texts(stored)


def test_batches_at_once_that_share_messages_store_each_of_them_once(chat: Api) -> None:
    words = [f"m{number}" for number in range(6)]
    answers = at_once(6, lambda turn: append(chat, *(said(word, word) for word in words[: turn + 1])))
    assert contents(chat) == words
    assert [texts(answer) for answer in answers] == [words[: turn + 1] for turn in range(6)]


def test_writers_who_meet_in_a_missing_conversation_make_one_with_all_that_they_say(api: Api) -> None:
    answers = at_once(8, lambda turn: append(api, said(str(turn), str(turn)), new=NEW))
    assert not any(answer.replayed for answer in answers)
    assert sorted(contents(api)) == [str(turn) for turn in range(8)]
    verified = api.get(f"{PATH}/verify").json
    assert (verified["valid"], verified["entries"]) == (True, 9)


def test_equal_messages_at_once_for_a_missing_conversation_are_stored_once(api: Api) -> None:
    answers = at_once(8, lambda _: append(api, said("once", "one"), new=NEW))
    assert contents(api) == ["once"]
    assert sum(answer.replayed for answer in answers) == 7


def put(api: Api, content: str, external_id: str = "one") -> tuple[StoredMemory, bool, bool]:
    new = new_memory(api.caller, CreateMemory(memorySpaceId="work", userId="ada", content=content))
    return put_memory(api.caller, replace(new, external_id=external_id), None, None)


def versions(api: Api) -> list[str]:
    memory = api.get("/v1/memories/by-external-id/one?memorySpaceId=work&userId=ada").json
    return [each["content"] for each in (memory, *memory["previousVersions"])]


def test_equal_memories_put_at_once_are_one_of_one_version(api: Api) -> None:
    answers = at_once(8, lambda _: put(api, "same"))
    assert len({memory.memory_id for memory, _, _ in answers}) == 1
    assert sum(created for _, created, _ in answers) == 1
    assert versions(api) == ["same"]


def test_different_memories_put_at_once_are_versions_of_one(api: Api) -> None:
    answers = at_once(6, lambda turn: put(api, str(turn)))
    assert len({memory.memory_id for memory, _, _ in answers}) == 1
    assert sum(created for _, created, _ in answers) == 1
    assert sorted(versions(api)) == [str(turn) for turn in range(6)]


def test_memories_put_and_deleted_at_once_are_there_or_gone_with_their_external_id(api: Api) -> None:
    def work(turn: int) -> Any:
        if turn % 2:
            return put(api, str(turn))
        return remove_memory(api.caller, ExternalMemoryId(api.caller.tenant, "one", "ada", "work").get_memory_id())

    for _ in range(5):
        answers = at_once(6, work)
        assert all(isinstance(answer, tuple) for answer in answers[1::2])
        assert all(answer is None or isinstance(answer, MemoryNotFound) for answer in answers[::2])
        stored = api.get("/v1/memories/by-external-id/one?memorySpaceId=work&userId=ada")
        assert stored.status in (200, 404)
        memory, created, _ = put(api, "after")
        assert created is (stored.status == 404)
        assert api.get(f"/v1/memories/{memory.memory_id}").json["content"] == "after"


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply], ids=["before", "behind"])
@pytest.mark.parametrize("is_missing", [False, True], ids=["existing", "missing"])
def test_what_a_process_appended_when_it_died_is_stored_once_by_the_repeat(
    tenant: str, fault: faults.Fault, *, is_missing: bool
) -> None:
    more = {"conversation": MISSING} if is_missing else {}
    batch = {"messages": [said("q", "one"), said("a", "two")], **more}
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        if not is_missing:
            api.post("/v1/conversations", {"conversationId": "chat", "type": "user-agent", **MISSING})
        with faults.dying_at(call, fault) as loss:
            first = api.post(MESSAGES, batch)
        assert first.status in (201, 503)
        assert contents(api) in ([], ["q", "a"])
        again = api.post(MESSAGES, batch)
        assert again.status == 201
        assert [message["messageId"] for message in again.json["messages"]] == ["msg-001", "msg-002"]
        assert contents(api) == ["q", "a"]
        if not loss.came:
            assert call > 1
            return
    pytest.fail(f"it takes more than {MOST_CALLS} requests")
