"""Rebuilding what is derived: heads from the ledger, the search index from the ledger and the memories beside it.

This is work for a command, not for a request: it reads whole tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from annals.conversations.heads import project
from annals.dynamodb import client
from annals.ledger.keys import entry_sk, is_conversation_pk
from annals.memory.indexing import index_changed, index_conversation
from annals.memory.ports import embedder, index
from annals.settings import settings


@dataclass
class Rebuilt:
    """How much was rebuilt, and the entries that could not be indexed, by partition key.

    ``memories`` are those beside the ledger: explicit memories, users' memories and facts.
    """

    conversations: int = 0
    memories: int = 0
    failed: dict[str, list[int]] = field(default_factory=dict)


def every_conversation() -> Iterator[str]:
    """The partition key of each conversation in the ledger, erased ones too."""
    pages = (
        client()
        .get_paginator("scan")
        .paginate(
            TableName=settings().ledger_table,
            FilterExpression="sk = :genesis",
            ExpressionAttributeValues={":genesis": {"S": entry_sk(0)}},
            ProjectionExpression="pk",
            ConsistentRead=True,
        )
    )
    return (item["pk"]["S"] for page in pages for item in page["Items"])


def every_memory() -> Iterator[tuple[str, str]]:
    """The key of each memory and fact of the state table that belongs to no message."""
    pages = (
        client()
        .get_paginator("scan")
        .paginate(
            TableName=settings().state_table,
            FilterExpression="begins_with(sk, :memory)",
            ExpressionAttributeValues={":memory": {"S": "M#"}},
            ProjectionExpression="pk, sk",
            ConsistentRead=True,
        )
    )
    keys = ((item["pk"]["S"], item["sk"]["S"]) for page in pages for item in page["Items"])
    return ((pk, sk) for pk, sk in keys if not is_conversation_pk(pk))


def rebuild_heads(progress: Callable[[], None]) -> Rebuilt:
    """Bring every conversation's head up to its ledger; make those that are missing."""
    rebuilt = Rebuilt()
    for pk in every_conversation():
        project(pk)
        rebuilt.conversations += 1
        progress()
    return rebuilt


def rebuild_index(progress: Callable[[], None]) -> Rebuilt:
    """Bring every conversation and memory into the search index; what it holds already is not embedded again."""
    rebuilt = Rebuilt()
    for pk in every_conversation():
        if failed := index_conversation(index(), embedder(), pk):
            rebuilt.failed[pk] = failed
        rebuilt.conversations += 1
        progress()
    for pk, sk in every_memory():
        index_changed(index(), embedder(), pk, sk)
        rebuilt.memories += 1
        progress()
    return rebuilt
