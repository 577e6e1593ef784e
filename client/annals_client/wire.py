"""How arguments in Python are written in a request; what cannot be written is refused by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any
from urllib.parse import quote

from annals_client.errors import InvalidArgument, Problem

Time = datetime | str | int
"""A moment: an aware datetime, an RFC 3339 text, or Unix time in seconds, milliseconds or microseconds."""

MAX_DEPTH = 64
"""How deep JSON may nest."""

MAX_WHOLE = 10**1000
"""Whole numbers have up to 1,000 digits."""


class NotGiven(Enum):
    """Stands for an argument that is not given, where None would be taken for "whichever" by some and refused."""

    NOT_GIVEN = "not given"


NOT_GIVEN = NotGiven.NOT_GIVEN


def invalid(field: str, what: str, code: str = "INVALID_FORMAT") -> InvalidArgument:
    """The exception for an argument that no request can say."""
    return InvalidArgument(Problem(0, code, "Invalid argument", f"{field} {what}", field))


def camel(name: str) -> str:
    """``memory_space_id`` as ``memorySpaceId``; ``from_`` as ``from``."""
    first, *rest = name.strip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def body(**values: Any) -> dict[str, Any]:
    """A request's body: the fields that are not None, under the API's names. Raises InvalidArgument."""
    return {camel(name): plain(value, camel(name)) for name, value in _given(values) if value is not None}


def plain(value: Any, field: str) -> Any:
    """A value as JSON has it. What callers keep in ``metadata`` and ``parts`` goes through unchanged."""
    if isinstance(value, datetime):
        return moment(value, field)
    if field == "embedding":
        return None if value is None else vector(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def vector(embedding: Any) -> list[float]:
    """The numbers of an embedding, of any kind of number. Raises InvalidArgument."""
    try:
        return [*map(float, embedding)]
    except (TypeError, ValueError, OverflowError) as failure:
        raise invalid("embedding", f"must be a list of numbers: {failure}", "INVALID_EMBEDDING") from failure


def moment(value: datetime, field: str) -> str:
    """An aware datetime as RFC 3339, with milliseconds and its offset. Raises InvalidArgument for a naive one.

    One whose offset no RFC 3339 text can say, as there are seconds in it, is said in UTC.
    """
    if value.tzinfo is None:
        raise invalid(field, f"is {value!r}, without a time zone; say datetime.now(timezone.utc), not datetime.now()")
    offset = value.utcoffset()
    if not offset or offset.total_seconds() % 60:
        return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return value.isoformat(timespec="milliseconds")


def query(**values: Any) -> dict[str, str]:
    """The query parameters that are not None, under the API's names. Raises InvalidArgument."""
    return {camel(name): word(value, camel(name)) for name, value in _given(values) if value is not None}


def word(value: Any, field: str) -> str:
    """A value as a query parameter has it; a list is separated by commas. Raises InvalidArgument."""
    value = as_json(plain(value, field), field)
    if isinstance(value, list):
        words = [part if isinstance(part, str) else json.dumps(part) for part in value]
        if any("," in part for part in words):
            raise invalid(field, "is a list separated by commas, so that none can stand in it; searches take it")
        return ",".join(words)
    return value if isinstance(value, str) else json.dumps(value)


def conditions(**values: Any) -> dict[str, Any]:
    """The conditions of a filter that are given.

    Raises InvalidArgument for one that says nothing (None, "", [] or {}), also within others: left out of the request
    it would mean everything, as when the id of a user who is not known is handed on.
    """
    given = dict(_given(values))
    for name, value in given.items():
        _require_not_empty(value, camel(name))
    return given


def _given(values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in values.items() if value is not NOT_GIVEN)


def _require_not_empty(value: Any, field: str) -> None:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise invalid(field, f"is {value!r}, which says nothing; leave it out if it is not meant", "INVALID_FILTER")
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if not value:
            raise invalid(field, "is empty, which says nothing; leave it out if it is not meant", "INVALID_FILTER")
        for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            _require_not_empty(part, _field_of(field, name))


def _field_of(field: str, name: Any) -> str:
    """Where a part of a condition is; an operator such as ``$in`` is no field."""
    if isinstance(name, int):
        return f"{field}[{name}]"
    return field if str(name).startswith("$") else f"{field}.{name}"


def encoded(values: Mapping[str, Any]) -> bytes:
    """A body as JSON text. Raises InvalidArgument, which names the field that JSON cannot say."""
    return json.dumps(as_json(values, ""), ensure_ascii=False, separators=(",", ":")).encode()


def as_json(value: Any, field: str, depth: int = 1) -> Any:
    """A value as JSON gives it back: mappings as objects, lists and tuples as lists. Raises InvalidArgument."""
    if isinstance(value, str):
        return utf8(value, field)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value, field)
    if not isinstance(value, Mapping | list | tuple):
        raise invalid(field, f"holds a {type(value).__name__}, which is not JSON")
    if depth > MAX_DEPTH:
        raise invalid(field, f"nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        names = {name: f"{field}.{name}" if field else str(name) for name in value}
        return {_name(name, at): as_json(value[name], at, depth + 1) for name, at in names.items()}
    return [as_json(part, f"{field}[{index}]", depth + 1) for index, part in enumerate(value)]


def utf8(text: str, field: str) -> str:
    """A text as it is. Raises InvalidArgument for one with half of a surrogate pair, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(_printable(field), "holds half of a surrogate pair, which UTF-8 cannot say") from None
    return text


def header(name: str, value: str) -> str:
    """A header's value as it is. Raises InvalidArgument for characters that headers cannot carry."""
    if not isinstance(value, str) or not (value.isascii() and value.isprintable() and value.strip()):
        raise invalid(name, "must be printable ASCII, and not blank")
    return value


def path(template: str, ids: Mapping[str, str]) -> str:
    """A path template with its ids. Raises InvalidArgument for an id that would make it another path, or is no text."""
    for name, value in ids.items():
        if not isinstance(value, str) or not value.strip() or value in (".", ".."):
            raise invalid(camel(name), f"({name}) must name something, and not be {value!r}")
        template = template.replace(f"{{{camel(name)}}}", quote(utf8(value, camel(name)), safe=""))
    return template


def _number(value: int | float, field: str) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise invalid(field, f"is {value}, which is not JSON")
    if isinstance(value, int) and not -MAX_WHOLE < value < MAX_WHOLE:
        raise invalid(field, "is a whole number of more than 1000 digits")
    return value


def _name(name: Any, field: str) -> str:
    if not isinstance(name, str):
        raise invalid(field, f"has a name that is a {type(name).__name__}; names in JSON are text")
    return utf8(name, field)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
