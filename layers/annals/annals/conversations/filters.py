"""Filters on conversations, the same for query parameters and for JSON bodies.

A query parameter is a path and a value, ``participants.userId=ada``. In JSON the paths nest, and a value may be a
condition: ``{"participants": {"userId": "ada"}, "messageCount": {"$gte": 2}}``. Both become conditions here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annals.api.fields import MAX_ID_CHARS
from annals.api.filters import require_query_conditions
from annals.api.query import parse_time
from annals.conversations.genesis import AGENT_AGENT, USER_AGENT
from annals.conversations.heads import STATUSES, Head
from annals.errors import InvalidInput
from annals.ledger.keys import MAX_SEQ

CREATED, LAST_MESSAGE, UPDATED, COUNT = "createdAt", "lastMessageAt", "updatedAt", "messageCount"

BOUNDS = {
    "createdAfter": (CREATED, "$gt"),
    "createdBefore": (CREATED, "$lt"),
    "lastMessageAfter": (LAST_MESSAGE, "$gt"),
    "lastMessageBefore": (LAST_MESSAGE, "$lt"),
    "messageCountMin": (COUNT, "$gte"),
    "messageCountMax": (COUNT, "$lte"),
}
"""The filters that are another way of writing a condition."""

PARTICIPANT_FILTERS = {
    "participants.userId": ("userId",),
    "participants.agentId": ("agentId",),
    "participants.agent1": ("agent1", "agent2"),
    "participants.agent2": ("agent1", "agent2"),
    "participants.contains": ("userId", "agentId", "agent1", "agent2"),
}
"""The filters that name a member, and which participants each one means; the order of two agents does not matter."""

SPACE_FILTER = "participants.memorySpaceId"

ENUM_FILTERS = {"type": ("INVALID_TYPE", (USER_AGENT, AGENT_AGENT)), "status": ("INVALID_FILTER", STATUSES)}

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda found, wanted: _same(found, wanted),
    "$in": lambda found, wanted: any(_same(found, each) for each in wanted),
    "$contains": lambda found, wanted: _contains(found, wanted),
    "$gte": lambda found, wanted: _comparable(found, wanted) and found >= wanted,
    "$lte": lambda found, wanted: _comparable(found, wanted) and found <= wanted,
    "$gt": lambda found, wanted: _comparable(found, wanted) and found > wanted,
    "$lt": lambda found, wanted: _comparable(found, wanted) and found < wanted,
}

PUBLIC_OPERATORS = ("$eq", "$in", "$gte", "$lte", "$contains")


@dataclass(frozen=True)
class ConversationCondition:
    """One thing that a conversation must be: what is found at ``path`` compares to ``value``."""

    path: str
    operator: str
    value: Any

    def holds(self, head: Head) -> bool:
        """Whether a conversation meets the condition."""
        return any(OPERATORS[self.operator](found, self.value) for found in _values(head, self.path))


@dataclass(frozen=True)
class ConversationFilter:
    """All that a conversation must be."""

    all: tuple[ConversationCondition, ...] = ()

    def hold(self, head: Head) -> bool:
        """Whether a conversation meets all of them."""
        return all(condition.holds(head) for condition in self.all)

    def equal_to(self, *paths: str) -> str | None:
        """The one value that a condition demands at one of these paths, or None."""
        found = (each.value for each in self.all if each.path in paths and each.operator == "$eq")
        return next(found, None)

    def without(self, *paths: str) -> ConversationFilter:
        """The conditions on other paths."""
        return ConversationFilter(tuple(each for each in self.all if each.path not in paths))


def filter_from_query(query: Mapping[str, str], *reserved: str) -> ConversationFilter:
    """The conditions of query parameters, but for those with a meaning of their own. Raises InvalidInput."""
    given = {name: value for name, value in query.items() if name not in reserved}
    require_query_conditions(given)
    return _checked(_condition(name, "$eq", _typed(name, value), name) for name, value in given.items())


def filter_from_json(said: Mapping[str, Any], field: str = "filter") -> ConversationFilter:
    """The conditions of a filter in a JSON body, a ``JsonFilter``. Raises InvalidInput."""
    return _checked(_nested(said, "", field), f"{field}.")


def _typed(name: str, value: str) -> Any:
    """A query parameter's value; what is a number by its nature is read as one."""
    if BOUNDS.get(name, (name,))[0] != COUNT:
        return value
    if not (value.isascii() and value.isdigit()) or len(value) > 12:
        raise InvalidInput("INVALID_RANGE", f"{name} must be a whole number from 0.", field=name)
    return int(value)


def _nested(said: Mapping[str, Any], path: str, field: str) -> Iterator[ConversationCondition]:
    for name, value in said.items():
        whole = f"{path}.{name}" if path else name
        if name.startswith("$"):
            if name not in PUBLIC_OPERATORS:
                detail = f"{field} knows {', '.join(PUBLIC_OPERATORS)}, not {name}."
                raise InvalidInput("INVALID_FILTER", detail, field=field)
            yield _condition(path, name, value, field)
        elif isinstance(value, Mapping):
            yield from _nested(value, whole, f"{field}.{name}")
        else:
            yield _condition(whole, "$eq", value, f"{field}.{name}")


def _condition(path: str, operator: str, value: Any, field: str) -> ConversationCondition:
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
    if path in (CREATED, LAST_MESSAGE):
        value = parse_time(value, field)
    if path in ENUM_FILTERS:
        code, allowed = ENUM_FILTERS[path]
        _require_among(code, values, allowed, field)
    if path == COUNT and not all(map(_is_count, values)):
        raise InvalidInput("INVALID_RANGE", f"{field} must be a whole number from 0 to {MAX_SEQ}.", field=field)
    return ConversationCondition(path, operator, value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


def _require_known(path: str, field: str) -> None:
    known = path in PARTICIPANT_FILTERS or path in ENUM_FILTERS or path in (SPACE_FILTER, COUNT, CREATED, LAST_MESSAGE)
    if not known and not path.startswith("metadata."):
        raise InvalidInput("INVALID_FILTER", f"There is no filter {path!r}.", field=field)


def _require_ids(values: Collection[Any], field: str) -> None:
    if not all(isinstance(value, str) and len(value) <= MAX_ID_CHARS for value in values):
        detail = f"{field} must be text of at most {MAX_ID_CHARS} characters."
        raise InvalidInput("INVALID_FILTER", detail, field=field)


def _require_among(code: str, values: Collection[Any], allowed: tuple[str, ...], field: str) -> None:
    if not all(value in allowed for value in values):
        raise InvalidInput(code, f"{field} must be one of {', '.join(allowed)}.", field=field)


def _checked(conditions: Iterator[ConversationCondition], prefix: str = "") -> ConversationFilter:
    """The conditions, if no two of them leave a range empty; ``prefix`` stands before their names.

    Raises InvalidInput INVALID_DATE_RANGE.
    """
    found = ConversationFilter(tuple(conditions))
    for what in (CREATED, LAST_MESSAGE):
        after = [each.value for each in found.all if (each.path, each.operator) == (what, "$gt")]
        before = [each.value for each in found.all if (each.path, each.operator) == (what, "$lt")]
        if after and before and max(after) >= min(before):
            name = what.removesuffix("At")
            detail = f"{name}After must be before {name}Before."
            raise InvalidInput("INVALID_DATE_RANGE", detail, field=f"{prefix}{name}After")
    return found


def _values(head: Head, path: str) -> Iterator[Any]:
    """What is found in a conversation at a path: of participants, each that the path means."""
    if path in PARTICIPANT_FILTERS or path == SPACE_FILTER:
        names = PARTICIPANT_FILTERS.get(path, ("memorySpaceId",))
        yield from (head.genesis.participants[name] for name in names if name in head.genesis.participants)
    elif path.startswith("metadata."):
        yield _at(head.metadata, path.removeprefix("metadata."))
    else:
        yield head_value(head, path)


def head_value(head: Head, path: str) -> Any:
    """What a conversation has at one of the paths that can be sorted by, or its type or status."""
    return {
        "type": head.genesis.type,
        "status": head.status,
        COUNT: head.message_count,
        CREATED: head.genesis.created_at,
        UPDATED: head.updated_at,
        LAST_MESSAGE: head.last_message_at,
    }[path]


def _at(values: Any, path: str) -> Any:
    """What JSON holds at a dotted path; a key that has dots itself is found too."""
    if not isinstance(values, Mapping):
        return None
    if path in values:
        return values[path]
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        if name in values:
            return _at(values[name], ".".join(parts[length:]))
    return None


def _same(found: Any, wanted: Any) -> bool:
    """Equality of JSON values; a word, as query parameters are, also means the number or truth value it spells."""
    if isinstance(found, bool) != isinstance(wanted, bool):
        return isinstance(wanted, str) and json.dumps(found) == wanted
    if isinstance(wanted, str) and isinstance(found, int | float):
        return json.dumps(found) == wanted
    return bool(found == wanted)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return isinstance(wanted, str) and wanted in found
    return isinstance(found, list) and any(_same(each, wanted) for each in found)


def _comparable(found: Any, wanted: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (found, wanted))
    return numbers or (isinstance(found, str) and isinstance(wanted, str))
