"""Filters: what a conversation, or a message, has to be. They come typed and checked; see ``filter_parsing``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annals.conversations.genesis import AGENT_AGENT, USER_AGENT
from annals.conversations.heads import STATUSES, Head
from annals.ledger.messages import Message
from annals.times import from_rfc3339

CREATED, LAST_MESSAGE, UPDATED, COUNT = "createdAt", "lastMessageAt", "updatedAt", "messageCount"

PARTICIPANT_FILTERS = {
    "participants.userId": ("userId",),
    "participants.agentId": ("agentId",),
    "participants.agent1": ("agent1", "agent2"),
    "participants.agent2": ("agent1", "agent2"),
    "participants.contains": ("userId", "agentId", "agent1", "agent2"),
}
"""The paths of a user or an agent, and which participants each one means; the order of two agents does not matter."""

SPACE_FILTER = "participants.memorySpaceId"

SESSION_FILTER = "sessionId"

ENUM_FILTERS = {"type": ("INVALID_TYPE", (USER_AGENT, AGENT_AGENT)), "status": ("INVALID_FILTER", STATUSES)}
"""The paths with few values: the code of an error for another value, and the values."""

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda stored, expected: _equal(stored, expected),
    "$in": lambda stored, expected: any(_equal(stored, each) for each in expected),
    "$contains": lambda stored, expected: _contains(stored, expected),
    "$gte": lambda stored, expected: _comparable(stored, expected) and stored >= expected,
    "$lte": lambda stored, expected: _comparable(stored, expected) and stored <= expected,
    "$gt": lambda stored, expected: _comparable(stored, expected) and stored > expected,
    "$lt": lambda stored, expected: _comparable(stored, expected) and stored < expected,
}


@dataclass(frozen=True)
class ConversationCondition:
    """One thing that a conversation has to be: its value at ``path`` compares to ``value``."""

    path: str
    operator: str
    value: Any

    def matches(self, head: Head) -> bool:
        """Whether a conversation meets the condition."""
        return any(OPERATORS[self.operator](stored, self.value) for stored in _values(head, self.path))


@dataclass(frozen=True)
class ConversationFilter:
    """All that a conversation has to be; without conditions, every conversation matches."""

    conditions: tuple[ConversationCondition, ...] = ()

    @staticmethod
    def of_user(user_id: str) -> ConversationFilter:
        """The filter for the conversations of a user."""
        return ConversationFilter((ConversationCondition("participants.userId", "$eq", user_id),))

    def matches(self, head: Head) -> bool:
        """Whether a conversation meets all conditions."""
        return all(condition.matches(head) for condition in self.conditions)

    def equal_to(self, *paths: str) -> str | None:
        """The value to which a condition says that one of these paths is equal, or None."""
        values = (each.value for each in self.conditions if each.path in paths and each.operator == "$eq")
        return next(values, None)

    def without(self, *paths: str) -> ConversationFilter:
        """The conditions on other paths."""
        return ConversationFilter(tuple(each for each in self.conditions if each.path not in paths))


@dataclass(frozen=True)
class MessageFilter:
    """All that a message has to be. ``roles`` are those that it may have, if any are named.

    ``since`` and ``until`` are the first and the last moment, in Unix milliseconds.
    """

    thread_id: str | None = None
    run_id: str | None = None
    roles: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None

    def matches(self, message: Message) -> bool:
        """Whether a message meets all conditions."""
        at = from_rfc3339(message["timestamp"])
        return (
            self.thread_id in (None, message.get("threadId"))
            and self.run_id in (None, message.get("runId"))
            and (not self.roles or message.get("role") in self.roles)
            and (self.since is None or at >= self.since)
            and (self.until is None or at <= self.until)
        )


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


def _values(head: Head, path: str) -> Iterator[Any]:
    """What a conversation has at a path: of participants, each that the path means."""
    if path in PARTICIPANT_FILTERS or path == SPACE_FILTER:
        names = PARTICIPANT_FILTERS.get(path, ("memorySpaceId",))
        yield from (head.genesis.participants[name] for name in names if name in head.genesis.participants)
    elif path == SESSION_FILTER:
        yield head.genesis.session_id
    elif path.startswith("metadata."):
        yield _metadata_value(head.metadata, path.removeprefix("metadata."))
    else:
        yield head_value(head, path)


def _metadata_value(values: Any, path: str) -> Any:
    """What JSON holds at a dotted path, or None; a key that has dots itself is found, too."""
    if not isinstance(values, Mapping):
        return None
    if path in values:
        return values[path]
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        if name in values:
            return _metadata_value(values[name], ".".join(parts[length:]))
    return None


def _equal(stored: Any, expected: Any) -> bool:
    """Equality of JSON values; a text, as query parameters are, also means the number or truth value it spells."""
    if isinstance(stored, bool) != isinstance(expected, bool):
        return isinstance(expected, str) and json.dumps(stored) == expected
    if isinstance(expected, str) and isinstance(stored, int | float):
        return json.dumps(stored) == expected
    return bool(stored == expected)


def _contains(stored: Any, expected: Any) -> bool:
    if isinstance(stored, str):
        return isinstance(expected, str) and expected in stored
    return isinstance(stored, list) and any(_equal(each, expected) for each in stored)


def _comparable(stored: Any, expected: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (stored, expected))
    return numbers or (isinstance(stored, str) and isinstance(expected, str))
