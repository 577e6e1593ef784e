"""Events from a bus: the detail is the envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.errors import AnnalsError
from annals.ingest.failures import is_poison, set_aside
from annals.ingest.storing import IncomingEvent, store
from annals.json_text import dump
from annals.settings import settings


def store_event(event: Mapping[str, Any]) -> None:
    """Store an event, or set it aside if it can never be stored. What is raised has the bus deliver it again."""
    try:
        store(incoming_event(event))
    except AnnalsError as error:
        if not is_poison(error):
            raise
        set_aside(event, error)


def incoming_event(event: Mapping[str, Any]) -> IncomingEvent:
    """An event of the bus. It does not name the bus that it came through, so that is the one of the settings."""
    return IncomingEvent(settings().ingest_bus, event["id"], dump(event["detail"]))
