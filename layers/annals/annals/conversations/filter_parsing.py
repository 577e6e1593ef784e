"""Parsing filters on conversations: in JSON, ``{"participants": {"userId": "ada"}, "messageCount": {"$gte": 2}}``.

The paths nest there, and a value may be an operator with its value. As query parameters (``query_params.lists``) paths
are whole, ``participants.userId=ada``. Both become the same conditions here, and are checked in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from annals.api.fields import MAX_EXTERNAL_ID_CHARS, MAX_ID_CHARS
from annals.api.query import parse_time
from annals.conversations.filters import (
    COUNT,
    CREATED,
    ENUM_FILTERS,
    LAST_MESSAGE,
    PARTICIPANT_FILTERS,
    SESSION_FILTER,
    SPACE_FILTER,
    ConversationCondition,
    ConversationFilter,
)
from annals.errors import InvalidInput
from annals.ledger.keys import MAX_SEQ

BOUNDS = {
    "createdAfter": (CREATED, "$gt"),
    "createdBefore": (CREATED, "$lt"),
    "lastMessageAfter": (LAST_MESSAGE, "$gt"),
    "lastMessageBefore": (LAST_MESSAGE, "$lt"),
    "messageCountMin": (COUNT, "$gte"),
    "messageCountMax": (COUNT, "$lte"),
}
"""The names that are another way of writing a path and an operator."""

PUBLIC_OPERATORS = ("$eq", "$in", "$gte", "$lte", "$contains")


def filter_from_json(values: Mapping[str, Any], field: str = "filter") -> ConversationFilter:
    """The filter of a JSON body, a ``JsonFilter``. Raises InvalidInput."""
    return to_filter(_conditions(values, "", field), f"{field}.")


def to_condition(path: str, operator: str, value: Any, field: str) -> ConversationCondition:
    """A condition as it was written, checked. Raises InvalidInput, which names the field."""
    if path == "participants" and operator == "$contains":
        path, operator = "participants.contains", "$eq"
    if operator == "$eq" and path in BOUNDS:
        path, operator = BOUNDS[path]
    _require_known(path, field)
    if operator == "$in" and not isinstance(value, list):
        raise InvalidInput("INVALID_FILTER", f"{field}: $in takes a list.", field=field)
    values = value if operator == "$in" else [value]
    if path in PARTICIPANT_FILTERS or path == SPACE_FILTER:
        _require_ids(values, field)
    if path == SESSION_FILTER:
        _require_ids(values, field, MAX_EXTERNAL_ID_CHARS)
    if path in (CREATED, LAST_MESSAGE):
        value = parse_time(value, field)
    if path in ENUM_FILTERS:
        code, allowed = ENUM_FILTERS[path]
        _require_among(code, values, allowed, field)
    if path == COUNT and not all(map(_is_count, values)):
        raise InvalidInput("INVALID_RANGE", f"{field} must be a whole number from 0 to {MAX_SEQ}.", field=field)
    return ConversationCondition(path, operator, value)


def to_filter(conditions: Iterable[ConversationCondition], prefix: str = "") -> ConversationFilter:
    """The filter of these conditions, unless two of them leave a range of time empty.

    Parameters
    ----------
    prefix : of the field's name in an error

    Raises
    ------
    InvalidInput : INVALID_DATE_RANGE
    """
    checked = tuple(conditions)
    for path in (CREATED, LAST_MESSAGE):
        after = [each.value for each in checked if (each.path, each.operator) == (path, "$gt")]
        before = [each.value for each in checked if (each.path, each.operator) == (path, "$lt")]
        if after and before and max(after) >= min(before):
            name = path.removesuffix("At")
            detail = f"{name}After must be before {name}Before."
            raise InvalidInput("INVALID_DATE_RANGE", detail, field=f"{prefix}{name}After")
    return ConversationFilter(checked)


def _conditions(values: Mapping[str, Any], path: str, field: str) -> Iterator[ConversationCondition]:
    for name, value in values.items():
        inner_path = f"{path}.{name}" if path else name
        if name.startswith("$"):
            if name not in PUBLIC_OPERATORS:
                detail = f"{field} knows {', '.join(PUBLIC_OPERATORS)}, not {name}."
                raise InvalidInput("INVALID_FILTER", detail, field=field)
            yield to_condition(path, name, value, field)
        elif isinstance(value, Mapping):
            yield from _conditions(value, inner_path, f"{field}.{name}")
        else:
            yield to_condition(inner_path, "$eq", value, f"{field}.{name}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


def _require_known(path: str, field: str) -> None:
    known = (*PARTICIPANT_FILTERS, *ENUM_FILTERS, SPACE_FILTER, SESSION_FILTER, COUNT, CREATED, LAST_MESSAGE)
    if path not in known and not path.startswith("metadata."):
        raise InvalidInput("INVALID_FILTER", f"There is no filter {path!r}.", field=field)


def _require_ids(values: Collection[Any], field: str, max_chars: int = MAX_ID_CHARS) -> None:
    if not all(isinstance(value, str) and len(value) <= max_chars for value in values):
        detail = f"{field} must be text of at most {max_chars} characters."
        raise InvalidInput("INVALID_FILTER", detail, field=field)


def _require_among(code: str, values: Collection[Any], allowed: tuple[str, ...], field: str) -> None:
    if not all(value in allowed for value in values):
        raise InvalidInput(code, f"{field} must be one of {', '.join(allowed)}.", field=field)
