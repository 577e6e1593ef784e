"""What an item weighs, and the most that one may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WRITE_UNIT_BYTES = 1024
"""A write costs a unit for each of these, begun ones too."""

MAX_ENTRY_BYTES = 380 * 1024
"""The most that an entry of the ledger may weigh before deflating. DynamoDB takes 400 KB."""

MAX_ITEM_BYTES = 399 * 1024
"""The most that an item of the state table may weigh, its key and its names with it; ``writeId`` may be added."""


def item_size(value: Any) -> int:
    """The bytes that DynamoDB counts for a value: names, values, and its overhead for maps, lists and numbers.

    Source: "DynamoDB item sizes and formats" in the Amazon DynamoDB developer guide.
    """
    if isinstance(value, Mapping):
        return sum(len(name.encode()) + _nested_size(part) for name, part in value.items())
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, list):
        return 3 + sum(1 + _nested_size(part) for part in value)
    return (len(str(value)) + 1) // 2 + 1


def write_units(size: int) -> int:
    """What a write of so many bytes costs."""
    return -(-size // WRITE_UNIT_BYTES)


def _nested_size(value: Any) -> int:
    return item_size(value) + (3 + len(value) if isinstance(value, Mapping) else 0)
