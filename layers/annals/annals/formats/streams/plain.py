"""Chunks as plain JSON: dicts, lists, texts and numbers, whatever an SDK makes of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from enum import Enum
from math import isfinite
from typing import Any

EXACT = (str, int, bool, type(None))


def to_plain(value: Any) -> Any:
    """A value as plain JSON: an object of an SDK as an object of its fields, bytes as base64."""
    if type(value) in EXACT:
        return value
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, Mapping):
        return {str(name): to_plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(part) for part in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(bytes(value)).decode()
    return _fields(value)


def _fields(value: Any) -> Any:
    """The fields of an object, without those that are not set; what has no fields, as text."""
    if hasattr(value, "model_dump"):
        try:
            # A snapshot repeats all that came before, in each event anew.
            dumped = value.model_dump(
                mode="json", by_alias=True, exclude_none=True, exclude={"snapshot"}, warnings=False
            )
        except TypeError:
            dumped = value.model_dump()
        return to_plain(dumped)
    if hasattr(value, "__dict__"):
        return {name: to_plain(part) for name, part in vars(value).items() if not name.startswith("_")}
    return str(value)


def field(value: Any, name: str) -> Any:
    """A field of a dict or of an object; None where there is none."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
