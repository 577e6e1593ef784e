"""Redriving events: what was put aside is stored once its cause is gone, and deleted only then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from annals.operations.redrive import redrive
from tests.support.api import Api
from tests.support.ingesting import Failures, bus_event, call, failures_queue, put_object, record, take

pytestmark = pytest.mark.usefixtures("moto")

PEOPLE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}


@pytest.fixture
def failures(moto: None, tenant: str) -> Iterator[Failures]:
    with failures_queue(tenant) as queue:
        yield queue


def envelope(content: str) -> dict[str, Any]:
    """An event for a conversation that is not there yet."""
    return {"conversation": {"conversationId": "lisbon"}, "messages": [{"role": "user", "content": content}]}


def make_conversation(api: Api) -> None:
    assert api.post("/v1/conversations", {**PEOPLE, "conversationId": "lisbon"}).status == 201


def contents(api: Api) -> list[str]:
    items = api.get("/v1/conversations/lisbon/messages?order=asc").json["items"]
    return [message["content"] for message in items]


def run(failures: Failures) -> tuple[int, int]:
    """How many events the command stored, and how many it could not."""
    redriven = redrive(failures.url)
    assert (redriven.expired, redriven.others) == (0, 0)
    return redriven.done, redriven.failed


def test_what_was_put_aside_is_stored_when_its_cause_is_gone(api: Api, failures: Failures) -> None:
    take(record(envelope("queue")))
    call(bus_event(envelope("bus")))
    call({"Records": [put_object("lisbon.jsonl", json.dumps(envelope("bucket")).encode())]})
    make_conversation(api)
    assert run(failures) == (3, 0)
    assert sorted(contents(api)) == ["bucket", "bus", "queue"]
    assert failures.count() == 0


def test_what_still_cannot_be_stored_stays(api: Api, failures: Failures) -> None:
    take(record(envelope("1")), record("{"), record({**envelope("2"), "tenant": "acme"}))
    make_conversation(api)
    assert run(failures) == (1, 2)
    assert failures.count() == 2
    assert contents(api) == ["1"]


def test_what_came_again_meanwhile_is_not_stored_twice(api: Api, failures: Failures) -> None:
    sent = record(envelope("1"))
    take(sent)
    take(sent)
    make_conversation(api)
    assert run(failures) == (2, 0)
    assert contents(api) == ["1"]


def test_what_lambda_gave_up_on_is_stored(api: Api, failures: Failures) -> None:
    """Lambda's own report of an asynchronous call that failed has the event inside."""
    make_conversation(api)
    report = {"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "responsePayload": {}}
    for event in (
        bus_event(envelope("bus")),
        {"Records": [put_object("a.jsonl", json.dumps(envelope("bucket")).encode())]},
    ):
        failures.sqs.send_message(QueueUrl=failures.url, MessageBody=json.dumps({**report, "requestPayload": event}))
    assert run(failures) == (2, 0)
    assert sorted(contents(api)) == ["bucket", "bus"]


def test_an_object_that_is_gone_stays(failures: Failures) -> None:
    sent_event = {"Records": [put_object("a.jsonl", b"{}")]}
    sent_event["Records"][0]["s3"]["object"]["key"] = "gone.jsonl"
    call(sent_event)
    assert run(failures) == (0, 1)
    assert failures.count() == 1
