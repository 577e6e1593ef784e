"""Deleting memories with their versions, also damaged ones; and what redactions and erasures take of memories.

A deletion first puts a tombstone in the memory's place, then deletes all else, and can be done again from anywhere
between. The tombstone of a raw memory stays, so that its message does not bring it back; any other goes last.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from annals.access.caller import Caller
from annals.conversations.read import find_conversation_space
from annals.conversations.receipts import not_erased_check
from annals.database.damage import decode_readable
from annals.database.dynamodb import client
from annals.database.state import delete_partition, find_item
from annals.database.transactions import try_transaction
from annals.errors import DamagedItem, MemoryNotFound, WriteConflict
from annals.ledger.entry import ERASED
from annals.ledger.idempotency import marker_prefix
from annals.ledger.keys import conversation_pk
from annals.ledger.message_state import REDACTED
from annals.ledger.tail import salvage_tail
from annals.memory.memories.memory_external_ids import pointer_deletes
from annals.memory.memories.memory_items import (
    DELETED,
    Address,
    StoredMemory,
    find_memory_item,
    from_memory_item,
    replacement_writes,
    salvage_memory,
    split_raw_id,
    to_tombstone_item,
)
from annals.memory.memories.memory_reads import get_memory, get_stored_memory, previous_versions
from annals.memory.memories.memory_references import (
    delete_conversation_reference,
    delete_references,
    list_memory_ids_of,
)
from annals.retries import tries
from annals.settings import settings

MAX_VERSION_DELETES = 90
"""How many versions go in one transaction with a memory; DynamoDB takes 100 writes in one."""


def remove_memory(caller: Caller, memory_id: str) -> None:
    """Delete a memory that the caller may see. Raises MemoryNotFound, also where another request was faster."""
    if not delete_visible_memory(caller, memory_id):
        raise MemoryNotFound(memory_id)


def delete_visible_memory(caller: Caller, memory_id: str) -> bool:
    """Delete a memory that the caller may see, even a damaged one; False where another request had deleted it.

    Raises MemoryNotFound; and DamagedItem where the memory space of a damaged one cannot be told, and only some are
    open.
    """
    try:
        tombstone = find_memory_item(Address.of(caller.tenant, memory_id).current)
        if tombstone and tombstone.status == DELETED and caller.may_see(tombstone.memory_space_id):
            # An earlier try may have been broken off after it.
            _delete_rest(tombstone)
        return delete_memory(get_memory(caller, memory_id))
    except DamagedItem:
        memory = find_damaged_memory(caller.tenant, memory_id)
        if memory is None:
            raise MemoryNotFound(memory_id) from None
        if not caller.may_see(memory.memory_space_id):
            raise
        return delete_damaged_memory(memory)


def delete_memory(memory: StoredMemory) -> bool:
    """Delete a memory with its versions; False where another request had deleted it. It can be done again.

    The tombstone takes the stored versions along: after it, nobody can write one any more.
    """
    # Before the tombstone takes the versions along. What a deletion leaves that breaks off here leads to nothing.
    moved = [each for each in previous_versions(memory) if each.source_ref != memory.source_ref]
    is_deleted = _put_tombstone(memory)
    _delete_rest(memory)
    for version in moved:
        delete_references(version)
    return is_deleted


def _put_tombstone(memory: StoredMemory) -> bool:
    """Put a tombstone in the place of a memory; False where one is there, or the memory's conversation is erased."""
    for _ in tries(settings().append_patience_s):
        if memory.status == DELETED:
            return False
        tombstone = to_tombstone_item(memory.address.current, memory)
        deletes = [*_version_deletes(memory), *pointer_deletes(memory)]
        if try_transaction([*replacement_writes(memory, tombstone), *deletes]):
            return True
        try:
            memory = get_stored_memory(memory.tenant, memory.memory_id)
        except MemoryNotFound:
            return False
    raise WriteConflict(f"memory {memory.memory_id!r}")


def _version_deletes(memory: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that delete the versions of a memory that are stored, as many as it has room for."""
    oldest = max(1, memory.version - min(settings().memory_versions, MAX_VERSION_DELETES))
    keys = (memory.address.version(number) for number in range(oldest, memory.version))
    return [{"Delete": {"TableName": settings().state_table, "Key": key}} for key in keys]


def _delete_rest(memory: StoredMemory) -> None:
    """Delete all that is left of a memory that has a tombstone, then the tombstone, unless it is a raw memory's."""
    _delete_versions(memory.address)
    if split_raw_id(memory.memory_id) is None:
        delete_references(memory)
        client().delete_item(TableName=settings().state_table, Key=memory.address.current)


def delete_memory_versions(tenant: str, memory_id: str) -> None:
    """Delete the versions of a message as a memory, once the message itself is redacted, and the memory with it."""
    _delete_versions(Address.of(tenant, memory_id))


def _delete_versions(address: Address) -> None:
    """Delete the versions of a memory, and the markers of the requests that made them."""
    delete_partition(address.pk, address.version_prefix)
    delete_partition(address.pk, marker_prefix(address.name))


def delete_memories_of(tenant: str, conversation_id: str, message_id: str | None = None) -> None:
    """Delete the memories that were made of a conversation's messages, or of one of them. It can be done again."""
    for memory_id in list(list_memory_ids_of(tenant, conversation_id, message_id)):
        with suppress(MemoryNotFound, DamagedItem):
            delete_memory(get_stored_memory(tenant, memory_id))
        # What a deletion left that was broken off.
        if split_raw_id(memory_id):
            delete_memory_versions(tenant, memory_id)
        else:
            delete_partition(Address.of(tenant, memory_id).pk)
        delete_conversation_reference(tenant, conversation_id, memory_id)


def find_damaged_memory(tenant: str, memory_id: str) -> StoredMemory | None:
    """What is known of a memory whose item or message cannot be read; None where it is gone."""
    item = find_item(Address.of(tenant, memory_id).current)
    if item and any(memory.status == DELETED for memory in decode_readable([item], from_memory_item)):
        return None
    raw = split_raw_id(memory_id)
    if raw is None:
        return salvage_memory(item, tenant, memory_id) if item else None
    conversation_id, seq = raw
    tail = salvage_tail(conversation_pk(tenant, conversation_id))
    if tail is None or tail.state == ERASED or not 0 < seq <= tail.seq:
        return None
    return replace(
        salvage_memory(item or {}, tenant, memory_id),
        memory_space_id=find_conversation_space(tenant, conversation_id) or "",
        conversation_id=conversation_id,
    )


def delete_damaged_memory(memory: StoredMemory) -> bool:
    """Delete a memory that cannot be read, by its key; False where another request had deleted it."""
    raw = split_raw_id(memory.memory_id)
    put = {
        "TableName": settings().state_table,
        "Item": to_tombstone_item(memory.address.current, memory),
        "ConditionExpression": f"attribute_not_exists({REDACTED})" if raw else "attribute_exists(pk)",
    }
    checks = [not_erased_check(memory.tenant, raw[0])] if raw else []
    for _ in tries(settings().append_patience_s):
        if try_transaction([{"Put": put}, *checks, *pointer_deletes(memory)]):
            _delete_rest(memory)
            return True
        if find_damaged_memory(memory.tenant, memory.memory_id) is None:
            return False
    raise WriteConflict(f"memory {memory.memory_id!r}")
