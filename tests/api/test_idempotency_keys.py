"""What an Idempotency-Key is bound to, how long it is known, and what of a request is left once its words are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from annals.conversations.lists import Selection, count_conversations
from annals.database.dynamodb import client, from_item
from annals.database.item_size import MAX_ENTRY_BYTES
from annals.ledger.entry import RECENT
from annals.ledger.tail import tails
from annals.settings import settings
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

REMEMBER, STREAM = "/v1/memory/remember", "/v1/memory/remember-stream"
MESSAGES = "/v1/conversations/conv-1/messages"
TURN = {"memorySpaceId": "work", "userId": "ada", "userMessage": "My PIN is 4711.", "agentResponse": "Noted."}
OF_BOB = {**TURN, "userId": "bob", "userMessage": "And mine is 0815."}
SAID = {"role": "user", "content": "once"}
PAIR = {"from": "planner", "to": "critic", "memorySpaceId": "work"}
TOO_LONG = "x" * MAX_ENTRY_BYTES


@pytest.fixture
def a_day_later() -> Iterator[Callable[[], None]]:
    """Moves the clock by a little more than a day."""
    with pytest.MonkeyPatch.context() as patch:
        moved = time.time_ns() + 86_402 * 10**9
        yield lambda: patch.setattr("time.time_ns", lambda: moved)


@pytest.fixture
def chat(api: Api) -> Api:
    """A client whose tenant has an empty conversation."""
    made = {
        "conversationId": "conv-1",
        "type": "user-agent",
        "participants": {"userId": "ada", "memorySpaceId": "work"},
    }
    api.post("/v1/conversations", made)
    return api


def conversation_of(answer: Any) -> str:
    return answer.json["conversation"]["conversationId"]


def count(api: Api) -> int:
    return count_conversations(Selection(api.caller.tenant))


def history(api: Api) -> list[str]:
    return [message["content"] for message in api.get(MESSAGES).json["items"]]


def items(api: Api) -> list[dict[str, Any]]:
    """All that both tables hold of the tenant."""
    stored = [
        item
        for table in (settings().ledger_table, settings().state_table)
        for page in client().get_paginator("scan").paginate(TableName=table)
        for item in page["Items"]
    ]
    return [values for values in map(from_item, stored) if values["pk"].startswith(f"T#{api.caller.tenant}#")]


def test_a_key_after_its_day_does_not_lead_into_the_conversation_that_it_made_before(
    api: Api, a_day_later: Callable[[], None]
) -> None:
    first = api.post(REMEMBER, TURN, idempotency_key="turn-1")
    a_day_later()
    second = api.post(REMEMBER, OF_BOB, idempotency_key="turn-1")
    assert (first.status, second.status) == (201, 201)
    assert conversation_of(first) != conversation_of(second)
    again = api.post(REMEMBER, OF_BOB, idempotency_key="turn-1")
    assert (conversation_of(again), again.headers["idempotent-replayed"]) == (conversation_of(second), "true")


def test_a_key_after_its_day_is_not_refused_for_a_conversation_that_was_erased(
    api: Api, a_day_later: Callable[[], None]
) -> None:
    first = api.post(REMEMBER, TURN, idempotency_key="turn-1")
    api.delete(f"/v1/conversations/{conversation_of(first)}")
    a_day_later()
    assert api.post(REMEMBER, OF_BOB, idempotency_key="turn-1").status == 201


@pytest.mark.parametrize("route", [REMEMBER, STREAM])
def test_a_refused_turn_leaves_no_conversation_and_its_key_is_free(api: Api, route: str) -> None:
    refused = api.post(route, {**TURN, "userMessage": TOO_LONG}, idempotency_key="turn-1")
    assert refused.problem[:2] == (413, "ENTRY_TOO_LARGE") if route == REMEMBER else refused.status == 422
    assert (count(api), items(api)) == (0, [])
    assert api.post(REMEMBER, OF_BOB, idempotency_key="turn-1").status == 201


def test_a_refused_turn_leaves_no_conversation_under_the_id_that_it_names(api: Api) -> None:
    assert api.post(REMEMBER, {**TURN, "conversationId": "conv-1", "agentResponse": TOO_LONG}).status == 413
    assert api.get("/v1/conversations/conv-1").status == 404
    assert items(api) == []


def test_a_reused_key_leaves_no_conversation(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "conversationId": "conv-1"}, idempotency_key="k")
    reused = api.post(REMEMBER, {**TURN, "conversationId": "conv-2"}, idempotency_key="k")
    assert reused.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    assert api.get("/v1/conversations/conv-2").status == 404
    assert count(api) == 1


@pytest.mark.parametrize(("text", "code"), [(TOO_LONG, "ENTRY_TOO_LARGE"), ("Other.", "IDEMPOTENCY_KEY_REUSED")])
def test_a_refused_message_between_agents_leaves_no_conversation(api: Api, text: str, code: str) -> None:
    api.post("/v1/a2a/messages", {"from": "a", "to": "b", "text": "First."}, idempotency_key="k")
    assert api.post("/v1/a2a/messages", {**PAIR, "text": text}, idempotency_key="k").problem[1] == code
    assert count(api) == 1


def test_a_message_between_agents_makes_their_conversation_with_it_and_once(api: Api) -> None:
    first = api.post("/v1/a2a/messages", {**PAIR, "text": "First."}, idempotency_key="k")
    again = api.post("/v1/a2a/messages", {**PAIR, "text": "First."}, idempotency_key="k")
    back = api.post("/v1/a2a/messages", {"from": "critic", "to": "planner", "memorySpaceId": "work", "text": "Second."})
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert (back.json["conversationId"], back.json["seq"]) == (first.json["conversationId"], 2)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (REMEMBER, TURN),
        ("/v1/memories", {"memorySpaceId": "work", "content": "A word.", "userId": "ada"}),
        ("/v1/users/ada/memories", {"memory": "A word."}),
        ("/v1/conversations", {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "work"}}),
        ("/v1/a2a/messages", {**PAIR, "text": "A word."}),
        (MESSAGES, SAID),
    ],
)
def test_another_callers_key_is_another_key(chat: Api, path: str, body: dict[str, Any]) -> None:
    other = Api(replace(chat.caller, key_id="token:bob"))
    first = chat.post(path, body, idempotency_key="k")
    second = other.post(path, body, idempotency_key="k")
    assert (first.status, second.status) == (201, 201)
    assert "idempotent-replayed" not in second.headers
    assert chat.post(path, body, idempotency_key="k").headers["idempotent-replayed"] == "true"


def test_a_turn_of_another_user_is_not_remembered_into_a_conversation(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "conversationId": "conv-1", "agentId": "helper"})
    for other in ({"userId": "bob"}, {"agentId": "other"}):
        refused = api.post(REMEMBER, {**TURN, "conversationId": "conv-1", **other})
        assert refused.problem == (409, "PARTICIPANT_MISMATCH", next(iter(other)))
    assert history(api) == ["My PIN is 4711.", "Noted."]


def test_facts_of_another_user_are_not_remembered_of_a_conversation(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "conversationId": "conv-1"})
    fact = {"fact": "It is 4711.", "subject": "PIN", "predicate": "is", "object": "4711"}
    body = {"memorySpaceId": "work", "conversationId": "conv-1", "messageIds": ["msg-001"], "facts": [fact]}
    refused = api.post("/v1/memory/remember-facts", {**body, "userId": "bob"})
    assert refused.problem == (409, "PARTICIPANT_MISMATCH", "userId")
    assert api.post("/v1/memory/remember-facts", {**body, "userId": "ada"}).status == 201


def test_a_turn_says_who_takes_part_only_if_it_wants_to(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "conversationId": "conv-1"})
    for body in ({"agentId": "helper"}, {"agentId": "other", "participantId": "tool"}):
        assert api.post(REMEMBER, {**TURN, "conversationId": "conv-1", **body}).status == 201
    by_agent = {**TURN, "conversationId": "conv-1", "agentId": "helper"}
    del by_agent["userId"]
    assert api.post(REMEMBER, by_agent).status == 201


def test_who_may_not_see_a_conversation_is_not_told_whose_it_is(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "conversationId": "conv-1"})
    stranger = Api(replace(api.caller, spaces=frozenset({"home"})))
    refused = stranger.post(REMEMBER, {**OF_BOB, "conversationId": "conv-1", "memorySpaceId": "home"})
    assert refused.problem[:2] == (404, "CONVERSATION_NOT_FOUND")


@pytest.mark.parametrize("is_known", [True, False], ids=["in the same process", "in another one"])
@pytest.mark.parametrize("first", [{"if_match": "0"}, {}])
@pytest.mark.parametrize("then", [{"if_match": "0"}, {"if_match": "1"}, {"if_match": "7"}, {}])
def test_a_key_is_known_again_whatever_is_expected_of_the_place(
    chat: Api, first: dict[str, str], then: dict[str, str], is_known: bool
) -> None:
    stored = chat.post(MESSAGES, SAID, idempotency_key="k", **first)
    if not is_known:
        tails.forget(f"T#{chat.caller.tenant}#C#conv-1")
    again = chat.post(MESSAGES, SAID, idempotency_key="k", **then)
    assert (again.status, again.json) == (201, stored.json)
    assert again.headers["idempotent-replayed"] == "true"
    other = chat.post(MESSAGES, {**SAID, "content": "other"}, idempotency_key="k", **then)
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    assert history(chat) == ["once"]


@pytest.mark.parametrize("then", [{"if_match": str(RECENT)}, {}])
def test_a_key_is_known_again_behind_others_appends(chat: Api, then: dict[str, str]) -> None:
    chat.post(MESSAGES, SAID, idempotency_key="k", if_match="0")
    for number in range(1, RECENT):
        chat.post(MESSAGES, {**SAID, "content": str(number)}, **({"if_match": str(number)} if number % 2 else {}))
    tails.forget(f"T#{chat.caller.tenant}#C#conv-1")
    assert chat.post(MESSAGES, SAID, idempotency_key="k", **then).headers["idempotent-replayed"] == "true"
    assert len(history(chat)) == RECENT


def test_a_key_that_expected_a_place_may_be_used_again_after_a_day(chat: Api, a_day_later: Callable[[], None]) -> None:
    chat.post(MESSAGES, SAID, idempotency_key="k", if_match="0")
    a_day_later()
    second = chat.post(MESSAGES, {**SAID, "content": "again"}, idempotency_key="k", if_match="1")
    assert (second.status, second.json["messages"][0]["seq"]) == (201, 2)


def test_a_key_that_expected_a_place_is_answered_after_the_seal(chat: Api) -> None:
    chat.post(MESSAGES, SAID, idempotency_key="k", if_match="0")
    chat.post("/v1/conversations/conv-1/seal")
    for then in ({"if_match": "0"}, {"if_match": "2"}, {}):
        assert chat.post(MESSAGES, SAID, idempotency_key="k", **then).headers["idempotent-replayed"] == "true"
    assert chat.post(MESSAGES, SAID, idempotency_key="k2", if_match="2").problem[1] == "CONVERSATION_SEALED"


@pytest.mark.parametrize("headers", [{"if_match": "0"}, {}])
def test_of_a_redacted_message_no_digest_of_its_request_is_left(chat: Api, headers: dict[str, str]) -> None:
    chat.post(MESSAGES, SAID, idempotency_key="k", **headers)
    (entry,) = [item for item in items(chat) if item["sk"] == "E#000000000001"]
    assert len(entry["idem"]) == 32
    chat.post(f"{MESSAGES}/msg-001/redact", {"reason": "asked"})
    (scrubbed,) = [item for item in items(chat) if item["sk"] == "E#000000000001"]
    assert scrubbed["idem"] == entry["idem"][:16]
    assert [item.keys() & {"digest", "salt"} for item in items(chat) if "#I#" in item["pk"]] == [set()] * (not headers)
    again = chat.post(MESSAGES, SAID, idempotency_key="k", **headers)
    assert (again.headers["idempotent-replayed"], again.json["messages"][0]["status"]) == ("true", "redacted")


def test_of_an_erased_conversation_no_digest_of_a_request_is_left(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "conversationId": "conv-1"}, idempotency_key="k")
    api.delete("/v1/conversations/conv-1")
    assert [item for item in items(api) if "idem" in item or "digest" in item] == []
    assert api.post(REMEMBER, {**TURN, "conversationId": "conv-1"}, idempotency_key="k").status == 410


def test_a_digest_of_a_request_is_salted(chat: Api) -> None:
    for key in ("k1", "k2"):
        chat.post(MESSAGES, SAID, idempotency_key=key)
        chat.post("/v1/memories", {"memorySpaceId": "work", "content": "A word.", "userId": "a"}, idempotency_key=key)
    digests = [item["idem"][16:] for item in items(chat) if "idem" in item]
    digests += [item["digest"] for item in items(chat) if "#I#" in item["pk"] and "digest" in item]
    assert len(set(digests)) == len(digests) == 4


def test_the_name_of_a_turns_facts_tells_nothing_of_them(api: Api, tenant: str) -> None:
    fact = {"fact": "Ada lives in Paris.", "subject": "Ada", "predicate": "lives in", "object": "Paris"}
    other = Api.of(f"{tenant}-b")
    ids = []
    for each in (api, other):
        each.post(REMEMBER, {**TURN, "conversationId": "conv-1"})
        body = {"memorySpaceId": "work", "conversationId": "conv-1", "messageIds": ["msg-001", "msg-002"]}
        answers = [each.post("/v1/memory/remember-facts", {**body, "userId": "ada", "facts": [fact]}) for _ in "12"]
        assert answers[0].json == answers[1].json
        ids.append(answers[0].json["facts"][0]["factId"])
    assert ids[0] != ids[1]
