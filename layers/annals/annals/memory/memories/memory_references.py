"""References to a memory: from the conversation of its messages, and from its user.

A memory that names messages (``conversationRef``) goes with any of them that is redacted, and with its conversation;
one that names a user goes with the user. The references are written in the memory's own transaction, so that nothing
has to be searched for. Those from a conversation to its facts stand in the same partition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import escape, item_key, unescape
from annals.database.state import find_item, read_partition
from annals.memory.facts.fact_items import sources_pk
from annals.memory.memories.memory_items import StoredMemory, split_raw_id, split_user_memory_id
from annals.memory.user_traces import trace_keys, trace_puts
from annals.settings import settings

REFERENCE_PREFIX = "R#"
"""How the sort keys of references from a conversation to a memory begin."""


def reference_key(tenant: str, conversation_id: str, memory_id: str) -> Item:
    """The key of the reference from a conversation to one memory."""
    return item_key(sources_pk(tenant, conversation_id), f"{REFERENCE_PREFIX}{escape(memory_id)}")


def reference_puts(memory: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that let a new memory be found by the messages and the user that it names."""
    return [*_conversation_reference_puts(memory), *trace_puts(_trace_keys(memory))]


def changed_reference_puts(memory: StoredMemory, changed: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that let a changed memory be found by the messages that it comes from now.

    By those that it came from before it is still found: the version before was made of them.
    """
    if changed.source_ref == memory.source_ref:
        return []
    traces = trace_puts(_trace_keys(changed))
    if changed.conversation_id is None:
        return traces
    key = reference_key(changed.tenant, changed.conversation_id, changed.memory_id)
    item = find_item(key)
    earlier = from_item(item).get("messageIds", []) if item else []
    message_ids = list(dict.fromkeys([*earlier, *changed.message_ids]))
    put = {"TableName": settings().state_table, "Item": {**key, **to_item({"messageIds": message_ids})}}
    return [{"Put": put}, *traces]


def put_references(memory: StoredMemory) -> None:
    """Write the references to a memory, of which a former version may have written none."""
    for put in reference_puts(memory):
        client().put_item(**put["Put"])


def delete_references(memory: StoredMemory) -> None:
    """Delete the references that lead to a deleted memory, and to nothing else."""
    if memory.conversation_id is None:
        for key in _trace_keys(memory):
            client().delete_item(TableName=settings().state_table, Key=key)
    elif not split_raw_id(memory.memory_id):
        delete_conversation_reference(memory.tenant, memory.conversation_id, memory.memory_id)


def delete_conversation_reference(tenant: str, conversation_id: str, memory_id: str) -> None:
    """Delete the reference from a conversation to one memory."""
    key = reference_key(tenant, conversation_id, memory_id)
    client().delete_item(TableName=settings().state_table, Key=key)


def list_memory_ids_of(tenant: str, conversation_id: str, message_id: str | None = None) -> Iterator[str]:
    """The ids of the memories that were made of a conversation's messages, or of one of them."""
    for item in map(from_item, read_partition(sources_pk(tenant, conversation_id), REFERENCE_PREFIX)):
        # What no longer says of which messages its memory was made may be of any.
        if message_id is None or message_id in item.get("messageIds", [message_id]):
            yield unescape(item["sk"].removeprefix(REFERENCE_PREFIX))


def count_memories_of(tenant: str, conversation_id: str) -> int:
    """How many memories were made of a conversation's messages."""
    return sum(1 for _ in list_memory_ids_of(tenant, conversation_id))


def _conversation_reference_puts(memory: StoredMemory) -> list[dict[str, Any]]:
    if memory.conversation_id is None or split_raw_id(memory.memory_id):
        return []
    item = {
        **reference_key(memory.tenant, memory.conversation_id, memory.memory_id),
        **to_item({"messageIds": list(memory.message_ids)}),
    }
    return [{"Put": {"TableName": settings().state_table, "Item": item}}]


def _trace_keys(memory: StoredMemory) -> list[Item]:
    """The keys of the traces from a user to a memory that is no message's and none of the user's own."""
    if split_raw_id(memory.memory_id) or split_user_memory_id(memory.memory_id):
        return []
    return trace_keys(memory.tenant, memory.user_id, memory.memory_id, memory.conversation_id)
