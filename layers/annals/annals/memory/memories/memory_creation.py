"""Creating memories, with all references to them, on the condition that the words they come from are still there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import Any

from annals.access.caller import Caller
from annals.database.dynamodb import Item
from annals.errors import ExternalIdTaken, InvalidInput, MemoryNotFound, WriteConflict
from annals.ledger.entry import SALT_BYTES
from annals.ledger.idempotency import IdempotentRequest, find_marker, marker_put
from annals.memory.memories.memory_external_ids import ExternalMemoryId
from annals.memory.memories.memory_items import StoredMemory, memory_put, split_user_memory_id, user_memory_id
from annals.memory.memories.memory_reads import get_stored_memory, previous_versions
from annals.memory.memories.memory_references import reference_puts
from annals.memory.memories.models import CreateMemory
from annals.memory.sources import Source, write_with_source
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms


def new_memory(caller: Caller, body: CreateMemory) -> StoredMemory:
    """A new explicit memory of the caller's tenant, not stored yet.

    Raises InvalidInput OWNER_REQUIRED where it names neither a user nor an agent.
    """
    require_memory_owner(body.user_id, body.agent_id)
    at, ref = now_ms(), body.conversation_ref
    return StoredMemory(
        tenant=caller.tenant,
        memory_id=f"mem-{secrets.token_hex(10)}",
        memory_space_id=body.memory_space_id,
        content=body.content,
        content_type=body.content_type,
        source_type=body.source_type,
        user_id=body.user_id,
        agent_id=body.agent_id,
        participant_id=body.participant_id,
        importance=body.importance,
        tags=tuple(body.tags),
        metadata=body.metadata,
        conversation_id=ref.conversation_id if ref else None,
        message_ids=tuple(ref.message_ids) if ref else (),
        created_at=at,
        updated_at=at,
        external_id=body.external_id,
        embedding=body.embedding,
    )


def require_memory_owner(user_id: str | None, agent_id: str | None) -> None:
    """Raise InvalidInput OWNER_REQUIRED where neither a user nor an agent is named."""
    if user_id is None and agent_id is None:
        raise InvalidInput("OWNER_REQUIRED", "A memory needs a userId or an agentId.", field="userId")


def create_memory(memory: StoredMemory, request: IdempotentRequest | None = None) -> tuple[StoredMemory, bool]:
    """Store a new memory, and return with it whether an earlier try of the request had stored it.

    One with an external id that is stored already is the same, if it says the same.

    Raises
    ------
    ConversationErased, MessageRedacted : what it was made of is removed
    ExternalIdTaken : its external id is that of another memory of the same owner
    RequestTooLarge, IdempotencyKeyReused, WriteConflict
    """
    marker = []
    if request:
        # The digest of the request is salted with what the memory alone has: once it is gone, nobody can guess at it.
        salt = os.urandom(SALT_BYTES)
        memory = replace(memory, salt=salt.hex())
        marker = [marker_put(request, {"memoryId": _name_in_marker(memory)}, salt)]
    put = memory_put(memory.address.current, memory)
    put["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
    external_id, stale, subject = ExternalMemoryId.find_of(memory), None, f"memory {memory.memory_id!r}"
    for _ in tries(settings().append_patience_s):
        pointer = [external_id.pointer_put(memory, stale)] if external_id else []
        writes: list[Any] = [put, *marker, *pointer, *reference_puts(memory)]
        guards = range(1, 1 + len(marker) + len(pointer))
        taken = write_with_source(source_of(memory), writes, guards=guards, subject=subject)
        if not taken:
            return memory, False
        if request and 1 in taken:
            return _get_earlier(memory, request, taken[1]), True
        if external_id:
            stale = external_id.memory_id_in(taken[guards[-1]])
            with suppress(MemoryNotFound):
                return _require_same(memory, get_stored_memory(memory.tenant, stale)), True
    raise WriteConflict(subject)


def find_created(memory: StoredMemory, request: IdempotentRequest | None) -> StoredMemory | None:
    """The memory that an earlier try of a request created, or None. Raises IdempotencyKeyReused, and MemoryNotFound."""
    marker = find_marker(request) if request else None
    return _get_earlier(memory, request, marker) if request and marker else None


def said_fields(memory: StoredMemory) -> dict[str, Any]:
    """What a caller says of a memory that is its own, and not whose it is or what became of it."""
    return {name: getattr(memory, name) for name in SAID}


SAID = (
    "content", "content_type", "source_type", "agent_id", "participant_id", "importance", "tags", "metadata",
    "conversation_id", "message_ids", "input", "embedding",
)  # fmt: skip


def _require_same(new: StoredMemory, stored: StoredMemory) -> StoredMemory:
    """A stored memory of the same external id. Raises ExternalIdTaken unless it is, or was at first, the same.

    An archived one, or one that was changed since, is answered as it is.
    """
    first = [version for version in previous_versions(stored) if version.version == 1]
    is_same = any(said_fields(version) == said_fields(new) for version in (stored, *first))
    if new.memory_space_id != stored.memory_space_id or not is_same:
        raise ExternalIdTaken(str(new.external_id))
    return stored


def _get_earlier(memory: StoredMemory, request: IdempotentRequest, marker: Item) -> StoredMemory:
    """The memory that an earlier try of a request stored. Raises IdempotencyKeyReused, and MemoryNotFound."""
    earlier = get_stored_memory(memory.tenant, _id_in_marker(request.read_result(marker)["memoryId"], memory))
    request.read_result(marker, bytes.fromhex(earlier.salt or ""))
    return earlier


def source_of(memory: StoredMemory) -> Source | None:
    """The messages that a memory says that it was made of."""
    if memory.conversation_id is None:
        return None
    return Source(memory.tenant, memory.conversation_id, memory.message_ids)


def _name_in_marker(memory: StoredMemory) -> str:
    """What a marker has of a memory's id: of a user's memory, nothing that names the user."""
    user_and_name = split_user_memory_id(memory.memory_id)
    return user_and_name[1] if user_and_name else memory.memory_id


def _id_in_marker(name: str, memory: StoredMemory) -> str:
    """The id that the marker of a request for such a memory stands for."""
    user_and_name = split_user_memory_id(memory.memory_id)
    return user_memory_id(user_and_name[0], name) if user_and_name and not split_user_memory_id(name) else name
