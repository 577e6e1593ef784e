"""The bus that events are put on. What it does not take is told to the caller, who tries again."""

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
"""How much the details of one request may say together; EventBridge takes 256 KB with all else."""


@dataclass(frozen=True)
class Event:
    """An event: its kind, what it says as JSON text, and the seq of the ledger's entry that it tells of, or 0."""

    kind: str
    detail: str
    seq: int = 0

    @staticmethod
    def of(kind: str, said: Mapping[str, Any], seq: int = 0) -> Event:
        """The event that says so; what is None is left out."""
        return Event(kind, dump({name: value for name, value in said.items() if value is not None}), seq)


@cache
def events_client() -> Any:
    """The client, made when the first event is put. A silent bus is given up long before the function's own end."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=2, read_timeout=5)
    made: Any = boto3.client("events", config=config)
    return made


def event_id(*named: object) -> str:
    """The id of the event that is named so, whenever it is told."""
    return sha256("\0".join(map(str, named)).encode()).hexdigest()[:32]


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
