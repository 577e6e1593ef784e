"""Traces: references from a user to what is theirs outside of their own memories.

``C#`` names a conversation of which they are the user or in which they spoke, or in which something was made of them;
``K#`` a memory or a fact of theirs that belongs to no conversation; ``S#`` a memory space in which they take part. A
trace says where to look, not what is there: the ledger and the tables say that. Those of memories and facts are written
in their own transactions, those of conversations by the function that follows the ledger's stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from annals.conversations.genesis import get_genesis
from annals.conversations.heads import find_stored_head
from annals.database.dynamodb import Item, client
from annals.database.keys import escape, item_key, partition_key, unescape
from annals.database.state import find_item, read_partition
from annals.errors import ConversationNotFound, DamagedEntry, DamagedItem
from annals.ledger.keys import conversation_pk
from annals.ledger.read import walk_items
from annals.ledger.salvage import salvage_bodies
from annals.settings import settings

CONVERSATION, STANDALONE, SPACE = "C#", "K#", "S#"


def trace_key(tenant: str, user_id: str, kind: str, name: str) -> Item:
    """The key of a trace: its kind, and what it leads to."""
    return item_key(partition_key(tenant, "PT", user_id), f"{kind}{escape(name)}")


def trace_keys(tenant: str, user_id: str | None, name: str, conversation_id: str | None) -> list[Item]:
    """The keys of the traces of a memory or a fact: none for what is nobody's, or goes with their own conversation."""
    if user_id is None:
        return []
    if conversation_id is None:
        return [trace_key(tenant, user_id, STANDALONE, name)]
    if is_conversation_user(tenant, user_id, conversation_id):
        return []
    return [trace_key(tenant, user_id, CONVERSATION, conversation_id)]


def trace_puts(keys: list[Item]) -> list[dict[str, Any]]:
    """The parts of a transaction that write traces, each once."""
    distinct = {(key["pk"]["S"], key["sk"]["S"]): key for key in keys}
    return [{"Put": {"TableName": settings().state_table, "Item": key}} for key in distinct.values()]


def read_traces(tenant: str, user_id: str, kind: str) -> Iterator[str]:
    """What the traces of a kind lead to. Strongly consistent."""
    pk = trace_key(tenant, user_id, kind, "")["pk"]["S"]
    return (unescape(item["sk"]["S"].removeprefix(kind)) for item in read_partition(pk, kind))


def put_trace(tenant: str, user_id: str, kind: str, name: str) -> bool:
    """Write a trace; False where it is there already."""
    key = trace_key(tenant, user_id, kind, name)
    if find_item(key):
        return False
    client().put_item(TableName=settings().state_table, Item=key)
    return True


def delete_trace(tenant: str, user_id: str, kind: str, name: str) -> None:
    """Delete a trace."""
    client().delete_item(TableName=settings().state_table, Key=trace_key(tenant, user_id, kind, name))


def is_conversation_user(tenant: str, user_id: str, conversation_id: str) -> bool:
    """Whether a user is a conversation's own; False where the ledger knows no such conversation (any more).

    Of one whose genesis cannot be read, its head says it, or else as much of the genesis as is left.
    """
    try:
        return get_genesis(tenant, conversation_id).participants.get("userId") == user_id
    except ConversationNotFound:
        return False
    except DamagedEntry:
        return user_id in _users_of_damaged(conversation_pk(tenant, conversation_id))


def _users_of_damaged(pk: str) -> Iterator[str | None]:
    """The user of a conversation whose genesis cannot be read, as far as something still says it."""
    with suppress(DamagedItem):
        if head := find_stored_head(pk):
            yield head.genesis.user_id
            return
    for item in walk_items(pk, last=0):
        for body in salvage_bodies(item):
            participants = body.get("participants") if body else None
            yield participants.get("userId") if isinstance(participants, dict) else None
