"""Filters on the values of documents: ``{"status": "open", "size": {"$gte": 2}}``, as in the API's other filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from annals.errors import InvalidInput

MISSING: Any = object()
"""Stands for a field that a value does not have."""


def require_operators(conditions: Any, field: str = "filter") -> None:
    """Raise InvalidInput for an operator that there is not, or that cannot take what it is given."""
    if isinstance(conditions, list):
        for part in conditions:
            require_operators(part, field)
    if not isinstance(conditions, Mapping):
        return
    for name, operand in conditions.items():
        if name in ("$and", "$or", "$in", "$nin") and not isinstance(operand, list):
            raise InvalidInput("INVALID_FILTER", f"{field}: {name} takes a list.", field=field)
        if name == "$exists" and not isinstance(operand, bool):
            raise InvalidInput("INVALID_FILTER", f"{field}: $exists takes true or false.", field=field)
        if name.startswith("$") and name not in OPERATORS and name not in ("$and", "$or", "$not"):
            known = ", ".join([*OPERATORS, "$and", "$or", "$not"])
            raise InvalidInput(
                "INVALID_FILTER", f"{field}: there is no operator {name!r}; there are {known}.", field=field
            )
        if name in ("$and", "$or", "$not") or not name.startswith("$"):
            require_operators(operand, field if name.startswith("$") else f"{field}.{name}")


def matches(value: Any, conditions: Any) -> bool:
    """Whether a value meets all conditions; what is no object is met by a value that is equal to it."""
    if not isinstance(conditions, Mapping):
        return is_equal(value, conditions)
    return all(_meets(value, name, operand) for name, operand in conditions.items())


def _meets(value: Any, name: str, operand: Any) -> bool:
    if name == "$and":
        return all(matches(value, part) for part in operand)
    if name == "$or":
        return any(matches(value, part) for part in operand)
    if name == "$not":
        return not matches(value, operand)
    if name.startswith("$"):
        return OPERATORS[name](value, operand)
    return matches(value.get(name, MISSING) if isinstance(value, Mapping) else MISSING, operand)


def is_equal(value: Any, other: Any) -> bool:
    """Whether two JSON values are equal: true is not 1, and 1 is 1.0."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(is_equal, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(is_equal(value[name], other[name]) for name in value)
    return bool(value == other)


def _compare(is_so: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison of numbers with numbers and of texts with texts; anything else does not meet it."""

    def compare(value: Any, operand: Any) -> bool:
        is_text = isinstance(value, str) and isinstance(operand, str)
        return (is_text or (_is_number(value) and _is_number(operand))) and is_so(value, operand)

    return compare


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contains(value: Any, operand: Any) -> bool:
    if isinstance(value, list):
        return any(is_equal(part, operand) for part in value)
    return isinstance(value, str) and isinstance(operand, str) and operand in value


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": is_equal,
    "$ne": lambda value, operand: not is_equal(value, operand),
    "$in": lambda value, operand: any(is_equal(value, each) for each in operand),
    "$nin": lambda value, operand: not any(is_equal(value, each) for each in operand),
    "$gt": _compare(lambda value, operand: value > operand),
    "$gte": _compare(lambda value, operand: value >= operand),
    "$lt": _compare(lambda value, operand: value < operand),
    "$lte": _compare(lambda value, operand: value <= operand),
    "$contains": _contains,
    "$exists": lambda value, operand: (value is not MISSING) == operand,
}
"""Whether the value of a field meets an operator."""
