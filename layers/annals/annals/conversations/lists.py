"""Lists of conversations, in any of their orders, and counts.

The head items carry the keys of the state table's indexes, and the narrowest key that a filter names is the one that
is read: a member's list, else a space's, else the tenant's. Each is spread over shards, because one key of an index
takes 1,000 write units a second, and merged. What else a filter asks is checked on the heads. Eventually consistent.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

from annals.answers import Room, fitting
from annals.conversations.filters import (
    COUNT,
    CREATED,
    LAST_MESSAGE,
    PARTICIPANT_FILTERS,
    SPACE_FILTER,
    UPDATED,
    ConversationFilter,
    head_value,
)
from annals.conversations.heads import Head, find_stored_heads, member_list_key, space_list_key, tenant_list_key
from annals.conversations.presenters import present_conversation
from annals.database.dynamodb import client, from_item
from annals.errors import InvalidInput
from annals.settings import settings

INDEXED = {LAST_MESSAGE: "", CREATED: "Created"}
"""The orders that the indexes keep, and how the names of the indexes that keep them end."""

SORT_KEYS = (LAST_MESSAGE, CREATED, UPDATED, COUNT)

BATCH = 100
"""How many heads one round trip fetches, as BatchGetItem takes them."""

ALL = 1_000
"""How many positions one round trip brings, where all of them are read."""

MAX_READ = 1_000
"""How many heads one page may look at; a filter that keeps few of them makes a short page."""

MAX_SORTED = 10_000
"""How many matches are sorted in memory, for an order that no index keeps."""


@dataclass(frozen=True)
class Order:
    """What a list is sorted by, and in which direction."""

    key: str = LAST_MESSAGE
    descending: bool = True


@dataclass(frozen=True, order=True)
class ListPosition:
    """A conversation's position in a list; ``rank`` is the sort key, negated where the order descends."""

    rank: int
    pk: str


@dataclass(frozen=True)
class Selection:
    """Which conversations to list: those of a tenant, in the spaces that the caller may see, that match a filter.

    Without ``spaces``, those of all spaces.
    """

    tenant: str
    spaces: Collection[str] | None = None
    filter: ConversationFilter = field(default_factory=ConversationFilter)

    @property
    def space(self) -> str | None:
        """The one space that all of them are in, if there is one."""
        if self.spaces is not None and len(self.spaces) == 1:
            return next(iter(self.spaces))
        return self.filter.equal_to(SPACE_FILTER)

    def matches(self, head: Head) -> bool:
        """Whether a conversation is among them."""
        allowed = self.spaces is None or head.genesis.memory_space_id in self.spaces
        return allowed and self.filter.matches(head)


@dataclass(frozen=True)
class ConversationPage:
    """Conversations of a list, in its order, and the position after which there are more, if there are."""

    heads: list[Head]
    next_position: ListPosition | None


def list_conversations(
    selection: Selection, limit: int, order: Order, start: ListPosition | None = None
) -> ConversationPage:
    """A page of conversations after ``start``, as many as an answer has room for.

    An order that an index keeps costs one index query per list that the filter needs and one BatchGetItem per 100
    heads. Another order reads all matches. Raises InvalidInput TOO_MANY_MATCHES where these are more than 10,000.
    """
    if order.key not in INDEXED:
        return _sorted_page(selection, limit, order, start)
    heads: list[Head] = []
    last, room = start, Room()
    for looked_at, (position, head) in enumerate(_matches(selection, order, start, min(limit + 1, BATCH)), start=1):
        if head and (len(heads) == limit or not room.takes(present_conversation(head))):
            return ConversationPage(heads, last)
        if head:
            heads.append(head)
        last = position
        if looked_at == MAX_READ:
            return ConversationPage(heads, last)
    return ConversationPage(heads, None)


def count_conversations(selection: Selection) -> int:
    """How many conversations there are. Only keys are counted where an index's key says all of the selection."""
    spaces = selection.spaces
    if selection.filter.without(SPACE_FILTER).conditions or (spaces is not None and len(spaces) != 1):
        return sum(1 for _ in walk_matches(selection))
    if spaces is not None and selection.filter.equal_to(SPACE_FILTER) not in (None, *spaces):
        return 0
    return sum(_count(index, attribute, key) for index, attribute, key in _lists(selection, ""))


def walk_matches(selection: Selection, order: Order | None = None) -> Iterator[Head]:
    """All conversations of a selection, the newest activity first by default, read as they are iterated."""
    return (head for _, head in _matches(selection, order or Order(), None, ALL) if head)


def _sorted_page(selection: Selection, limit: int, order: Order, start: ListPosition | None) -> ConversationPage:
    heads = {head.pk: head for head in islice(walk_matches(selection), MAX_SORTED + 1)}
    if len(heads) > MAX_SORTED:
        detail = f"More than {MAX_SORTED} conversations match; sort by lastMessageAt or createdAt, or filter further."
        raise InvalidInput("TOO_MANY_MATCHES", detail, field="sortBy")
    sign = -1 if order.descending else 1
    positions = sorted(ListPosition(sign * head_value(head, order.key), pk) for pk, head in heads.items())
    rest = [position for position in positions if start is None or position > start]
    page = fitting(rest[:limit], present=lambda position: present_conversation(heads[position.pk]))
    return ConversationPage([heads[position.pk] for position in page], page[-1] if len(rest) > len(page) else None)


def _matches(
    selection: Selection, order: Order, start: ListPosition | None, page: int
) -> Iterator[tuple[ListPosition, Head | None]]:
    """The positions of a list in order, each with its conversation, or with None where that one does not match."""
    positions = _merged(selection, order, start, page)
    while batch := list(islice(positions, min(page, BATCH))):
        heads = find_stored_heads(position.pk for position in batch)
        for position in batch:
            head = heads.get(position.pk)
            yield position, head if head and selection.matches(head) else None


def _merged(selection: Selection, order: Order, start: ListPosition | None, page: int) -> Iterator[ListPosition]:
    """The positions of all lists that the selection needs, each once, in order."""
    walks = [_walk(index_list, selection, order, start, page) for index_list in _lists(selection, INDEXED[order.key])]
    return (position for position, _ in groupby(heapq.merge(*walks)))


def _lists(selection: Selection, suffix: str) -> list[tuple[str, str, str]]:
    """The index, its key's attribute, and the key of each list that the selection needs."""
    member, shards = selection.filter.equal_to(*PARTICIPANT_FILTERS), range(settings().list_shards)
    if member is not None:
        keys = [member_list_key(selection.tenant, member, shard) for shard in shards]
        return [(f"byParticipant{number}{suffix}", f"participant{number}", key) for number in (1, 2) for key in keys]
    if selection.space is not None:
        keys = [space_list_key(selection.tenant, selection.space, shard) for shard in shards]
        return [(f"bySpace{suffix}", "space", key) for key in keys]
    keys = [tenant_list_key(selection.tenant, shard) for shard in range(settings().tenant_shards)]
    return [(f"byTenant{suffix}", "tenantShard", key) for key in keys]


def _walk(
    index_list: tuple[str, str, str], selection: Selection, order: Order, start: ListPosition | None, page: int
) -> Iterator[ListPosition]:
    """The positions of one list, those of the same millisecond sorted, so that merged lists stay in order."""
    for _, same in groupby(_query(index_list, selection, order, start, page), key=lambda position: position.rank):
        yield from (position for position in sorted(same) if start is None or position > start)


def _query(
    index_list: tuple[str, str, str], selection: Selection, order: Order, start: ListPosition | None, page: int
) -> Iterator[ListPosition]:
    index, attribute, key = index_list
    sign = -1 if order.descending else 1
    earliest, latest = _time_range(selection, order, start)
    query: dict[str, Any] = {
        "TableName": settings().state_table,
        "IndexName": index,
        "KeyConditionExpression": "#list = :list AND #at BETWEEN :earliest AND :latest",
        "ExpressionAttributeNames": {"#list": attribute, "#at": order.key},
        "ExpressionAttributeValues": {
            ":list": {"S": key},
            ":earliest": {"N": str(earliest)},
            ":latest": {"N": str(latest)},
        },
        "ScanIndexForward": not order.descending,
        "Limit": page,
    }
    while earliest <= latest:
        answer = client().query(**query)
        for item in map(from_item, answer["Items"]):
            yield ListPosition(sign * item[order.key], item["pk"])
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


FOREVER = 10**15
"""Later than any time, in Unix milliseconds."""


def _time_range(selection: Selection, order: Order, start: ListPosition | None) -> tuple[int, int]:
    """The times, inclusive, between which the rest of a list lies."""
    bounds = [each for each in selection.filter.conditions if each.path == order.key]
    least = [each.value + (each.operator == "$gt") for each in bounds if each.operator in ("$gt", "$gte")]
    most = [each.value - (each.operator == "$lt") for each in bounds if each.operator in ("$lt", "$lte")]
    earliest, latest = max([0, *least]), min([FOREVER, *most])
    if start is None:
        return earliest, latest
    return (earliest, min(latest, -start.rank)) if order.descending else (max(earliest, start.rank), latest)


def _count(index: str, attribute: str, key: str) -> int:
    pages = (
        client()
        .get_paginator("query")
        .paginate(
            TableName=settings().state_table,
            IndexName=index,
            KeyConditionExpression="#list = :list",
            ExpressionAttributeNames={"#list": attribute},
            ExpressionAttributeValues={":list": {"S": key}},
            Select="COUNT",
        )
    )
    return sum(page["Count"] for page in pages)
