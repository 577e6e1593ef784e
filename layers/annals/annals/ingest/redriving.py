"""Redriving events: what was set aside is stored after all, once the cause of its failure is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.ingest import bus, queue
from annals.ingest.objects import store_object
from annals.ingest.storing import store


class IngestFailure:
    """An event that could not be stored: the event itself, or Lambda's report of one that it gave up on."""

    def matches(self, message: Mapping[str, Any]) -> bool:
        """Whether it holds an event for the ingest function."""
        event = _event(message)
        return {"id", "detail"} <= event.keys() or any("s3" in record or "body" in record for record in _records(event))

    def retry(self, message: Mapping[str, Any]) -> None:
        """Store the event. Raises AnnalsError."""
        event = _event(message)
        if "detail" in event:
            store(bus.incoming_event(event))
        for record in _records(event):
            if "s3" in record:
                store_object(record, lambda: True)
            else:
                store(queue.incoming_event(record))


def _event(message: Mapping[str, Any]) -> Mapping[str, Any]:
    event: Mapping[str, Any] = message.get("requestPayload", message)
    return event


def _records(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    records: list[Mapping[str, Any]] = event.get("Records", [])
    return records
