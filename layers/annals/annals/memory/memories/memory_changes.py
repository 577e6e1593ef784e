"""Changing memories: a new version for each change, an archived one, and the same one restored.

Whatever happens to a memory here, the words that it came from stay in the ledger, where its ``conversationRef`` leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from annals.conversations.metadata import merge_patch
from annals.database.transactions import try_transaction
from annals.errors import InvalidInput, MemoryNotArchived, PreconditionFailed, VersionNotFound, WriteConflict
from annals.ledger.idempotency import IdempotentRequest, find_result, marker_put
from annals.memory.memories.memory_items import (
    ACTIVE,
    ARCHIVED,
    StoredMemory,
    memory_put,
    replacement_writes,
    to_memory_item,
)
from annals.memory.memories.memory_reads import get_stored_memory, get_version
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
        change["content"] = body.content
    if body.importance is not None:
        change["importance"] = body.importance
    if body.tags is not None:
        change["tags"] = tuple(body.tags)
    if body.metadata is not None:
        change["metadata"] = merge_patch(memory.metadata, body.metadata)
    if not change:
        detail = "A change names content, importance, tags or metadata."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="content")
    return change


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
    IdempotencyKeyReused : the request's key came with another change of this memory before
    PreconditionFailed : the version is not ``expected_version``
    RequestTooLarge : changed so, it would be larger than an item of the table can be
    WriteConflict : other writers were faster, again and again
    """
    address, marked = memory.address, _with_marker(memory, request)
    for _ in tries(settings().append_patience_s):
        # Before the version is compared: a request that is sent again names the version before its own change.
        if marked and (result := find_result(marked)):
            return _get_result(memory, result), True
        if expected_version is not None and memory.version != expected_version:
            raise PreconditionFailed(expected_version, memory.version)
        changed = replace(memory, **change(memory), version=memory.version + 1, updated_at=now_ms())
        writes = [*_replacement_writes(memory, changed), memory_put(address.version(memory.version), memory)]
        if (oldest := memory.version - settings().memory_versions) > 0:
            writes.append({"Delete": {"TableName": settings().state_table, "Key": address.version(oldest)}})
        if try_transaction([*writes, *_marker_puts(marked, changed)]):
            return changed, False
        memory = get_stored_memory(memory.tenant, memory.memory_id)
    raise WriteConflict(f"memory {memory.memory_id!r}")


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
