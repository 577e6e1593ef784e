"""Filters on conversations, messages and memories, by the names that Python knows them under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict, Unpack

from annals_client import wire
from annals_client.wire import NOT_GIVEN, NotGiven, Time

Role = Literal["user", "assistant", "system", "tool", "agent", "ai", "developer", "function", "human", "model"]
"""A message's role. Beside the four that are stored, the words that providers have for them."""

ToolCalls = Literal["all", "unfinished"]
"""Which calls of tools, with their results, are shown: all, or those of turns that have no reply yet."""


class ConversationFilter(TypedDict, total=False):
    """What a conversation has to be; all of it at once.

    ``contains`` is a user or agent who takes part. ``metadata`` holds wanted values by key, nested as in the
    conversation; in searches and ``delete_many`` a value may be a condition, ``{"$in": […]}`` or ``{"$contains": …}``.
    """

    type: Literal["user-agent", "agent-agent"]
    status: Literal["active", "sealed", "archived"]
    user_id: str
    agent_id: str
    agent1: str
    agent2: str
    memory_space_id: str
    contains: str
    session_id: str
    created_after: Time
    created_before: Time
    last_message_after: Time
    last_message_before: Time
    message_count: int
    message_count_min: int
    message_count_max: int
    metadata: Mapping[str, Any]


class MessageFilter(TypedDict, total=False):
    """What a message has to be; all of it at once. ``since`` and ``until`` are inclusive.

    Archived messages, and those that a rewind took back, are left out unless they are included.
    """

    roles: Sequence[Role]
    thread_id: str
    run_id: str
    external_id: str
    since: Time
    until: Time
    include_archived: bool
    include_rewound: bool


class MemoryFilter(TypedDict, total=False):
    """What a memory has to be; all of it at once. ``tags`` asks for any of them, ``tags_all`` for all."""

    user_id: str
    agent_id: str
    participant_id: str
    conversation_id: str
    thread_id: str
    run_id: str
    role: str
    status: Literal["active", "archived"]
    source_type: str
    content_type: str
    tags: Sequence[str]
    tags_all: Sequence[str]
    importance_min: int
    importance_max: int
    created_after: Time
    created_before: Time
    metadata: Mapping[str, Any]


PARTICIPANTS = ("user_id", "agent_id", "agent1", "agent2", "memory_space_id", "contains")
"""The filters that the API has under ``participants``."""


def conversation_query(**conditions: Unpack[ConversationFilter]) -> dict[str, str]:
    """A filter as query parameters. Raises InvalidArgument for a condition, which they cannot say."""
    given = wire.conditions(**conditions)
    metadata = given.pop("metadata", {})
    named = {name: given.pop(name) for name in PARTICIPANTS if name in given}
    participants = {f"participants.{name}": value for name, value in wire.query(**named).items()}
    return {**wire.query(**given), **participants, **dict(_paths("metadata", metadata))}


def memory_query(memory_space_id: str | NotGiven = NOT_GIVEN, **conditions: Unpack[MemoryFilter]) -> dict[str, str]:
    """A filter as query parameters. Raises InvalidArgument for a condition, which they cannot say."""
    given = wire.conditions(memory_space_id=memory_space_id, **conditions)
    metadata = given.pop("metadata", {})
    return {**wire.query(**given), **dict(_paths("metadata", metadata))}


def memory_body(**conditions: Unpack[MemoryFilter]) -> dict[str, Any]:
    """A filter as JSON."""
    return wire.body(**wire.conditions(**conditions))


def conversation_body(**conditions: Unpack[ConversationFilter]) -> dict[str, Any]:
    """A filter as JSON."""
    given = wire.conditions(**conditions)
    named = wire.body(**{name: given.pop(name) for name in PARTICIPANTS if name in given})
    if "contains" in named:
        named["$contains"] = named.pop("contains")
    return wire.body(**given, participants=named or None)


def _paths(path: str, conditions: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in wire.as_json(conditions, path).items():
        if name.startswith("$"):
            raise wire.invalid(path, f"takes no conditions such as {name} in lists; search and delete_many do")
        if isinstance(value, Mapping):
            yield from _paths(f"{path}.{name}", value)
        else:
            yield f"{path}.{name}", wire.word(value, f"{path}.{name}")
