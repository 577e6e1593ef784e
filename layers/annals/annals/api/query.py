"""Query parameters beyond what a type can say."""

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


UNFILTERED = frozenset({"cursor", "format", "limit", "lastRuns", "maxTokens", "order", "sortBy", "sortOrder"})
"""The parameters that no route takes as a condition on what is meant."""


def require_not_blank(query: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidInput for a parameter that says nothing: ``userId=`` would mean everybody."""
    for name, value in query:
        if not value.strip() and name not in UNFILTERED:
            raise InvalidInput("INVALID_FILTER", f"{name} says nothing; leave it out.", field=name)


def read_time(query: Mapping[str, str], name: str) -> int | None:
    """A parameter that is a time, in Unix milliseconds. Raises InvalidInput."""
    return parse_time(query[name], name) if name in query else None


def parse_time(value: Any, field: str) -> int:
    """A time as callers write it, in Unix milliseconds. Raises InvalidInput."""
    try:
        return to_ms(value)
    except PydanticCustomError as error:
        raise InvalidInput("INVALID_FORMAT", f"{field} {error.message()}.", field=field) from None


def read_list(query: Mapping[str, str], name: str) -> list[str]:
    """A parameter that is a comma-separated list. Raises InvalidInput for a blank in it."""
    if name not in query:
        return []
    words = [part.strip() for part in query[name].split(",")]
    if not all(words):
        raise InvalidInput("INVALID_FORMAT", f"{name} must have no blanks in its list.", field=name)
    return words


def read_flag(query: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """A parameter that is ``true`` or ``false``; false where it is not there, unless said otherwise.

    Raises InvalidInput.
    """
    if name not in query:
        return default
    said = query[name]
    if said not in ("true", "false"):
        raise InvalidInput("INVALID_FORMAT", f"{name} must be true or false.", field=name)
    return said == "true"
