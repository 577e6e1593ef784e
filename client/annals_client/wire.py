"""How what is said in Python is written in a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

Time = datetime | str | int
"""A moment: an aware datetime, an RFC 3339 text, or Unix time in seconds, milliseconds or microseconds."""


def camel(name: str) -> str:
    """``memory_space_id`` as ``memorySpaceId``; ``from_`` as ``from``."""
    first, *rest = name.strip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def body(**said: Any) -> dict[str, Any]:
    """The fields that say something, under the API's names."""
    return {camel(name): plain(value) for name, value in said.items() if value is not None}


def plain(value: Any) -> Any:
    """A value as JSON has it. What callers keep in ``metadata`` and ``parts`` goes through unchanged."""
    if isinstance(value, datetime):
        return moment(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def moment(value: datetime) -> str:
    """An aware datetime as RFC 3339, UTC, with milliseconds. Raises ValueError for a naive one."""
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; say datetime.now(timezone.utc), not datetime.now()")
    return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def query(**said: Any) -> dict[str, str]:
    """The query parameters that say something, under the API's names."""
    return {camel(name): word(value) for name, value in said.items() if value is not None}


def word(value: Any) -> str:
    """A value as a query parameter has it; a list is separated by commas."""
    value = plain(value)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def path(template: str, ids: Mapping[str, str]) -> str:
    """A path template with its ids. Raises ValueError for an id that would make it another path."""
    for name, value in ids.items():
        if not value.strip() or value in (".", ".."):
            raise ValueError(f"{name} must name something, and not be {value!r}")
        template = template.replace(f"{{{camel(name)}}}", quote(value, safe=""))
    return template
