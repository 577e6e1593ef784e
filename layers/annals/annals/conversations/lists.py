"""Lists of conversations by last activity, newest first.

The head items carry the keys of the state table's indexes, and the narrowest key that a filter names is the one that
is read: a member's list, else a space's, else the tenant's, which is spread over shards and merged. What else a filter
asks is checked on the heads.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from annals.conversations.heads import TENANT_SHARDS, Head, member_list, read_heads, space_list, tenant_list
from annals.dynamodb import client, from_item
from annals.ledger.entry import ERASED
from annals.settings import settings

BATCH = 100
"""How many heads one round trip fetches, as BatchGetItem takes them."""

MAX_READ = 1_000
"""How many heads one page may look at; a filter that keeps few of them makes a short page."""


@dataclass(frozen=True, order=True)
class Place:
    """A conversation's place in a list: newer ones come first, and ``pk`` decides between equals."""

    age: int
    pk: str

    @property
    def at(self) -> int:
        return -self.age


@dataclass(frozen=True)
class Filter:
    """Which conversations to list. ``keep`` decides on what the index keys do not."""

    tenant: str
    memory_space_id: str | None = None
    member: str | None = None
    keep: Callable[[Head], bool] | None = None


@dataclass(frozen=True)
class ConversationPage:
    heads: list[Head]
    next_place: Place | None


def list_conversations(chosen: Filter, limit: int, start: Place | None = None) -> ConversationPage:
    """A page of conversations after ``start``.

    Reads one index query per list that the filter needs and one BatchGetItem per 100 heads. Eventually consistent.
    """
    found: list[Head] = []
    places = _merged(chosen, start, limit + 1)
    last: Place | None = None
    for _ in range(0, MAX_READ, BATCH):
        batch = list(islice(places, min(limit + 1, BATCH)))
        heads = read_heads(place.pk for place in batch)
        for place in batch:
            head = heads.get(place.pk)
            if head and head.state != ERASED and (chosen.keep is None or chosen.keep(head)):
                if len(found) == limit:
                    return ConversationPage(found, last)
                found.append(head)
            last = place
        if len(batch) < min(limit + 1, BATCH):
            return ConversationPage(found, None)
    return ConversationPage(found, last)


def _merged(chosen: Filter, start: Place | None, page: int) -> Iterator[Place]:
    """The places of all lists that the filter needs, each once, in order."""
    lists = [_walk(index, attribute, key, start, page) for index, attribute, key in _lists(chosen)]
    return (place for place, _ in groupby(heapq.merge(*lists)))


def _lists(chosen: Filter) -> list[tuple[str, str, str]]:
    if chosen.member is not None:
        key = member_list(chosen.tenant, chosen.member)
        return [("byParticipant1", "participant1", key), ("byParticipant2", "participant2", key)]
    if chosen.memory_space_id is not None:
        return [("bySpace", "space", space_list(chosen.tenant, chosen.memory_space_id))]
    return [("byTenant", "tenantShard", tenant_list(chosen.tenant, shard)) for shard in range(TENANT_SHARDS)]


def _walk(index: str, attribute: str, key: str, start: Place | None, page: int) -> Iterator[Place]:
    """The places of one list, those of the same millisecond sorted, so that merged lists stay in order."""
    for _, same in groupby(_query(index, attribute, key, start, page), key=lambda place: place.age):
        yield from (place for place in sorted(same) if start is None or place > start)


def _query(index: str, attribute: str, key: str, start: Place | None, page: int) -> Iterator[Place]:
    query: dict[str, Any] = {
        "TableName": settings().state_table,
        "IndexName": index,
        "KeyConditionExpression": "#list = :list" + (" AND lastMessageAt <= :at" if start else ""),
        "ExpressionAttributeNames": {"#list": attribute},
        "ExpressionAttributeValues": {":list": {"S": key}, **({":at": {"N": str(start.at)}} if start else {})},
        "ScanIndexForward": False,
        "Limit": page,
    }
    while True:
        answer = client().query(**query)
        for item in map(from_item, answer["Items"]):
            yield Place(-item["lastMessageAt"], item["pk"])
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
