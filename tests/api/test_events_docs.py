"""docs/events.md: what it shows is what is taken and told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from annals.ingest.storing import RETENTION_S
from annals.ledger.keys import conversation_pk
from annals.publishing.events import Change, ConversationKind, FactKind, MemoryKind
from local.template import ROOT
from tests.support.ingesting import Failures, call, failures_queue, put_object, record, take
from tests.support.ledgers import read_contents
from tests.support.pages import blocks

pytestmark = pytest.mark.usefixtures("moto")

PAGE = (ROOT / "docs/events.md").read_text()


ENVELOPES = [text for text in blocks("events.md", "json") if "detail-type" not in text]
PUBLISHED = [json.loads(text) for text in blocks("events.md", "json") if "detail-type" in text]


@pytest.fixture
def failures(moto: None, tenant: str) -> Iterator[Failures]:
    with failures_queue(tenant) as queue:
        yield queue


def contents(tenant: str, conversation_id: str) -> list[str]:
    return [json.loads(body)["content"] for body in read_contents(conversation_pk(tenant, conversation_id))]


def test_the_envelopes_are_stored_one_after_the_other(tenant: str, failures: Failures) -> None:
    assert take(*(record(text) for text in ENVELOPES)) == []
    assert failures.reasons() == []
    assert contents(tenant, "lisbon") == [
        "I am allergic to peanuts.",
        "Noted: no peanuts.",
        "And no shrimps.",
        "When do I fly?",
        "On 3 May.",
    ]


def test_the_transcript_is_stored(tenant: str, failures: Failures) -> None:
    [transcript] = blocks("events.md", "jsonl")
    call({"Records": [put_object("porto.jsonl", transcript.encode())]})
    assert failures.reasons() == []
    assert contents(tenant, "porto") == ["Is there a train?", "One at nine.", "Thanks."]


def test_the_program_that_sends_is_understood(tenant: str, failures: Failures, monkeypatch: pytest.MonkeyPatch) -> None:
    url = failures.sqs.create_queue(QueueName="in.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    monkeypatch.setenv("INGEST_QUEUE_URL", url)
    exec(blocks("events.md", "python")[0], {})  # noqa: S102 - the page's own program
    [message] = failures.sqs.receive_message(QueueUrl=url)["Messages"]
    assert take(record(ENVELOPES[0]), record(message["Body"])) == []
    assert contents(tenant, "lisbon")[-1] == "A seat at the window, please."


@pytest.mark.parametrize("event", PUBLISHED, ids=lambda event: event["detail-type"])
def test_a_published_event_is_of_the_documented_form(event: Any) -> None:
    TypeAdapter[Any](Change).validate_python(event)


def test_every_kind_of_event_is_named() -> None:
    kinds = {kind for kinds in (ConversationKind, MemoryKind, FactKind) for kind in kinds.__args__}
    assert kinds <= set(re.findall(r"`(\w+)`", PAGE))


def test_keys_are_known_for_as_long_as_the_page_says() -> None:
    assert f"known for {RETENTION_S // 86_400} days" in PAGE
