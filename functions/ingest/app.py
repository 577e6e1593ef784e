"""Store what comes as events: through a queue, a bus or a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.ingest.bus import store_event
from annals.ingest.queue import store_batch

SPARE_MS = 20_000
"""The time that is left to the function when it stops reading an object."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any] | None:
    """Store an event. What is raised, or reported as failed, is delivered again."""
    try:
        return _store(event, context)
    finally:
        telemetry.publish()


def _store(event: Mapping[str, Any], context: Any) -> dict[str, Any] | None:
    if "Records" not in event:
        store_event(event)
    elif "s3" in event["Records"][0]:
        from annals.ingest.objects import store_objects

        store_objects(event, lambda: context.get_remaining_time_in_millis() > SPARE_MS)
    else:
        return store_batch(event)
    return None
