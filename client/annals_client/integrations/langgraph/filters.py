"""Filters of searches: as LangGraph's stores have them, and the part of them that the server applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MAX_TEXT_CHARS, MAX_DEPTH = 1000, 10
"""How long a text may be, and how deep a condition, that the server takes."""


def matches(value: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether an item's value meets all conditions. A field that is missing is None.

    Raises ValueError for an operator that there is not.
    """
    return all(_meets(value.get(name), wanted) for name, wanted in conditions.items())


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_operator(name)(value, operand) for name, operand in wanted.items())
        return isinstance(value, Mapping) and matches(value, wanted)
    if isinstance(wanted, list | tuple):
        is_list = isinstance(value, list) and len(value) == len(wanted)
        return is_list and all(_meets(part, of) for part, of in zip(value, wanted, strict=True))
    return bool(value == wanted)


def _compare(is_so: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison of two numbers or of two texts; of anything else it does not hold."""

    def compare(value: Any, operand: Any) -> bool:
        is_text = isinstance(value, str) and isinstance(operand, str)
        return (is_text or (_is_number(value) and _is_number(operand))) and is_so(value, operand)

    return compare


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, operand: bool(value == operand),
    "$ne": lambda value, operand: bool(value != operand),
    "$gt": _compare(lambda value, operand: value > operand),
    "$gte": _compare(lambda value, operand: value >= operand),
    "$lt": _compare(lambda value, operand: value < operand),
    "$lte": _compare(lambda value, operand: value <= operand),
}


def _operator(name: str) -> Callable[[Any, Any], bool]:
    if name not in OPERATORS:
        raise ValueError(f"Unsupported operator: {name}")
    return OPERATORS[name]


def server_filter(conditions: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """The conditions that the server decides in the same way, so that less is read; the others are decided here."""
    narrowed = {}
    for name, wanted in conditions.items():
        if name.startswith("$") or not name.strip() or len(name) > MAX_TEXT_CHARS:
            continue
        if isinstance(wanted, Mapping) and not any(inner.startswith("$") for inner in wanted):
            if depth < MAX_DEPTH and (inner_filter := server_filter(wanted, depth + 1)):
                narrowed[name] = inner_filter
        elif isinstance(wanted, Mapping):
            if wanted.keys() <= OPERATORS.keys() and all(_is_same(name, of) for name, of in wanted.items()):
                narrowed[name] = dict(wanted)
        elif _is_plain(wanted):
            narrowed[name] = wanted
    return narrowed


def _is_same(operator: str, operand: Any) -> bool:
    """Whether an operator means the same to the server."""
    return _is_plain(operand) or (_is_number(operand) and operator not in ("$eq", "$ne"))


def _is_plain(wanted: Any) -> bool:
    """Whether a value means the same to the server: true is not 1 there, and an empty text or null is refused."""
    if isinstance(wanted, str):
        return bool(wanted.strip()) and len(wanted) <= MAX_TEXT_CHARS
    return _is_number(wanted) and wanted not in (0, 1)
