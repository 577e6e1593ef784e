"""What is stored beside a message, in the state table: what became of it, since an entry of the ledger never changes.

The item is that of the message as a memory, too (``memory.memories.memory_items``): a message that is superseded or
redacted is none any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annals.database.dynamodb import from_item, to_item
from annals.database.keys import item_key
from annals.database.state import find_item, read_partition
from annals.ledger.entry import Entry
from annals.settings import settings

MESSAGE_STATE_PREFIX = "M#"
"""How the sort keys of these items begin."""

REDACTED = "redacted"
"""The attribute that says that the message is redacted."""

SUPERSEDED_BY = "supersededBy"
"""The attribute that holds the seq of the message that supersedes it."""


def message_state_key(pk: str, seq: int) -> dict[str, Any]:
    """The key of what is stored beside a message."""
    return item_key(pk, f"{MESSAGE_STATE_PREFIX}{seq:012d}")


def find_successor(pk: str, seq: int) -> int | None:
    """The seq of the message that supersedes one directly, or None. Strongly consistent."""
    successor = (find_item(message_state_key(pk, seq)) or {}).get(SUPERSEDED_BY)
    return int(successor["N"]) if successor else None


def has_superseded(pk: str) -> bool:
    """Whether any message of a conversation is superseded. Strongly consistent."""
    return next(walk_superseded(pk), None) is not None


def find_predecessor(pk: str, seq: int) -> int | None:
    """The seq of the message that one supersedes, or None; looked for among all that is stored beside messages.

    It is for a message that cannot be read, and does not say it itself.
    """
    return next((earlier for earlier, later in walk_superseded(pk) if later == seq), None)


def walk_superseded(pk: str) -> Iterator[tuple[int, int]]:
    """The seqs of a conversation's superseded messages, each with that of the one which supersedes it."""
    where = {"FilterExpression": f"attribute_exists({SUPERSEDED_BY})", "ProjectionExpression": f"sk, {SUPERSEDED_BY}"}
    for item in map(from_item, read_partition(pk, MESSAGE_STATE_PREFIX, **where)):
        yield int(item["sk"].removeprefix(MESSAGE_STATE_PREFIX)), item[SUPERSEDED_BY]


def superseding_puts(entry: Entry) -> list[dict[str, Any]]:
    """The parts of a transaction by which an entry's messages supersede others.

    On condition that no other message supersedes these, and that they are there.
    """
    return [
        {
            "Put": {
                "TableName": settings().state_table,
                "Item": {**message_state_key(entry.pk, record.supersedes), **to_item({SUPERSEDED_BY: record.seq})},
                "ConditionExpression": f"attribute_not_exists({SUPERSEDED_BY}) AND attribute_not_exists({REDACTED})",
            }
        }
        for record in entry.records
        if record.supersedes is not None
    ]
