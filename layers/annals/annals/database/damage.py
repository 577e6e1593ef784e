"""Stored items that were changed behind Annals: what they should be, and how operators hear that they are not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from annals import telemetry
from annals.errors import DamagedItem

logger = logging.getLogger("annals")

AttributeTypes = dict[str, type | tuple[type, ...]]
"""The types that some attributes have."""

_T = TypeVar("_T")
_D = TypeVar("_D", bound=DamagedItem)


def find_mismatch(values: Any, always: AttributeTypes, sometimes: AttributeTypes) -> str | None:
    """What keeps some attributes from being these: one is missing, or of another type."""
    if not isinstance(values, dict):
        return "a part of it is of the wrong type"
    for name in always:
        if name not in values:
            return f"it has no {name}"
    for name, types in (always | sometimes).items():
        if name in values and not _is_of(values[name], types):
            return f"its {name} is of the wrong type"
    return None


def _is_of(value: Any, types: type | tuple[type, ...]) -> bool:
    """Whether a value is of a type; a truth value is no number, though Python has it as one."""
    return isinstance(value, types) and (types is bool or not isinstance(value, bool))


def report_damage(damaged: _D) -> _D:
    """Count an item that cannot be read, for the alarm, and name it in the log by its key."""
    telemetry.count("DamagedItems")
    logger.error("The item %s of %s cannot be read: %s", damaged.sk, damaged.pk, damaged.reason)
    return damaged


def decode_item(item: Mapping[str, Any], read: Callable[[Mapping[str, Any]], _T]) -> _T:
    """What is read of an item of the state table. Raises Damaged, and reports it, where it is not as it was written."""
    try:
        return read(item)
    except DamagedItem as damaged:
        raise report_damage(damaged) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        raise report_damage(DamagedItem(pk, sk, f"{type(error).__name__} where it is read")) from error


def salvage_strings(item: Mapping[str, Any], name: str) -> dict[str, str]:
    """What the JSON text in an attribute still says in words, where it can be read at all: the ids in it, for one."""
    text = item.get(name, {}).get("S", "")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


def decode_readable(items: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], _T]) -> Iterator[_T]:
    """What is read of items; those that cannot be read are reported and left out, so that a list shows the others."""
    for item in items:
        try:
            yield read(item)
        except DamagedItem:
            continue
