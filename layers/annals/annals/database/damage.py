"""Stored items that were changed behind Annals: how they are recognised, reported to operators, and salvaged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from annals import telemetry
from annals.errors import DamagedItem

logger = logging.getLogger("annals")

AttributeTypes = dict[str, type | tuple[type, ...]]
"""The types of some attributes, by their names."""

_T = TypeVar("_T")
_D = TypeVar("_D", bound=DamagedItem)


def find_mismatch(values: Any, always: AttributeTypes, sometimes: AttributeTypes) -> str | None:
    """Why some attributes are not these, in words: one is missing, or of another type; None where they are."""
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
    """Whether a value is of a type; a boolean is no number, though in Python it is."""
    return isinstance(value, types) and (types is bool or not isinstance(value, bool))


def report_damage(damaged: _D) -> _D:
    """Count an item that cannot be read, for the alarm, and name it in the log by its key."""
    telemetry.count("DamagedItems")
    logger.error("The item %s of %s cannot be read: %s", damaged.sk, damaged.pk, damaged.reason)
    return damaged


def decode_item(item: Mapping[str, Any], decode: Callable[[Mapping[str, Any]], _T]) -> _T:
    """What an item of the state table stands for. Raises DamagedItem, and reports it, where it cannot be decoded."""
    try:
        return decode(item)
    except DamagedItem as damaged:
        raise report_damage(damaged) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        raise report_damage(DamagedItem(pk, sk, f"{type(error).__name__} where it is read")) from error


def salvage_strings(item: Mapping[str, Any], name: str) -> dict[str, str]:
    """The string fields of the JSON object in an attribute, as far as it can be read: the ids in it, for one."""
    text = item.get(name, {}).get("S", "")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {name: part for name, part in value.items() if isinstance(part, str)} if isinstance(value, dict) else {}


def decode_readable(items: Iterable[Mapping[str, Any]], decode: Callable[[Mapping[str, Any]], _T]) -> Iterator[_T]:
    """What items stand for, without those that are damaged: a list shows the others. ``decode`` reports each."""
    for item in items:
        try:
            yield decode(item)
        except DamagedItem:
            continue
