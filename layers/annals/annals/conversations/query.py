"""The query parameters of a list of conversations, as a filter."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from annals.conversations.genesis import AGENT_AGENT, USER_AGENT
from annals.conversations.heads import STATUSES, Head
from annals.conversations.lists import ConversationPage, Filter, Place
from annals.errors import InvalidInput
from annals.http.cursors import read_cursor, write_cursor
from annals.http.query import read_count, read_time

Test = Callable[[Head], bool]

MEMBERS = {
    "participants.userId": ("userId",),
    "participants.agentId": ("agentId",),
    "participants.agent1": ("agent1", "agent2"),
    "participants.agent2": ("agent1", "agent2"),
    "participants.contains": ("userId", "agentId", "agent1", "agent2"),
}
"""The filters that name a member, and which participants each one means; the order of two agents does not matter."""

TIMES = {
    "createdAfter": ("created", 1),
    "createdBefore": ("created", -1),
    "lastMessageAfter": ("lastMessage", 1),
    "lastMessageBefore": ("lastMessage", -1),
}

COUNTS = ("messageCount", "messageCountMin", "messageCountMax")

NAMES = ("type", "status", "participants.memorySpaceId", *MEMBERS, *TIMES, *COUNTS)


def read_filter(tenant: str, spaces: Collection[str] | None, query: Mapping[str, str]) -> Filter:
    """The filter that query parameters ask for, within the spaces that the caller may see. Raises InvalidInput."""
    space = query.get("participants.memorySpaceId")
    if space is None and spaces is not None and len(spaces) == 1:
        (space,) = spaces
    tests = [*_member_tests(query), *_time_tests(query), *_count_tests(query), *_word_tests(query)]
    if space is not None:
        tests.append(lambda head: head.genesis.memory_space_id == space)
    if spaces is not None:
        tests.append(lambda head: head.genesis.memory_space_id in spaces)
    member = next((query[name] for name in MEMBERS if name in query), None)
    return Filter(tenant, space, member, keep=lambda head: all(test(head) for test in tests))


def read_place(cursor: str | None) -> Place | None:
    """The place from which a cursor goes on."""
    return Place(*read_cursor("conversations", cursor)) if cursor else None


def next_cursor(page: ConversationPage) -> dict[str, Any]:
    """The cursor of the page behind this one, where there is one."""
    place = page.next_place
    return {"nextCursor": write_cursor("conversations", place.age, place.pk)} if place else {}


def _member_tests(query: Mapping[str, str]) -> list[Test]:
    def test(name: str, wanted: str) -> Test:
        return lambda head: any(head.genesis.participants.get(part) == wanted for part in MEMBERS[name])

    return [test(name, query[name]) for name in MEMBERS if name in query]


def _time_tests(query: Mapping[str, str]) -> list[Test]:
    bounds = {name: bound for name in TIMES if (bound := read_time(query, name)) is not None}
    for what in ("created", "lastMessage"):
        after, before = bounds.get(f"{what}After"), bounds.get(f"{what}Before")
        if after is not None and before is not None and after >= before:
            detail = f"{what}After must be before {what}Before."
            raise InvalidInput("INVALID_DATE_RANGE", detail, field=f"{what}After")

    def test(name: str, bound: int) -> Test:
        what, sign = TIMES[name]
        return lambda head: (at := _time_of(head, what)) is not None and (at - bound) * sign > 0

    return [test(name, bound) for name, bound in bounds.items()]


def _time_of(head: Head, what: str) -> int | None:
    return head.genesis.created_at if what == "created" else head.last_message_at


def _count_tests(query: Mapping[str, str]) -> list[Test]:
    exact, least, most = (read_count(query, name) for name in COUNTS)
    tests: list[Test] = []
    if exact is not None:
        tests.append(lambda head: head.message_count == exact)
    if least is not None:
        tests.append(lambda head: head.message_count >= least)
    if most is not None:
        tests.append(lambda head: head.message_count <= most)
    return tests


def _word_tests(query: Mapping[str, str]) -> list[Test]:
    tests: list[Test] = []
    if (kind := query.get("type")) is not None:
        _demand_among("INVALID_TYPE", "type", kind, (USER_AGENT, AGENT_AGENT))
        tests.append(lambda head: head.genesis.type == kind)
    if (status := query.get("status")) is not None:
        _demand_among("INVALID_FILTER", "status", status, STATUSES)
        tests.append(lambda head: head.status == status)
    return tests


def _demand_among(code: str, name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise InvalidInput(code, f"{name} must be one of {json.dumps(list(allowed))}.", field=name)
