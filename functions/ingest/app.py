"""Store what comes as events: through a queue, a bus or a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.ingest.bus import take_event
from annals.ingest.queue import take_batch

SPARE_MS = 20_000
"""How much of the function's time is kept for what comes after an object's last line."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any] | None:
    """Store an event; what is raised, or reported as failed, comes again."""
    try:
        return _take(event, context)
    finally:
        telemetry.publish()


def _take(event: Mapping[str, Any], context: Any) -> dict[str, Any] | None:
    if "Records" not in event:
        take_event(event)
    elif "s3" in event["Records"][0]:
        from annals.ingest.objects import take_objects

        take_objects(event, lambda: context.get_remaining_time_in_millis() > SPARE_MS)
    else:
        return take_batch(event)
    return None
