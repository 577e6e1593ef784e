"""Events in: what comes through a queue or a bus is stored once, or is put aside with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from annals.errors import ConfigurationError
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE, SEAL, SEALED
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.ingesting import BUS, QUEUE, Failures, bus_event, call, failures_queue, record, take

pytestmark = pytest.mark.usefixtures("moto")

PEOPLE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
NAMED = {"conversationId": "lisbon", **PEOPLE}
HI = {"role": "user", "content": "Hi"}
TURN = {"memorySpaceId": "demo", "userId": "ada", "userMessage": "When?", "agentResponse": "At nine."}


@pytest.fixture
def failures(moto: None, tenant: str) -> Iterator[Failures]:
    with failures_queue(tenant) as queue:
        yield queue


def envelope(content: str = "Hi", conversation: dict[str, Any] = NAMED, **more: Any) -> dict[str, Any]:
    return {"conversation": conversation, "messages": [{"role": "user", "content": content}], **more}


def contents(api: Api, conversation_id: str = "lisbon") -> list[str]:
    answer = api.get(f"/v1/conversations/{conversation_id}/messages?order=asc")
    return [message["content"] for message in answer.json["items"]] if answer.status == 200 else []


def conversations(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/v1/conversations").json["items"]
    return items


@pytest.mark.usefixtures("failures")
def test_messages_are_stored_as_one_entry_of_a_conversation_that_is_made(api: Api) -> None:
    assert (
        take(record({"conversation": {**NAMED, "metadata": {"n": 1}}, "messages": [HI, {**HI, "content": "Ho"}]})) == []
    )
    assert contents(api) == ["Hi", "Ho"]
    assert api.get("/v1/conversations/lisbon/verify").json["entries"] == 2
    created = api.get("/v1/conversations/lisbon").json
    assert (created["metadata"], created["participants"]) == ({"n": 1}, PEOPLE["participants"])


@pytest.mark.usefixtures("failures")
def test_a_conversation_is_found_by_its_id_or_by_its_participants(api: Api) -> None:
    take(record(envelope("1", PEOPLE)), record(envelope("2", PEOPLE)))
    [created] = conversations(api)
    take(record(envelope("3", {"conversationId": created["conversationId"]})))
    assert contents(api, created["conversationId"]) == ["1", "2", "3"]


@pytest.mark.parametrize("owners", [{}, {"participants": PEOPLE["participants"]}])
def test_a_conversation_is_found_by_its_session_or_made(api: Api, failures: Failures, owners: dict[str, Any]) -> None:
    for text in ("1", "2"):
        take(record(envelope(text, {"sessionId": "s/1", **owners})))
    [created] = conversations(api)
    assert (created["sessionId"], created["participants"]) == ("s/1", owners.get("participants", {}))
    assert contents(api, created["conversationId"]) == ["1", "2"]
    take(record(envelope("3", {"conversationId": "other", "sessionId": "s/1", **owners})))
    assert failures.reasons() == ["SESSION_ALREADY_EXISTS"]
    take(record(envelope("4", {"conversationId": created["conversationId"], "sessionId": "s/1", **owners})))
    assert contents(api, created["conversationId"]) == ["1", "2", "4"]


@pytest.mark.usefixtures("failures")
def test_a_turn_is_remembered(api: Api) -> None:
    assert take(record({"turn": {**TURN, "conversationId": "lisbon"}})) == []
    assert contents(api) == ["When?", "At nine."]


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize("body", [envelope(), envelope("Hi", PEOPLE), {"turn": TURN}, envelope(idempotencyKey="k")])
def test_a_message_that_comes_again_stores_nothing(api: Api, body: dict[str, Any]) -> None:
    sent = record(body)
    assert take(sent) + take(sent) + take(sent, sent) == []
    [created] = conversations(api)
    assert len(contents(api, created["conversationId"])) == (2 if "turn" in body else 1)


@pytest.mark.usefixtures("failures")
def test_a_sender_that_tries_again_under_its_own_id_stores_nothing_twice(api: Api) -> None:
    assert take(record(envelope(), dedup="mine")) + take(record(envelope(), dedup="mine")) == []
    assert take(record(envelope("2"), "other group", dedup="mine")) == []
    assert contents(api) == ["Hi", "2"]


@pytest.mark.usefixtures("failures")
def test_one_key_is_one_event_whichever_way_it_comes(api: Api) -> None:
    take(record(envelope(idempotencyKey="k")))
    call(bus_event(envelope(idempotencyKey="k")))
    assert contents(api) == ["Hi"]


def test_a_key_that_comes_with_something_else_is_put_aside(api: Api, failures: Failures) -> None:
    take(record(envelope("1", idempotencyKey="k")), record(envelope("2", idempotencyKey="k")))
    assert contents(api) == ["1"]
    assert failures.reasons() == ["IDEMPOTENCY_KEY_REUSED"]


def test_nothing_is_made_for_an_event_that_was_stored_before_its_conversation_was_erased(
    api: Api, failures: Failures
) -> None:
    sent = record(envelope("Hi", PEOPLE))
    take(sent)
    [created] = conversations(api)
    append(api.caller.tenant, created["conversationId"], [NewRecord(ERASURE, b"{}")], state=ERASED)
    assert take(sent) == []
    assert len(conversations(api)) == 1
    assert failures.reasons() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "INVALID_JSON"),
        ("[]", "INVALID_FORMAT"),
        ("{}", "MISSING_REQUIRED_FIELD"),
        (envelope(tenant="acme"), "UNKNOWN_FIELD"),
        (envelope("Hi", {**NAMED, "tenant": "acme"}), "UNKNOWN_FIELD"),
        (envelope(turn=TURN), "UNKNOWN_FIELD"),
        (envelope(idempotencyKey=" "), "MISSING_REQUIRED_FIELD"),
        (envelope("Hi", {}), "MISSING_REQUIRED_FIELD"),
        (envelope("Hi", {"conversationId": "c", "type": "user-agent"}), "MISSING_REQUIRED_FIELD"),
        (
            envelope("Hi", {"conversationId": "c", **PEOPLE, "participants": {"userId": "ada"}}),
            "MISSING_REQUIRED_FIELD",
        ),
        (envelope("Hi", {"conversationId": "never-made"}), "CONVERSATION_NOT_FOUND"),
        ({"conversation": NAMED, "messages": []}, "EMPTY_ARRAY"),
        ({"conversation": NAMED, "messages": [{"role": "nobody", "content": "Hi"}]}, "INVALID_ROLE"),
        ({"turn": {**TURN, "userId": None}}, "OWNER_REQUIRED"),
        (envelope("x" * 400_000), "ENTRY_TOO_LARGE"),
        ("\ufffe", "INVALID_JSON"),
    ],
)
def test_what_cannot_be_stored_is_put_aside_with_its_reason(
    failures: Failures, api: Api, body: Any, reason: str
) -> None:
    sent, next_one = record(body), record(envelope("next"))
    assert take(sent, next_one) == []
    assert failures.read() == [(reason, {"Records": [sent]})]
    assert contents(api) == ["next"]


@pytest.mark.parametrize(
    ("kind", "state", "reason"),
    [(SEAL, SEALED, "CONVERSATION_SEALED"), (ERASURE, ERASED, "CONVERSATION_ERASED")],
)
def test_what_is_for_a_closed_conversation_is_put_aside(
    api: Api, failures: Failures, kind: str, state: str, reason: str
) -> None:
    take(record(envelope()))
    append(api.caller.tenant, "lisbon", [NewRecord(kind, b"{}")], state=state)
    assert take(record(envelope("late")), record({"turn": {**TURN, "conversationId": "lisbon"}})) == []
    assert failures.reasons() == [reason, reason]


def test_what_is_for_other_participants_is_put_aside(failures: Failures) -> None:
    take(record(envelope()))
    others = {**NAMED, "participants": {"userId": "bob", "memorySpaceId": "demo"}}
    assert take(record(envelope("Hi", others))) == []
    assert failures.reasons() == ["PARTICIPANT_MISMATCH"]


def test_the_tenant_follows_from_the_queue(api: Api, failures: Failures, setting: Setting) -> None:
    other = "arn:aws:sqs:us-east-1:000000000000:other.fifo"
    setting("INGEST_TENANTS", json.dumps({QUEUE: api.caller.tenant, other: "somebody"}))
    take(record(envelope("mine")), record(envelope("theirs"), source=other))
    assert contents(api) == ["mine"]
    assert contents(Api.of("somebody")) == ["theirs"]


def test_another_tenants_conversation_is_not_there(api: Api, failures: Failures, setting: Setting) -> None:
    take(record(envelope()))
    setting("ROOT_TENANT", f"not-{api.caller.tenant}")
    take(record(envelope("Ho", {"conversationId": "lisbon"})))
    assert failures.reasons() == ["CONVERSATION_NOT_FOUND"]
    assert contents(api) == ["Hi"]


@pytest.mark.parametrize("tenants", ["{}", "[]", "{", json.dumps({QUEUE: ""}), json.dumps({QUEUE: 1})])
def test_what_comes_through_a_queue_that_no_tenant_has_waits(
    api: Api, failures: Failures, setting: Setting, tenants: str
) -> None:
    setting("INGEST_TENANTS", tenants)
    sent = record(envelope())
    assert take(sent) == [sent["messageId"]]
    assert failures.reasons() == []


def test_what_cannot_be_put_aside_comes_again(failures: Failures, setting: Setting) -> None:
    setting("INGEST_FAILURES", failures.url + "-gone")
    first, second = record("{"), record(envelope())
    assert take(first, second) == [first["messageId"], second["messageId"]]


def notification(message: str, message_id: str = "sns-1") -> str:
    named = {"Type": "Notification", "MessageId": message_id, "TopicArn": "arn:aws:sns:us-east-1:000000000000:t"}
    return json.dumps({**named, "Message": message})


@pytest.mark.usefixtures("failures")
def test_an_sns_notification_holds_the_envelope_and_its_id(api: Api) -> None:
    body = notification(json.dumps(envelope()))
    assert take(record(body)) + take(record(body)) == []
    assert take(record(notification(json.dumps(envelope("2")), "sns-2"))) == []
    assert contents(api) == ["Hi", "2"]


def test_an_sns_notification_that_holds_no_envelope_is_put_aside_whole(failures: Failures) -> None:
    sent = record(notification("Hello"))
    take(sent)
    assert failures.read() == [("INVALID_JSON", {"Records": [sent]})]


@pytest.mark.usefixtures("failures")
def test_an_event_of_the_bus_is_stored_once(api: Api) -> None:
    event = bus_event(envelope())
    call(event)
    call(event)
    call(bus_event(envelope("2")))
    assert contents(api) == ["Hi", "2"]


def test_an_event_of_the_bus_that_cannot_be_stored_is_put_aside(failures: Failures) -> None:
    event = bus_event(envelope(tenant="acme"))
    call(event)
    assert failures.read() == [("UNKNOWN_FIELD", event)]


def test_an_event_of_the_bus_that_may_be_stored_later_is_raised(failures: Failures, setting: Setting) -> None:
    setting("INGEST_TENANTS", json.dumps({QUEUE: "acme"}))
    with pytest.raises(ConfigurationError, match="event-bus/ingest"):
        call(bus_event(envelope()))
    setting("INGEST_TENANTS", json.dumps({BUS: "acme"}))
    call(bus_event(envelope()))
    assert contents(Api.of("acme")) == ["Hi"]
