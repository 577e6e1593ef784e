"""Retention timers: when a conversation is erased by itself, if nothing is said in it any more.

The ledger forgets nothing by itself, so it is a timer beside the conversation's head that runs out: DynamoDB deletes it
some time after, and whoever reads of that in the stream looks at the conversation once more.
"""

from __future__ import annotations

import time
from functools import lru_cache

from annals.conversations.heads import Head, project_head, store_unless_erased
from annals.database.damage import report_damage
from annals.database.dynamodb import Item, client
from annals.database.keys import item_key, partition_key
from annals.database.state import find_item
from annals.errors import DamagedItem
from annals.settings import settings

TIMER = "RETENTION"
"""The sort key of a conversation's timer; an erasure takes it along with all else in that partition."""

SPACE_SK = "SPACE"
"""The sort key of a space's description."""

DAY_MS = 86_400_000
"""A day in milliseconds."""

CACHED_FOR_S = 60
"""How long a process goes by the retention that it has read of a space."""


def space_key(tenant: str, memory_space_id: str) -> Item:
    """The key of a space's description."""
    return item_key(partition_key(tenant, "SP", memory_space_id), SPACE_SK)


def read_retention_days(tenant: str, memory_space_id: str | None) -> int | None:
    """After how many days without a message a space's conversations go, or None for never."""
    if memory_space_id is None:
        return None
    key = space_key(tenant, memory_space_id)
    item = (
        client()
        .get_item(
            TableName=settings().state_table,
            Key=key,
            ProjectionExpression="retentionDays",
            ConsistentRead=True,
        )
        .get("Item", {})
    )
    if not item:
        return None
    try:
        return int(item["retentionDays"]["N"])
    except (KeyError, ValueError):
        report_damage(
            DamagedItem(**{name: part["S"] for name, part in key.items()}, reason="its retentionDays is no number")
        )
        return None


def project_with_timer(pk: str) -> None:
    """Bring a conversation's head up to its ledger, and its timer to its space's retention. It can be done again."""
    if head := project_head(pk):
        _update_timer(head)


def _update_timer(head: Head) -> None:
    """Set a conversation's timer by its space's retention. At most one write per conversation and day."""
    genesis = head.genesis
    days = _cached_retention_days(genesis.tenant, genesis.memory_space_id, int(time.monotonic() / CACHED_FOR_S))
    if days is not None:
        set_timer(head.pk, head.silent_since, days)


def set_timer(pk: str, silent_since: int, days: int) -> None:
    """Set a conversation's timer to the midnight (UTC) after so many days of silence, unless its erasure has begun.

    Parameters
    ----------
    silent_since : when the newest message was stored, in Unix milliseconds; without messages, the conversation.
        When a message says that it was said does not count: what is imported stays as long as what is said now.
    """
    due_s = (silent_since // DAY_MS + 1 + days) * DAY_MS // 1000
    key = item_key(pk, TIMER)
    timer = find_item(key) or {}
    if timer.get("expiresAt") != {"N": str(due_s)}:
        put = {"TableName": settings().state_table, "Item": {**key, "expiresAt": {"N": str(due_s)}}}
        store_unless_erased(pk, {"Put": put})


@lru_cache(maxsize=10_000)
def _cached_retention_days(tenant: str, memory_space_id: str | None, period: int) -> int | None:
    return read_retention_days(tenant, memory_space_id)
