"""The bus that events are put on. The events that it does not take are returned to the caller, who tries again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import boto3
from botocore.config import Config

from annals.batches import batches
from annals.json_text import dump
from annals.settings import settings

SOURCE = "annals"

MAX_EVENTS = 10
"""How many events one request may put."""

MAX_BYTES = 200_000
"""The size of all details in one request; EventBridge takes 256 KB, their envelopes included."""


@dataclass(frozen=True)
class Event:
    """An event: its kind, its detail as JSON text, and the seq of the ledger's entry that it is about, or 0."""

    kind: str
    detail: str
    seq: int = 0

    @staticmethod
    def of(kind: str, detail: Mapping[str, Any], seq: int = 0) -> Event:
        """The event with a detail, from which fields that are None are left out."""
        return Event(kind, dump({name: value for name, value in detail.items() if value is not None}), seq)


@cache
def events_client() -> Any:
    """The client, created with the first event. Its timeouts are far shorter than the function's."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=2, read_timeout=5)
    events: Any = boto3.client("events", config=config)
    return events


def event_id(*parts: object) -> str:
    """The id of the event about these parts, the same whenever it is published again."""
    return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def publish(events: Sequence[Event]) -> list[Event]:
    """Put events on the bus. Returns those that it did not take."""
    failed = []
    for batch in batches(events, lambda event: len(event.detail.encode()), MAX_BYTES, MAX_EVENTS):
        entries = [
            {"Source": SOURCE, "DetailType": event.kind, "Detail": event.detail, "EventBusName": settings().events_bus}
            for event in batch
        ]
        answers = events_client().put_events(Entries=entries)["Entries"]
        failed += [event for event, answer in zip(batch, answers, strict=True) if "EventId" not in answer]
    return failed
