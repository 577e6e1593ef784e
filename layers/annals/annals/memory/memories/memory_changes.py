"""Changing memories: a new version for each change, an archived one, and the same one restored.

Whatever happens to a memory here, the words that it came from stay in the ledger, where its ``conversationRef`` leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from annals.conversations.metadata import merge_patch
from annals.database.transactions import transact, try_transaction
from annals.errors import InvalidInput, MemoryNotArchived, PreconditionFailed, VersionNotFound, WriteConflict
from annals.ledger.idempotency import IdempotentRequest, find_result, marker_put
from annals.memory.memories.memory_creation import source_of
from annals.memory.memories.memory_items import (
    ACTIVE,
    ARCHIVED,
    StoredMemory,
    memory_put,
    replacement_writes,
    split_raw_id,
    to_memory_item,
)
from annals.memory.memories.memory_reads import get_stored_memory, get_version
from annals.memory.memories.memory_references import changed_reference_puts
from annals.memory.memories.models import PatchMemory
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms

Change = Callable[[StoredMemory], Mapping[str, Any]]
"""The fields that a change gives a memory as it is now: as another writer left it, where one was faster."""


def to_change(memory: StoredMemory, body: PatchMemory) -> dict[str, Any]:
    """The fields that a patch gives a memory. Raises InvalidInput MISSING_REQUIRED_FIELD for a patch of nothing."""
    change: dict[str, Any] = {}
    if body.content is not None:
        change |= {"content": body.content, "embedding": None}
    if body.embedding is not None:
        change["embedding"] = body.embedding
    if body.importance is not None:
        change["importance"] = body.importance
    if body.tags is not None:
        change["tags"] = tuple(body.tags)
    if body.metadata is not None:
        change["metadata"] = merge_patch(memory.metadata, body.metadata)
    if body.conversation_ref is not None:
        change["conversation_id"] = body.conversation_ref.conversation_id
        change["message_ids"] = tuple(body.conversation_ref.message_ids)
    if not change:
        detail = "A change names content, embedding, importance, tags, metadata or conversationRef."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="content")
    _require_same_conversation(memory, body)
    return change


def _require_same_conversation(memory: StoredMemory, body: PatchMemory) -> None:
    """Raise InvalidInput where a message as a memory is to come from another conversation than its own."""
    raw, ref = split_raw_id(memory.memory_id), body.conversation_ref
    if raw and ref and ref.conversation_id != raw[0]:
        field = "conversationRef.conversationId"
        detail = f"The memory of a message stays in its conversation, {raw[0]!r}."
        raise InvalidInput("INVALID_FORMAT", detail, field=field)


def change_memory(
    memory: StoredMemory,
    change: Change,
    expected_version: int | None = None,
    request: IdempotentRequest | None = None,
) -> tuple[StoredMemory, bool]:
    """Give a memory a new version; the one before stays stored, the oldest beyond the limit is dropped.

    Returns
    -------
    StoredMemory and bool
        The version that the change made, and whether an earlier try of the request had made it.

    Raises
    ------
    MemoryNotFound
    ConversationErased, MessageRedacted : what the new version comes from is removed
    IdempotencyKeyReused : the request's key came with another change of this memory before
    PreconditionFailed : the version is not ``expected_version``
    RequestTooLarge : changed so, it would be larger than an item of the table can be
    WriteConflict : other writers were faster, again and again
    """
    marked, redaction_version = _with_marker(memory, request), None
    for _ in tries(settings().append_patience_s):
        # Before the version is compared: a request that is sent again names the version before its own change.
        if marked and (result := find_result(marked)):
            return _get_result(memory, result), True
        if expected_version is not None and memory.version != expected_version:
            raise PreconditionFailed(expected_version, memory.version)
        changed = replace(memory, **change(memory), version=memory.version + 1, updated_at=now_ms())
        source = source_of(changed) if changed.source_ref != memory.source_ref else None
        writes = [*_version_writes(memory, changed), *_marker_puts(marked, changed)]
        checks = source.checks(redaction_version) if source else []
        # No transaction checks an item twice: the change of a raw memory checks for the erasure by itself.
        cancelled = transact([*writes, *(each for each in checks if each not in writes)])
        if cancelled is None:
            return changed, False
        cancelled.require_lost_race()
        if source and cancelled.failed_from(len(writes)):
            # Something of the conversation was redacted: on with it, unless that is what the new version comes from.
            redaction_version = source.require()
        memory = get_stored_memory(memory.tenant, memory.memory_id)
    raise WriteConflict(f"memory {memory.memory_id!r}")


def keep_memory(
    memory: StoredMemory, expected_version: int | None = None, request: IdempotentRequest | None = None
) -> tuple[StoredMemory, bool]:
    """A memory that a request leaves as it is, and whether that is the answer to an earlier try of the request.

    Raises IdempotencyKeyReused, PreconditionFailed.
    """
    marked = _with_marker(memory, request)
    if marked and (result := find_result(marked)):
        return _get_result(memory, result), True
    if expected_version is not None and memory.version != expected_version:
        raise PreconditionFailed(expected_version, memory.version)
    if marked:
        try_transaction(_marker_puts(marked, memory))
    return memory, False


def _version_writes(memory: StoredMemory, changed: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that give a memory a new version, keep the one before, and drop the oldest."""
    address = memory.address
    writes = [*_replacement_writes(memory, changed), memory_put(address.version(memory.version), memory)]
    if (oldest := memory.version - settings().memory_versions) > 0:
        writes.append({"Delete": {"TableName": settings().state_table, "Key": address.version(oldest)}})
    return [*writes, *changed_reference_puts(memory, changed)]


def set_status(
    memory: StoredMemory, status: str, request: IdempotentRequest | None = None
) -> tuple[StoredMemory, bool]:
    """Archive a memory, or restore it as it was, and return with it whether an earlier try of the request had.

    Raises MemoryNotArchived where there is nothing to restore.
    """
    marked, is_restorable = _with_marker(memory, request), memory.status == ARCHIVED
    for _ in tries(settings().append_patience_s):
        if marked and (result := find_result(marked)):
            return _get_result(memory, result), True
        if status == ACTIVE and not is_restorable:
            raise MemoryNotArchived(memory.memory_id)
        if memory.status == status:
            return memory, False
        changed = replace(memory, status=status, updated_at=now_ms())
        if try_transaction([*_replacement_writes(memory, changed), *_marker_puts(marked, changed)]):
            return changed, False
        memory = get_stored_memory(memory.tenant, memory.memory_id)
    raise WriteConflict(f"memory {memory.memory_id!r}")


def _replacement_writes(memory: StoredMemory, changed: StoredMemory) -> list[dict[str, Any]]:
    return replacement_writes(memory, to_memory_item(memory.address.current, changed))


def _with_marker(memory: StoredMemory, request: IdempotentRequest | None) -> IdempotentRequest | None:
    """The request, with a marker that goes with the memory."""
    return request.with_marker_in(memory.address.pk, memory.address.name) if request else None


def _marker_puts(marked: IdempotentRequest | None, changed: StoredMemory) -> list[Any]:
    result = {"version": changed.version, "status": changed.status, "updated_at": changed.updated_at}
    return [marker_put(marked, result)] if marked else []


def _get_result(memory: StoredMemory, result: Mapping[str, Any]) -> StoredMemory:
    """A memory as an earlier try of a request left it; as it is now, where that version is no longer stored."""
    current = get_stored_memory(memory.tenant, memory.memory_id)
    with suppress(VersionNotFound):
        return replace(get_version(current, result["version"]), **result)
    return current
