"""Query parameters beyond what a type can say: times, lists, flags, and no unknown or empty ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from annals.api.fields import to_ms
from annals.errors import InvalidInput


def require_known(query_params: Mapping[str, str], names: Collection[str]) -> None:
    """Raise InvalidInput for a parameter that is none of these."""
    for name in query_params.keys() - set(names):
        raise InvalidInput("UNKNOWN_FIELD", f"There is no query parameter {name!r} here.", field=name)


NO_CONDITIONS = frozenset({"cursor", "format", "limit", "lastRuns", "maxTokens", "order", "sortBy", "sortOrder"})
"""The parameters that no route takes as a condition of a filter."""


OF_ANY_CHARACTERS = frozenset({"externalId", "key", "parentRunId", "runId", "sessionId"})
"""The parameters whose values may be blank, as long as they are something: ids of other systems."""


def require_not_blank(query_params: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidInput for a condition that is blank: ``userId=`` would match everybody."""
    for name, value in query_params:
        if not (value if name in OF_ANY_CHARACTERS else value.strip()) and name not in NO_CONDITIONS:
            raise InvalidInput("INVALID_FILTER", f"{name} is empty; leave it out.", field=name)


def read_time(query_params: Mapping[str, str], name: str) -> int | None:
    """A parameter that is a time, in Unix milliseconds. Raises InvalidInput."""
    return parse_time(query_params[name], name) if name in query_params else None


def parse_time(value: Any, field: str) -> int:
    """A time as callers write it, in Unix milliseconds. Raises InvalidInput."""
    try:
        return to_ms(value)
    except PydanticCustomError as error:
        raise InvalidInput("INVALID_FORMAT", f"{field} {error.message()}.", field=field) from None


def read_list(query_params: Mapping[str, str], name: str) -> list[str]:
    """A parameter that is a comma-separated list. Raises InvalidInput for a blank in it."""
    if name not in query_params:
        return []
    parts = [part.strip() for part in query_params[name].split(",")]
    if not all(parts):
        raise InvalidInput("INVALID_FORMAT", f"{name} must have no blanks in its list.", field=name)
    return parts


def read_choice(query_params: Mapping[str, str], name: str, choices: Collection[str], default: str) -> str:
    """A parameter that is one of some words, or the default where it is left out. Raises InvalidInput."""
    value = query_params.get(name, default)
    if value not in choices:
        raise InvalidInput("INVALID_FORMAT", f"{name} must be one of {', '.join(choices)}.", field=name)
    return value


def read_flag(query_params: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """A parameter that is ``true`` or ``false``, or the default where it is left out. Raises InvalidInput."""
    if name not in query_params:
        return default
    value = query_params[name]
    if value not in ("true", "false"):
        raise InvalidInput("INVALID_FORMAT", f"{name} must be true or false.", field=name)
    return value == "true"
