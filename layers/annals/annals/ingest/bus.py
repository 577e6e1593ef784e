"""Events from a bus: the detail is the envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.errors import AnnalsError
from annals.ingest.failures import is_poison, report
from annals.ingest.storing import Arrived, store
from annals.json_text import dump
from annals.settings import settings


def take_event(event: Mapping[str, Any]) -> None:
    """Store an event, or put it aside where it can never be stored; anything else is raised, and it comes again."""
    try:
        store(arrived(event))
    except AnnalsError as error:
        if not is_poison(error):
            raise
        report(event, error)


def arrived(event: Mapping[str, Any]) -> Arrived:
    """What an event brings. It does not say which bus it came through, so that is the one of the settings."""
    return Arrived(settings().ingest_bus, event["id"], dump(event["detail"]))
