"""Memories as resources: made, changed with their versions kept, archived, deleted.

Whatever happens to a memory here, the words that it came from stay in the ledger, where its ``conversationRef`` leads.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from annals.access.caller import Caller
from annals.conversations.genesis import read_genesis
from annals.dynamodb import client
from annals.errors import (
    AppendConflict,
    ConversationNotFound,
    MemoryNotArchived,
    MemoryNotFound,
    PreconditionFailed,
    VersionNotFound,
)
from annals.ledger.append import RETRIED_REASONS
from annals.ledger.entry import ERASED
from annals.ledger.idempotency import IdempotentRequest, marker_put
from annals.ledger.keys import conversation_pk
from annals.ledger.read import read_records
from annals.ledger.retry import tries
from annals.memory.items import (
    ACTIVE,
    ARCHIVED,
    DELETED,
    Address,
    StoredMemory,
    read_item,
    read_versions,
    split_raw_id,
    to_memory_item,
)
from annals.memory.raw import raw_memory
from annals.memory.references import drop_reference, memories_of, reference_key, reference_puts
from annals.settings import settings
from annals.state import cancellation_reasons, delete_partition
from annals.times import now_ms

Change = Mapping[str, Any]


def create_memory(memory: StoredMemory, request: IdempotentRequest | None = None) -> tuple[StoredMemory, bool]:
    """Store a new memory, and say whether an earlier try of the request had stored it. Raises RequestTooLarge."""
    address = Address.of(memory.tenant, memory.memory_id)
    writes: list[Any] = [_put(address.current, memory, "attribute_not_exists(pk)")]
    if request:
        writes.append(marker_put(request, {"memoryId": memory.memory_id}))
    writes += reference_puts(memory)
    for _ in tries(settings().append_patience_s):
        try:
            client().transact_write_items(TransactItems=writes)
        except ClientError as error:
            reasons = cancellation_reasons(error)
            if request and reasons[1]["Code"] == "ConditionalCheckFailed":
                earlier = request.result_of(reasons[1]["Item"])["memoryId"]
                return read_memory(memory.tenant, earlier), True
            if not {reason["Code"] for reason in reasons} <= RETRIED_REASONS:
                raise
        else:
            return memory, False
    raise AppendConflict(memory.memory_id)


def new_memory_id() -> str:
    """A new explicit memory's id."""
    return f"mem-{secrets.token_hex(10)}"


def find_memory(caller: Caller, memory_id: str) -> StoredMemory:
    """A memory that the caller may see. Raises MemoryNotFound."""
    memory = read_memory(caller.tenant, memory_id)
    if not caller.may_see(memory.memory_space_id):
        raise MemoryNotFound(memory_id)
    return memory


def read_memory(tenant: str, memory_id: str) -> StoredMemory:
    """A memory as it is now: as it was stored, or as its message says. Raises MemoryNotFound."""
    memory = read_item(Address.of(tenant, memory_id).current) or _from_ledger(tenant, memory_id)
    if memory is None or memory.status == DELETED:
        raise MemoryNotFound(memory_id)
    return memory


def change_memory(memory: StoredMemory, change: Change, expected_version: int | None = None) -> StoredMemory:
    """Give a memory a new version; the one before is kept, the oldest beyond the limit dropped.

    Raises
    ------
    MemoryNotFound
    PreconditionFailed : the version is not ``expected_version``
    RequestTooLarge : changed so, it would be larger than an item of the table can be
    AppendConflict : others kept changing it
    """
    address = Address.of(memory.tenant, memory.memory_id)
    for _ in tries(settings().append_patience_s):
        if expected_version is not None and memory.version != expected_version:
            raise PreconditionFailed(expected_version, memory.version)
        changed = replace(memory, **change, version=memory.version + 1, updated_at=now_ms())
        writes: list[Any] = [
            _put(address.current, changed, "attribute_not_exists(pk) OR version = :before", memory.version),
            _put(address.version(memory.version), memory),
        ]
        if (dropped := memory.version - settings().memory_versions) > 0:
            writes.append({"Delete": {"TableName": settings().state_table, "Key": address.version(dropped)}})
        if _written(writes):
            return changed
        memory = read_memory(memory.tenant, memory.memory_id)
    raise AppendConflict(memory.memory_id)


def set_status(memory: StoredMemory, status: str) -> StoredMemory:
    """Archive a memory, or restore it as it was. Raises MemoryNotArchived where there is nothing to restore."""
    if status == ACTIVE and memory.status != ARCHIVED:
        raise MemoryNotArchived(memory.memory_id)
    changed = replace(memory, status=status, updated_at=now_ms())
    address = Address.of(memory.tenant, memory.memory_id)
    condition = "attribute_not_exists(pk) OR version = :before"
    for _ in tries(settings().append_patience_s):
        if memory.status == status:
            return memory
        if _written([_put(address.current, changed, condition, memory.version)]):
            return changed
        memory = read_memory(memory.tenant, memory.memory_id)
        changed = replace(memory, status=status, updated_at=now_ms())
    raise AppendConflict(memory.memory_id)


def delete_memory(memory: StoredMemory) -> None:
    """Delete a memory with its versions. A raw one leaves a mark, so that its message does not bring it back."""
    address = Address.of(memory.tenant, memory.memory_id)
    delete_partition(address.pk, f"V#{address.name}#")
    if split_raw_id(memory.memory_id) is None:
        client().delete_item(TableName=settings().state_table, Key=address.current)
        drop_reference(memory)
        return
    mark = replace(memory, content="", tags=(), metadata={}, status=DELETED, updated_at=now_ms())
    client().put_item(TableName=settings().state_table, Item=to_memory_item(address.current, mark))


def forget_memory(tenant: str, memory_id: str) -> None:
    """Delete what was made of a message as a memory, once the message itself is redacted."""
    address = Address.of(tenant, memory_id)
    delete_partition(address.pk, f"V#{address.name}#")
    client().delete_item(TableName=settings().state_table, Key=address.current)


def forget_memories_of(tenant: str, conversation_id: str, message_id: str | None = None) -> None:
    """Delete the memories that were made of a conversation's messages, or of one of them. It can be done again."""
    for memory_id in list(memories_of(tenant, conversation_id, message_id)):
        with suppress(MemoryNotFound):
            delete_memory(read_memory(tenant, memory_id))
        # What a deletion left that was broken off.
        delete_partition(Address.of(tenant, memory_id).pk)
        client().delete_item(TableName=settings().state_table, Key=reference_key(tenant, conversation_id, memory_id))


def version_of(memory: StoredMemory, number: int) -> StoredMemory:
    """A version of a memory. Raises VersionNotFound for one that never was, or is not kept any more."""
    if number == memory.version:
        return memory
    # A number that no version has would make a key that no table takes.
    there = 0 < number < memory.version
    found = read_item(Address.of(memory.tenant, memory.memory_id).version(number)) if there else None
    if found is None:
        raise VersionNotFound(memory.memory_id, number)
    return found


def version_at(memory: StoredMemory, moment: int) -> StoredMemory:
    """The version of a memory that was in force at a moment in Unix milliseconds. Raises VersionNotFound."""
    for version in (memory, *previous_versions(memory)):
        if version.updated_at <= moment:
            return version
    raise VersionNotFound(memory.memory_id, 0)


def previous_versions(memory: StoredMemory) -> list[StoredMemory]:
    """The versions before the current one that are kept, the newest first."""
    return list(read_versions(Address.of(memory.tenant, memory.memory_id)))


def _from_ledger(tenant: str, memory_id: str) -> StoredMemory | None:
    """A raw memory as its message says it, or None where there is no such message or its words are gone."""
    raw = split_raw_id(memory_id)
    if raw is None:
        return None
    conversation_id, seq = raw
    entry = next(read_records(conversation_pk(tenant, conversation_id), seq, seq), None)
    if entry is None or entry.state == ERASED:
        return None
    try:
        genesis = read_genesis(tenant, conversation_id)
    except ConversationNotFound:
        return None
    return next(
        (raw_memory(record, entry, genesis) for record in entry.records if record.seq == seq and record.body), None
    )


def _put(
    key: Mapping[str, Any], memory: StoredMemory, condition: str = "", before: int | None = None
) -> dict[str, Any]:
    put: dict[str, Any] = {"TableName": settings().state_table, "Item": to_memory_item(dict(key), memory)}
    if condition:
        put["ConditionExpression"] = condition
    if before is not None:
        put["ExpressionAttributeValues"] = {":before": {"N": str(before)}}
    return {"Put": put}


def _written(writes: list[Any]) -> bool:
    """Write all, or nothing where another writer was faster."""
    try:
        client().transact_write_items(TransactItems=writes)
    except ClientError as error:
        codes = {reason["Code"] for reason in cancellation_reasons(error)}
        if not codes <= RETRIED_REASONS | {"ConditionalCheckFailed"}:
            raise
        return False
    return True
