"""Upserts: a memory by its external id, created where there is none, and replaced where it says something else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from annals.access.caller import Caller
from annals.errors import ExternalIdTaken, MemoryNotFound, PreconditionFailed, WriteConflict
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.memories.memory_changes import change_memory, keep_memory
from annals.memory.memories.memory_creation import create_memory, find_created, said_fields
from annals.memory.memories.memory_external_ids import ExternalMemoryId
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.memory_reads import get_memory, get_stored_memory
from annals.retries import tries
from annals.settings import settings


def get_by_external_id(caller: Caller, external_id: ExternalMemoryId) -> StoredMemory:
    """The memory of an external id that the caller may see. Raises MemoryNotFound."""
    try:
        return get_memory(caller, external_id.get_memory_id())
    except MemoryNotFound:
        raise MemoryNotFound(external_id.external_id) from None


def put_memory(
    caller: Caller, new: StoredMemory, expected_version: int | None, request: IdempotentRequest | None
) -> tuple[StoredMemory, bool, bool]:
    """Store a memory under its external id: a new one, or a new version of the one there is, if it says otherwise.

    Parameters
    ----------
    new : the memory, with an external id
    expected_version : the version that there must be; 0 for none
    request : its key is of this memory alone

    Returns
    -------
    StoredMemory, bool and bool
        The memory as it is now, whether this request created it, and whether an earlier try of the request is answered
        again.

    Raises
    ------
    ExternalIdTaken : the memory that has the id is in another memory space
    PreconditionFailed
    and what ``create_memory`` and ``change_memory`` raise
    """
    external_id = ExternalMemoryId.of(new)
    # A key is that of a change to one memory; another memory's is another one.
    request = replace(request, route=f"{request.route} {external_id.text}") if request else None
    for _ in tries(settings().append_patience_s):
        if created := find_created(new, request):
            return created, True, True
        if stored := _find_stored(caller, new, external_id):
            # Another request may delete it meanwhile.
            with suppress(MemoryNotFound):
                return _replace(stored, new, expected_version, request)
        elif expected_version:
            raise PreconditionFailed(expected_version, 0)
        else:
            # Another request may create it meanwhile.
            with suppress(ExternalIdTaken):
                memory, is_known = create_memory(new, request)
                return memory, not is_known, False
    raise WriteConflict(f"the memory with the externalId {new.external_id!r}")


def _find_stored(caller: Caller, new: StoredMemory, external_id: ExternalMemoryId) -> StoredMemory | None:
    """The memory that has the external id of a new one, or None. Raises ExternalIdTaken for one of another space."""
    memory_id = external_id.find_memory_id()
    if memory_id is None:
        return None
    with suppress(MemoryNotFound):
        stored = get_stored_memory(new.tenant, memory_id)
        if stored.memory_space_id != new.memory_space_id or not caller.may_see(stored.memory_space_id):
            raise ExternalIdTaken(str(new.external_id), "its memory is in another memory space.")
        return stored
    return None


def _replace(
    stored: StoredMemory, new: StoredMemory, expected_version: int | None, request: IdempotentRequest | None
) -> tuple[StoredMemory, bool, bool]:
    """Give a memory a new version that says what a new one does, unless it does already."""
    said = said_fields(new)
    if said == said_fields(stored):
        memory, replayed = keep_memory(stored, expected_version, request)
    else:
        memory, replayed = change_memory(stored, lambda _: said, expected_version, request)
    return memory, False, replayed
