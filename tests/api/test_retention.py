"""Retention: in a space that has one, conversations go by themselves once nothing was said for so many days."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory import retention_timers
from annals.memory.message_drafts.draft_items import TIMER_PREFIX
from annals.settings import settings
from local.streams import matches_patterns
from local.workers import Context
from tests.support.api import Api
from tests.support.stack import TEMPLATE, function

pytestmark = pytest.mark.usefixtures("moto")

DAY_S = 86_400
SPACE = "/v1/spaces/home"
CONVERSATION = {
    "type": "user-agent",
    "participants": {"userId": "ada", "memorySpaceId": "home"},
    "conversationId": "one",
}
HELLO = {"role": "user", "content": "hello"}
Later = Callable[[float], None]


@pytest.fixture(autouse=True)
def stored() -> None:
    """No process remembers a space's retention from an earlier test."""
    retention_timers._cached_retention_days.cache_clear()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Lets so many days go by."""

    def go_by(days: float) -> None:
        then = time.time_ns() + round(days * DAY_S * 1e9)
        monkeypatch.setattr("time.time_ns", lambda: then)

    return go_by


def deliver(name: str, pk: str, sk: str, event: str = "INSERT") -> None:
    """Tell a stream function of an item."""
    keys = {"pk": {"S": pk}, "sk": {"S": sk}}
    record = {"eventName": event, "dynamodb": {"Keys": keys, "SequenceNumber": "1"}}
    assert function(name).handler({"Records": [record]}, Context(name)) == {"batchItemFailures": []}


def talk(api: Api, *, retention_days: int | None) -> str:
    """A conversation with a message in a space, projected; its partition key."""
    message = {} if retention_days is None else {"retentionDays": retention_days}
    assert api.put(SPACE, message).status in (200, 201)
    assert api.post("/v1/conversations", CONVERSATION).status == 201
    say(api, 1)
    return conversation_pk(api.caller.tenant, "one")


def say(api: Api, seq: int) -> None:
    assert api.post("/v1/conversations/one/messages", HELLO).status == 201
    deliver("project", conversation_pk(api.caller.tenant, "one"), entry_sk(seq))


def key(pk: str) -> dict[str, Any]:
    return {"TableName": settings().state_table, "Key": {"pk": {"S": pk}, "sk": {"S": retention_timers.TIMER}}}


def timer(pk: str) -> float | None:
    """In how many days a conversation's timer runs out; None where it has none."""
    item = client().get_item(**key(pk)).get("Item")
    return (int(item["expiresAt"]["N"]) - time.time_ns() / 1e9) / DAY_S if item else None


def run_out(pk: str) -> None:
    """DynamoDB deletes the timer, and its stream tells."""
    client().delete_item(**key(pk))
    deliver("finish_erasure", pk, retention_timers.TIMER, "REMOVE")


def test_a_conversation_gets_a_timer_that_outlasts_its_retention(api: Api) -> None:
    left = timer(talk(api, retention_days=30))
    assert left is not None
    assert 30 <= left <= 31


def test_without_retention_there_is_no_timer(api: Api) -> None:
    assert timer(talk(api, retention_days=None)) is None


def test_a_silent_conversation_is_erased_with_a_receipt_that_says_why(api: Api, later: Later) -> None:
    pk = talk(api, retention_days=30)
    later(31)
    run_out(pk)
    assert api.get("/v1/conversations/one").problem[:2] == (410, "CONVERSATION_ERASED")
    assert api.get("/v1/conversations").json["items"] == []
    receipt = api.delete("/v1/conversations/one").json
    assert (receipt["status"], receipt["reason"], receipt["removed"]["messages"]) == ("erased", "retention", 1)
    assert api.get("/v1/conversations/one/verify").json["valid"]


def test_what_was_asked_for_has_no_reason_of_its_own(api: Api) -> None:
    talk(api, retention_days=30)
    assert "reason" not in api.delete("/v1/conversations/one").json


def test_a_message_gives_the_conversation_another_while(api: Api, later: Later) -> None:
    pk = talk(api, retention_days=30)
    later(20)
    say(api, 2)
    left = timer(pk)
    assert left is not None
    assert 30 <= left <= 31


def test_messages_of_one_day_write_the_timer_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    midday = (time.time_ns() // 10**9 // DAY_S + 0.5) * DAY_S * 1e9
    monkeypatch.setattr("time.time_ns", lambda: round(midday))
    pk = talk(api, retention_days=30)
    written: list[str] = []
    hooks = client().meta.events

    def note(params: dict[str, Any], **_: Any) -> None:
        written.extend(["timer"] * ('"RETENTION"' in str(params["body"])))

    hooks.register("before-call.dynamodb.TransactWriteItems", note, unique_id="retention-test")
    try:
        deliver("project", pk, entry_sk(1))
        deliver("project", pk, entry_sk(0))
    finally:
        hooks.unregister("before-call.dynamodb.TransactWriteItems", unique_id="retention-test")
    assert written == []


def test_a_timer_that_goes_too_early_is_set_anew(api: Api, later: Later) -> None:
    pk = talk(api, retention_days=30)
    later(29)
    run_out(pk)
    assert api.get("/v1/conversations/one").status == 200
    left = timer(pk)
    assert left is not None
    assert 1 <= left <= 2


def test_a_retention_that_was_taken_back_erases_nothing(api: Api, later: Later) -> None:
    pk = talk(api, retention_days=30)
    api.put(SPACE, {})
    later(31)
    run_out(pk)
    assert api.get("/v1/conversations/one").status == 200
    assert timer(pk) is None


def test_a_longer_retention_counts_when_the_timer_runs_out(api: Api, later: Later) -> None:
    pk = talk(api, retention_days=30)
    api.put(SPACE, {"retentionDays": 60})
    later(31)
    run_out(pk)
    left = timer(pk)
    assert left is not None
    assert 29 <= left <= 30


def test_a_record_that_comes_again_finishes_what_died(api: Api, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    pk = talk(api, retention_days=30)
    later(31)
    with monkeypatch.context() as patch:
        patch.setattr("annals.memory.erasure.conversation_erasure.scrub_item", lambda item: 1 / 0)
        client().delete_item(**key(pk))
        with pytest.raises(AssertionError):
            deliver("finish_erasure", pk, retention_timers.TIMER, "REMOVE")
    assert api.get("/v1/conversations/one").status == 410
    deliver("finish_erasure", pk, retention_timers.TIMER, "REMOVE")
    assert api.delete("/v1/conversations/one").json["status"] == "erased"


KINDS = ("INSERT", "MODIFY", "REMOVE")


def test_the_function_hears_of_timers_that_go_and_of_none_that_are_set() -> None:
    (patterns,) = [each.patterns for each in TEMPLATE.mappings if each.function == "finish_erasure"]
    for timer in (retention_timers.TIMER, f"{TIMER_PREFIX}a-draft"):
        keys = {"Keys": {"pk": {"S": "T#t#C#c"}, "sk": {"S": timer}}}
        heard = {kind: matches_patterns({"eventName": kind, "dynamodb": keys}, patterns) for kind in KINDS}
        assert heard == {"INSERT": False, "MODIFY": False, "REMOVE": True}


@pytest.mark.parametrize("days", [0, 3651, -1, 1.5, "30", True])
def test_a_retention_that_is_no_number_of_days_is_refused(api: Api, days: Any) -> None:
    assert api.put(SPACE, {"retentionDays": days}).problem[::2] == (422, "retentionDays")
    assert api.get(SPACE).problem[1] == "SPACE_NOT_FOUND"


@pytest.mark.parametrize("before", [None, 30])
@pytest.mark.parametrize("after", [None, 1, 60])
def test_a_retention_is_changed_only_by_who_may_erase(api: Api, before: int | None, after: int | None) -> None:
    admin = api.limited(scopes={"admin", "read", "write"})
    api.put(SPACE, {"name": "old", "retentionDays": before})
    answer = admin.put(SPACE, {"name": "new", "retentionDays": after})
    if before == after:
        assert (answer.status, answer.json["name"]) == (200, "new")
    else:
        assert answer.problem == (403, "FORBIDDEN", "retentionDays")
        assert api.get(SPACE).json["name"] == "old"
    assert api.get(SPACE).json.get("retentionDays") == before


def test_a_new_space_gets_its_retention_only_from_who_may_erase(api: Api) -> None:
    admin = api.limited(scopes={"admin"})
    assert admin.put(SPACE, {"retentionDays": 1}).problem == (403, "FORBIDDEN", "retentionDays")
    assert api.get(SPACE).problem[1] == "SPACE_NOT_FOUND"
    assert admin.put(SPACE, {"name": "new"}).status == 201


def test_a_space_shows_its_retention_until_it_is_taken_back(api: Api) -> None:
    assert api.put(SPACE, {"retentionDays": 3650}).json["retentionDays"] == 3650
    assert api.get(SPACE).json["retentionDays"] == 3650
    assert "retentionDays" not in api.put(SPACE, {"retentionDays": None}).json
