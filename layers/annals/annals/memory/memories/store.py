"""Memories as resources: made, changed with their versions kept, archived, deleted.

Whatever happens to a memory here, the words that it came from stay in the ledger, where its ``conversationRef`` leads.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis
from annals.conversations.read import find_conversation_space, get_tail
from annals.conversations.receipts import not_erased_check
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item, client, to_item
from annals.database.state import delete_partition, find_item
from annals.database.transactions import transact, try_transaction
from annals.errors import (
    ConversationErased,
    ConversationNotFound,
    DamagedItem,
    MemoryNotArchived,
    MemoryNotFound,
    PreconditionFailed,
    VersionNotFound,
    WriteConflict,
)
from annals.ledger.entry import ERASED, SALT_BYTES
from annals.ledger.idempotency import IdempotentRequest, find_result, marker_prefix, marker_put
from annals.ledger.keys import conversation_pk
from annals.ledger.read import read_records
from annals.ledger.tail import salvage_tail
from annals.memory.memories.memory_items import (
    ACTIVE,
    ARCHIVED,
    DELETED,
    Address,
    StoredMemory,
    find_memory_item,
    from_memory_item,
    read_versions,
    salvage_memory,
    split_raw_id,
    split_user_memory_id,
    to_mark_item,
    to_memory_item,
    user_memory_id,
)
from annals.memory.memories.raw_memories import to_raw_memory
from annals.memory.memories.references import delete_reference, list_memory_ids_of, reference_key, reference_puts
from annals.memory.sources import REDACTED, Source, SourceRef, with_existing_sources
from annals.memory.user_traces import trace_keys, trace_puts
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms

MOST_VERSIONS = 90
"""How many versions go in one transaction with a memory; DynamoDB takes 100 writes in one."""

Change = Callable[[StoredMemory], Mapping[str, Any]]
"""What is to become of a memory as it is now: of what another writer left, where one was faster."""


def create_memory(memory: StoredMemory, request: IdempotentRequest | None = None) -> tuple[StoredMemory, bool]:
    """Store a new memory, and say whether an earlier try of the request had stored it.

    Raises
    ------
    ConversationErased, MessageRedacted : what it was made of is withdrawn
    RequestTooLarge, IdempotencyKeyReused, WriteConflict
    """
    marker = []
    if request:
        salt = os.urandom(SALT_BYTES)
        memory = replace(memory, salt=salt.hex())
        marker = [marker_put(request, {"memoryId": _name_in_marker(memory)}, salt)]
    put = _put(Address.of(memory.tenant, memory.memory_id).current, memory)
    put["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
    writes: list[Any] = [put, *marker, *reference_puts(memory), *trace_puts(_traces_of(memory))]
    source, mark = _source_of(memory), None
    for _ in tries(settings().append_patience_s):
        checks: list[Any] = source.checks(mark) if source else []
        cancelled = transact(writes + checks)
        if cancelled is None:
            return memory, False
        if request and cancelled.failed(1):
            return _made_before(memory, request, cancelled.item(1)), True
        if source and cancelled.failed_from(len(writes)):
            mark = source.require()
        else:
            cancelled.require_retryable()
    raise WriteConflict(f"memory {memory.memory_id!r}")


def _made_before(ours: StoredMemory, request: IdempotentRequest, marker: Item) -> StoredMemory:
    """The memory that an earlier try of a request made. Raises IdempotencyKeyReused, and MemoryNotFound."""
    memory = read_memory(ours.tenant, _id_of_marker(request.read_result(marker)["memoryId"], ours))
    request.read_result(marker, bytes.fromhex(memory.salt or ""))
    return memory


def _source_of(memory: StoredMemory) -> Source | None:
    """What of a conversation a memory says that it was made of."""
    if memory.conversation_id is None:
        return None
    return Source(memory.tenant, memory.conversation_id, memory.message_ids)


def _name_in_marker(memory: StoredMemory) -> str:
    """What a marker keeps of a memory's id: of a user's memory, nothing that names the user."""
    own = split_user_memory_id(memory.memory_id)
    return own[1] if own else memory.memory_id


def _id_of_marker(name: str, memory: StoredMemory) -> str:
    """The id that a marker of a request for such a memory stands for."""
    own = split_user_memory_id(memory.memory_id)
    return user_memory_id(own[0], name) if own and not split_user_memory_id(name) else name


def new_memory_id() -> str:
    """A new explicit memory's id."""
    return f"mem-{secrets.token_hex(10)}"


def find_memory(caller: Caller, memory_id: str) -> StoredMemory:
    """A memory that the caller may see. Raises MemoryNotFound."""
    memory = read_memory(caller.tenant, memory_id)
    if not caller.may_see(memory.memory_space_id) or not with_existing_sources(caller.tenant, [memory], _ref_of):
        raise MemoryNotFound(memory_id)
    return memory


def _ref_of(memory: StoredMemory) -> SourceRef:
    """The words that a memory was made of. A raw one is the words itself: ``read_memory`` has looked for them."""
    return (None, ()) if split_raw_id(memory.memory_id) else (memory.conversation_id, memory.message_ids)


def read_memory(tenant: str, memory_id: str) -> StoredMemory:
    """A memory as it is now: as it was stored, or as its message says. Raises MemoryNotFound."""
    memory = find_memory_item(Address.of(tenant, memory_id).current)
    if raw := split_raw_id(memory_id):
        # A message's memory is there as long as its words are, whatever was made of them.
        said = _from_ledger(tenant, *raw)
        memory = memory or said if said else None
    if memory is None or memory.status == DELETED:
        raise MemoryNotFound(memory_id)
    return memory


def change_memory(
    memory: StoredMemory,
    change: Change,
    expected_version: int | None = None,
    request: IdempotentRequest | None = None,
) -> tuple[StoredMemory, bool]:
    """Give a memory a new version; the one before is kept, the oldest beyond the limit dropped.

    Returns
    -------
    StoredMemory and bool
        The version that the change made, and whether an earlier try of the request had made it.

    Raises
    ------
    MemoryNotFound
    IdempotencyKeyReused : the request's key came with another change of this memory before
    PreconditionFailed : the version is not ``expected_version``
    RequestTooLarge : changed so, it would be larger than an item of the table can be
    WriteConflict : others kept changing it
    """
    address, once = Address.of(memory.tenant, memory.memory_id), _beside(memory, request)
    for _ in tries(settings().append_patience_s):
        if once and (earlier := find_result(once)):
            return _changed_by(memory.tenant, memory.memory_id, earlier), True
        if expected_version is not None and memory.version != expected_version:
            raise PreconditionFailed(expected_version, memory.version)
        changed = replace(memory, **change(memory), version=memory.version + 1, updated_at=now_ms())
        writes: list[Any] = [*_replace(memory, changed), _put(address.version(memory.version), memory)]
        if (dropped := memory.version - settings().memory_versions) > 0:
            writes.append({"Delete": {"TableName": settings().state_table, "Key": address.version(dropped)}})
        if try_transaction([*writes, *_marker(once, changed)]):
            return changed, False
        memory = read_memory(memory.tenant, memory.memory_id)
    raise WriteConflict(f"memory {memory.memory_id!r}")


def set_status(
    memory: StoredMemory, status: str, request: IdempotentRequest | None = None
) -> tuple[StoredMemory, bool]:
    """Archive a memory, or restore it as it was, and say whether an earlier try of the request had.

    Raises MemoryNotArchived where there is nothing to restore.
    """
    once, is_wrong = _beside(memory, request), status == ACTIVE and memory.status != ARCHIVED
    for _ in tries(settings().append_patience_s):
        if once and (earlier := find_result(once)):
            return _changed_by(memory.tenant, memory.memory_id, earlier), True
        if is_wrong:
            raise MemoryNotArchived(memory.memory_id)
        if memory.status == status:
            return memory, False
        changed = replace(memory, status=status, updated_at=now_ms())
        if try_transaction([*_replace(memory, changed), *_marker(once, changed)]):
            return changed, False
        memory = read_memory(memory.tenant, memory.memory_id)
    raise WriteConflict(f"memory {memory.memory_id!r}")


def _beside(memory: StoredMemory, request: IdempotentRequest | None) -> IdempotentRequest | None:
    """The request, with a marker that goes with the memory."""
    address = Address.of(memory.tenant, memory.memory_id)
    return request.with_marker_in(address.pk, address.name) if request else None


def _marker(once: IdempotentRequest | None, changed: StoredMemory) -> list[Any]:
    told = {"version": changed.version, "status": changed.status, "updated_at": changed.updated_at}
    return [marker_put(once, told)] if once else []


def _changed_by(tenant: str, memory_id: str, result: Mapping[str, Any]) -> StoredMemory:
    """A memory as an earlier request left it; as it is now, where that version is not kept any more."""
    memory = read_memory(tenant, memory_id)
    with suppress(VersionNotFound):
        return replace(version_of(memory, result["version"]), **result)
    return memory


def remove_memory(caller: Caller, memory_id: str) -> None:
    """Delete a memory that the caller may see. Raises MemoryNotFound, also where somebody else was faster."""
    if not delete_seen(caller, memory_id):
        raise MemoryNotFound(memory_id)


def delete_seen(caller: Caller, memory_id: str) -> bool:
    """Delete a memory that the caller may see, be it damaged, and say whether nobody else had.

    Raises MemoryNotFound; and Damaged where the memory space of one that is cannot be told, and only some are open.
    """
    try:
        mark = find_memory_item(Address.of(caller.tenant, memory_id).current)
        if mark and mark.status == DELETED and caller.may_see(mark.memory_space_id):
            # An earlier try may have been broken off behind the mark.
            _forget_deleted(mark)
        return delete_memory(find_memory(caller, memory_id))
    except DamagedItem:
        memory = find_damaged_memory(caller.tenant, memory_id)
        if memory is None:
            raise MemoryNotFound(memory_id) from None
        if not caller.may_see(memory.memory_space_id):
            raise
        return delete_damaged_memory(memory)


def find_damaged_memory(tenant: str, memory_id: str) -> StoredMemory | None:
    """What is known of a memory that cannot be read, be it the item or the message; None where it is gone."""
    item = find_item(Address.of(tenant, memory_id).current)
    if item and any(memory.status == DELETED for memory in decode_readable([item], from_memory_item)):
        return None
    raw = split_raw_id(memory_id)
    if raw is None:
        return salvage_memory(item, tenant, memory_id) if item else None
    tail = salvage_tail(conversation_pk(tenant, raw[0]))
    if tail is None or tail.state == ERASED or not 0 < raw[1] <= tail.seq:
        return None
    found = salvage_memory(item or {}, tenant, memory_id)
    return replace(found, memory_space_id=find_conversation_space(tenant, raw[0]) or "", conversation_id=raw[0])


def delete_damaged_memory(memory: StoredMemory) -> bool:
    """Delete a memory that cannot be read, by its key, and say whether nobody else had."""
    raw = split_raw_id(memory.memory_id)
    put = {
        "TableName": settings().state_table,
        "Item": to_mark_item(Address.of(memory.tenant, memory.memory_id).current, memory),
        "ConditionExpression": f"attribute_not_exists({REDACTED})" if raw else "attribute_exists(pk)",
    }
    checks = [not_erased_check(memory.tenant, raw[0])] if raw else []
    for _ in tries(settings().append_patience_s):
        if try_transaction([{"Put": put}, *checks]):
            _forget_deleted(memory)
            return True
        if find_damaged_memory(memory.tenant, memory.memory_id) is None:
            return False
    raise WriteConflict(f"memory {memory.memory_id!r}")


def delete_memory(memory: StoredMemory) -> bool:
    """Delete a memory with its versions, and say whether nobody else had. It can be done again.

    The mark that it is deleted comes first, and takes the versions that are kept along: behind it nobody can write one
    any more. That of a raw memory stays, so that its message does not bring it back.
    """
    deleted = _mark_deleted(memory)
    _forget_deleted(memory)
    return deleted


def _forget_deleted(memory: StoredMemory) -> None:
    """Delete the versions of a memory that is marked as deleted, then the mark, if it is no raw one's."""
    address = Address.of(memory.tenant, memory.memory_id)
    _forget_versions(address)
    if split_raw_id(memory.memory_id) is None:
        _drop_leads(memory)
        client().delete_item(TableName=settings().state_table, Key=address.current)


def _mark_deleted(memory: StoredMemory) -> bool:
    """Put a mark in the place of a memory; False where that is done already, or its conversation is erased."""
    key = Address.of(memory.tenant, memory.memory_id).current
    for _ in tries(settings().append_patience_s):
        if memory.status == DELETED:
            return False
        if try_transaction([*_replace_by(to_mark_item(key, memory), memory), *_version_deletes(memory)]):
            return True
        try:
            memory = read_memory(memory.tenant, memory.memory_id)
        except MemoryNotFound:
            return False
    raise WriteConflict(f"memory {memory.memory_id!r}")


def _version_deletes(memory: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that delete the versions of a memory that are kept, as many as it has room for."""
    kept = range(max(1, memory.version - min(settings().memory_versions, MOST_VERSIONS)), memory.version)
    address = Address.of(memory.tenant, memory.memory_id)
    return [{"Delete": {"TableName": settings().state_table, "Key": address.version(number)}} for number in kept]


def _traces_of(memory: StoredMemory) -> list[Item]:
    """The keys of what leads from a person to a memory of theirs that is no message's and none of their own."""
    if split_raw_id(memory.memory_id) or split_user_memory_id(memory.memory_id):
        return []
    return trace_keys(memory.tenant, memory.user_id, memory.memory_id, memory.conversation_id)


def _drop_leads(memory: StoredMemory) -> None:
    """Forget what leads to this memory alone, once it is deleted."""
    delete_reference(memory)
    if memory.conversation_id is None:
        for key in _traces_of(memory):
            client().delete_item(TableName=settings().state_table, Key=key)


def put_memory_references(memory: StoredMemory) -> None:
    """Write what leads to a memory, of which a former version may have written none."""
    for put in (*reference_puts(memory), *trace_puts(_traces_of(memory))):
        client().put_item(**put["Put"])


def delete_memory_versions(tenant: str, memory_id: str) -> None:
    """Delete the versions of a message as a memory, once the message itself is redacted, and the memory with it."""
    _forget_versions(Address.of(tenant, memory_id))


def _forget_versions(address: Address) -> None:
    """Delete the versions of a memory, and what is kept of the requests that made them."""
    delete_partition(address.pk, address.version_prefix)
    delete_partition(address.pk, marker_prefix(address.name))


def find_memories_of(tenant: str, conversation_id: str) -> Iterator[StoredMemory]:
    """The memories that were made of a conversation's messages."""
    for memory_id in list_memory_ids_of(tenant, conversation_id):
        with suppress(MemoryNotFound, DamagedItem):
            yield read_memory(tenant, memory_id)


def delete_memories_of(tenant: str, conversation_id: str, message_id: str | None = None) -> None:
    """Delete the memories that were made of a conversation's messages, or of one of them. It can be done again."""
    for memory_id in list(list_memory_ids_of(tenant, conversation_id, message_id)):
        with suppress(MemoryNotFound, DamagedItem):
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
    found = find_memory_item(Address.of(memory.tenant, memory.memory_id).version(number)) if there else None
    if found is None:
        raise VersionNotFound(memory.memory_id, number)
    return found


def version_at(memory: StoredMemory, moment: int) -> StoredMemory:
    """The version of a memory that was in force at a moment in Unix milliseconds. Raises VersionNotFound."""
    for version in (memory, *previous_versions(memory)):
        if version.updated_at <= moment:
            return version
    raise VersionNotFound(memory.memory_id)


def previous_versions(memory: StoredMemory) -> list[StoredMemory]:
    """The versions before this one that are stored, the newest first."""
    if memory.version == 1:
        return []
    # Of what others changed meanwhile, the version itself may be among them, and newer ones.
    return [
        each for each in read_versions(Address.of(memory.tenant, memory.memory_id)) if each.version < memory.version
    ]


def _from_ledger(tenant: str, conversation_id: str, seq: int) -> StoredMemory | None:
    """A raw memory as its message says it, or None where there is no such message or its words are gone."""
    try:
        get_tail(tenant, conversation_id)
        genesis = get_genesis(tenant, conversation_id)
    except (ConversationErased, ConversationNotFound):
        return None
    entry = next(read_records(conversation_pk(tenant, conversation_id), seq, seq), None)
    records = entry.records if entry else ()
    return next(
        (to_raw_memory(record, entry, genesis) for record in records if entry and record.seq == seq and record.body),
        None,
    )


def _put(key: Mapping[str, Any], memory: StoredMemory) -> dict[str, Any]:
    return {"Put": {"TableName": settings().state_table, "Item": to_memory_item(dict(key), memory)}}


def _replace(memory: StoredMemory, changed: StoredMemory) -> list[Any]:
    """The parts of a transaction that put a memory in the place of what was read."""
    key = Address.of(memory.tenant, memory.memory_id).current
    return _replace_by(to_memory_item(key, changed), memory)


def _replace_by(item: Mapping[str, Any], memory: StoredMemory) -> list[Any]:
    """The parts of a transaction that put an item in a memory's place, if that one is still as it was read.

    A memory that was never changed as such is its message, and has no item yet: then there must be none, and no
    erasure of the conversation may have begun, which would have taken one away.
    """
    condition = "version = :version AND #status = :status"
    raw = split_raw_id(memory.memory_id)
    if raw and memory.version == 1 and memory.status == ACTIVE:
        condition = f"attribute_not_exists(pk) OR ({condition})"
    put = {
        "TableName": settings().state_table,
        "Item": item,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": to_item({":version": memory.version, ":status": memory.status}),
    }
    return [{"Put": put}, *([not_erased_check(memory.tenant, raw[0])] if raw else [])]
