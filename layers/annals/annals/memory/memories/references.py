"""What leads from a conversation to the memories that were made of its messages, beside what leads to its facts.

A memory that names messages (``conversationRef``) goes with any of them that is redacted, and with its conversation.
What leads to it is written in the memory's own transaction, so that nothing has to be searched for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import escape, item_key, unescape
from annals.database.state import read_partition
from annals.memory.facts.fact_items import sources_pk
from annals.memory.memories.memory_items import StoredMemory, split_raw_id
from annals.settings import settings

REFERENCE = "R#"
"""How the sort keys begin."""


def reference_puts(memory: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that let a new memory be found by the messages that it names, if it names any."""
    if memory.conversation_id is None or split_raw_id(memory.memory_id):
        return []
    item = {
        **reference_key(memory.tenant, memory.conversation_id, memory.memory_id),
        **to_item({"messageIds": list(memory.message_ids)}),
    }
    return [{"Put": {"TableName": settings().state_table, "Item": item}}]


def delete_reference(memory: StoredMemory) -> None:
    """Delete what leads to a memory that is deleted."""
    if memory.conversation_id is not None and not split_raw_id(memory.memory_id):
        key = reference_key(memory.tenant, memory.conversation_id, memory.memory_id)
        client().delete_item(TableName=settings().state_table, Key=key)


def list_memory_ids_of(tenant: str, conversation_id: str, message_id: str | None = None) -> Iterator[str]:
    """The ids of the memories that were made of a conversation's messages, or of one of them."""
    for item in map(from_item, read_partition(sources_pk(tenant, conversation_id), REFERENCE)):
        # What no longer says of which messages its memory was made may be of any.
        if message_id is None or message_id in item.get("messageIds", [message_id]):
            yield unescape(item["sk"].removeprefix(REFERENCE))


def count_memories_of(tenant: str, conversation_id: str) -> int:
    """How many memories were made of a conversation's messages."""
    return sum(1 for _ in list_memory_ids_of(tenant, conversation_id))


def reference_key(tenant: str, conversation_id: str, memory_id: str) -> Item:
    """The key of what leads from a conversation to one memory."""
    return item_key(sources_pk(tenant, conversation_id), f"{REFERENCE}{escape(memory_id)}")
