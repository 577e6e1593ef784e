"""Rebuilding what is derived: heads and search index, from the ledger alone.

This is work for a command, not for a request: it reads the whole ledger table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from annals.conversations.heads import project
from annals.dynamodb import client
from annals.ledger.keys import entry_sk
from annals.memory.indexing import index_conversation
from annals.memory.ports import embedder, index
from annals.settings import settings


@dataclass
class Rebuilt:
    """How many conversations were rebuilt, and the entries that could not be indexed, by partition key."""

    conversations: int = 0
    failed: dict[str, list[int]] = field(default_factory=dict)


def every_conversation() -> Iterator[str]:
    """The partition key of each conversation in the ledger, erased ones too."""
    pages = client().get_paginator("scan").paginate(
        TableName=settings().ledger_table,
        FilterExpression="sk = :genesis",
        ExpressionAttributeValues={":genesis": {"S": entry_sk(0)}},
        ProjectionExpression="pk",
        ConsistentRead=True,
    )
    return (item["pk"]["S"] for page in pages for item in page["Items"])


def rebuild_heads(progress: Callable[[], None]) -> Rebuilt:
    """Bring every conversation's head up to its ledger; make those that are missing."""
    rebuilt = Rebuilt()
    for pk in every_conversation():
        project(pk)
        rebuilt.conversations += 1
        progress()
    return rebuilt


def rebuild_index(progress: Callable[[], None]) -> Rebuilt:
    """Bring every conversation into the search index; what it holds already is not embedded again."""
    rebuilt = Rebuilt()
    for pk in every_conversation():
        if failed := index_conversation(index(), embedder(), pk):
            rebuilt.failed[pk] = failed
        rebuilt.conversations += 1
        progress()
    return rebuilt
