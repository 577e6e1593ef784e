"""Remembering turns."""

from __future__ import annotations

from typing import Any

import pytest

from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

REMEMBER = "/v1/memory/remember"
TURN = {"memorySpaceId": "work", "userId": "ada", "userMessage": "When does it run?", "agentResponse": "At nine."}
IN_CONV = {**TURN, "conversationId": "conv-1"}


def _history(api: Api, conversation_id: str = "conv-1") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"/v1/conversations/{conversation_id}/messages").json["items"]
    return items


def test_a_turn_is_two_messages_and_two_memories_that_name_them(api: Api) -> None:
    answer = api.post(REMEMBER, IN_CONV)
    assert answer.status == 201
    assert answer.json["conversation"] == {
        "conversationId": "conv-1",
        "messageIds": ["msg-001", "msg-002"],
        "messageCount": 2,
    }
    assert [memory["conversationRef"] for memory in answer.json["memories"]] == [
        {"conversationId": "conv-1", "messageIds": ["msg-001"]},
        {"conversationId": "conv-1", "messageIds": ["msg-002"]},
    ]
    assert [memory["content"] for memory in answer.json["memories"]] == ["When does it run?", "At nine."]
    assert {memory["userId"] for memory in answer.json["memories"]} == {"ada"}


def test_the_messages_of_a_turn_are_the_user_s_and_the_assistant_s(api: Api) -> None:
    api.post(REMEMBER, IN_CONV)
    assert [(message["role"], message["content"]) for message in _history(api)] == [
        ("user", "When does it run?"),
        ("assistant", "At nine."),
    ]
    assert api.get("/v1/conversations/conv-1/verify").json["entries"] == 2


def test_a_missing_conversation_is_made_once(api: Api) -> None:
    first, second = api.post(REMEMBER, IN_CONV), api.post(REMEMBER, IN_CONV)
    assert second.json["conversation"]["messageIds"] == ["msg-003", "msg-004"]
    assert first.json["conversation"]["conversationId"] == "conv-1"
    conversation = api.get("/v1/conversations/conv-1").json
    assert conversation["participants"] == {"userId": "ada", "memorySpaceId": "work"}


def test_a_turn_without_a_conversation_gets_a_new_one(api: Api) -> None:
    ids = {api.post(REMEMBER, TURN).json["conversation"]["conversationId"] for _ in range(2)}
    assert len(ids) == 2
    assert all(len(_history(api, conversation_id)) == 2 for conversation_id in ids)


def test_a_turn_sent_again_with_its_key_makes_neither_a_conversation_nor_messages(api: Api) -> None:
    first = api.post(REMEMBER, TURN, idempotency_key="k")
    again = api.post(REMEMBER, TURN, idempotency_key="k")
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert len(_history(api, first.json["conversation"]["conversationId"])) == 2
    other = api.post(REMEMBER, {**TURN, "agentResponse": "At ten."}, idempotency_key="k")
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_conversation_of_another_space_is_not_remembered_into(api: Api) -> None:
    api.post(REMEMBER, IN_CONV)
    other = {**IN_CONV, "memorySpaceId": "home"}
    assert api.post(REMEMBER, other).problem == (409, "MEMORY_SPACE_MISMATCH", "memorySpaceId")
    assert len(_history(api)) == 2


def test_who_may_not_see_the_conversation_s_space_learns_nothing_of_it(api: Api) -> None:
    api.post(REMEMBER, IN_CONV)
    home = api.limited(spaces={"home"})
    assert home.post(REMEMBER, {**IN_CONV, "memorySpaceId": "home"}).problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert home.post(REMEMBER, TURN).problem == (404, "NOT_FOUND", "memorySpaceId")


def test_an_erased_conversation_is_not_remembered_into(api: Api) -> None:
    api.post(REMEMBER, IN_CONV)
    append(api.caller.tenant, "conv-1", [NewRecord(ERASURE, b"{}")], state=ERASED)
    assert api.post(REMEMBER, IN_CONV).problem[:2] == (410, "CONVERSATION_ERASED")


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"importance": -1}, "INVALID_IMPORTANCE", "importance"),
        ({"importance": 101}, "INVALID_IMPORTANCE", "importance"),
        ({"importance": 50.5}, "INVALID_IMPORTANCE", "importance"),
        ({"importance": True}, "INVALID_IMPORTANCE", "importance"),
        ({"tags": ["a", " "]}, "INVALID_FORMAT", "tags[1]"),
        ({"tags": [""]}, "INVALID_FORMAT", "tags[0]"),
        ({"tags": "a"}, "INVALID_FORMAT", "tags"),
        ({"userId": None}, "OWNER_REQUIRED", "userId"),
        ({"userMessage": " "}, "MISSING_REQUIRED_FIELD", "userMessage"),
        ({"agentResponse": ""}, "MISSING_REQUIRED_FIELD", "agentResponse"),
        ({"memorySpaceId": ""}, "MISSING_REQUIRED_FIELD", "memorySpaceId"),
        ({"conversationId": "a\nb"}, "INVALID_ID_FORMAT", "conversationId"),
        ({"colour": "red"}, "UNKNOWN_FIELD", "colour"),
    ],
)
def test_a_turn_that_cannot_be_is_refused_by_field(api: Api, more: dict[str, Any], code: str, field: str) -> None:
    assert api.post(REMEMBER, {**IN_CONV, **more}).problem == (422, code, field)
    assert api.get("/v1/conversations/conv-1").status == 404


def test_importance_tags_and_metadata_are_the_memories(api: Api) -> None:
    marks = {"importance": 0, "tags": ["train", "ü"], "metadata": {"_a": [1.5, None]}}
    for memory in api.post(REMEMBER, {**IN_CONV, **marks}).json["memories"]:
        assert {name: memory[name] for name in marks} == marks
    assert "memory" not in _history(api)[0]


def test_a_turn_of_an_agent_alone_belongs_to_it(api: Api) -> None:
    turn = {**{name: value for name, value in IN_CONV.items() if name != "userId"}, "agentId": "bot"}
    assert {memory["agentId"] for memory in api.post(REMEMBER, turn).json["memories"]} == {"bot"}


def test_remembering_needs_the_scope_write(api: Api) -> None:
    assert api.limited(scopes={"read"}).post(REMEMBER, TURN).problem[:2] == (403, "FORBIDDEN")
