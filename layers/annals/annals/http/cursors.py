"""Cursors: opaque to callers, refused when damaged."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from zlib import crc32

from annals.errors import InvalidInput


def write_cursor(kind: str, *place: Any) -> str:
    """A cursor of a kind of list that names a place in it."""
    text = json.dumps([kind, *place], separators=(",", ":")).encode()
    return urlsafe_b64encode(crc32(text).to_bytes(4, "big") + text).decode().rstrip("=")


def read_cursor(kind: str, cursor: str, *types: type | tuple[type, ...]) -> list[Any]:
    """The place that a cursor names, its parts of these types.

    Raises InvalidInput INVALID_CURSOR for any but one of this kind, as written.
    """
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found, *place = json.loads(raw[4:])
    except (ValueError, TypeError, RecursionError):
        raise _damaged() from None
    if found != kind or write_cursor(kind, *place) != cursor:
        raise _damaged()
    if len(place) != len(types) or not all(map(isinstance, place, types)):
        raise _damaged()
    return list(place)


def _damaged() -> InvalidInput:
    return InvalidInput("INVALID_CURSOR", "The cursor is damaged or belongs to another list.", field="cursor")
