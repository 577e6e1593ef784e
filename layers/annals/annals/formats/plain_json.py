"""JSON that the server keeps as it is."""

from __future__ import annotations

import math
from typing import Any

from .references import FIELD

MAX_DEPTH = 48
"""How deep a value may nest, so that the request around it still can."""
MAX_WHOLE = 2**1023


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether this is JSON that the server keeps as it is; else it is kept as a text."""
    if isinstance(value, str):
        return value == without_surrogates(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < MAX_WHOLE
    if depth == MAX_DEPTH:
        return False
    if isinstance(value, dict):
        names = all(isinstance(name, str) and name != FIELD and is_plain(name) for name in value)
        return names and all(is_plain(part, depth + 1) for part in value.values())
    return value is None or (isinstance(value, list) and all(is_plain(part, depth + 1) for part in value))


def without_surrogates(text: str) -> str:
    """A text with a question mark for each half of a surrogate pair, which UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode()
