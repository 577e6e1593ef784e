"""Creating memories, with all references to them, on the condition that the words they come from are still there."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import Any

from annals.access.caller import Caller
from annals.database.dynamodb import Item
from annals.errors import InvalidInput
from annals.ledger.entry import SALT_BYTES
from annals.ledger.idempotency import IdempotentRequest, marker_put
from annals.memory.memories.memory_items import StoredMemory, memory_put, split_user_memory_id, user_memory_id
from annals.memory.memories.memory_reads import get_stored_memory
from annals.memory.memories.memory_references import reference_puts
from annals.memory.memories.models import CreateMemory
from annals.memory.sources import Source, write_with_source
from annals.times import now_ms


def new_memory(caller: Caller, body: CreateMemory) -> StoredMemory:
    """A new explicit memory of the caller's tenant, not stored yet.

    Raises InvalidInput OWNER_REQUIRED where it names neither a user nor an agent.
    """
    if body.user_id is None and body.agent_id is None:
        raise InvalidInput("OWNER_REQUIRED", "A memory needs a userId or an agentId.", field="userId")
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
    )


def create_memory(memory: StoredMemory, request: IdempotentRequest | None = None) -> tuple[StoredMemory, bool]:
    """Store a new memory, and return with it whether an earlier try of the request had stored it.

    Raises
    ------
    ConversationErased, MessageRedacted : what it was made of is removed
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
    writes: list[Any] = [put, *marker, *reference_puts(memory)]
    guard, subject = (1 if request else None), f"memory {memory.memory_id!r}"
    earlier = write_with_source(_source_of(memory), writes, guard=guard, subject=subject)
    if request and earlier:
        return _get_earlier(memory, request, earlier), True
    return memory, False


def _get_earlier(memory: StoredMemory, request: IdempotentRequest, marker: Item) -> StoredMemory:
    """The memory that an earlier try of a request stored. Raises IdempotencyKeyReused, and MemoryNotFound."""
    earlier = get_stored_memory(memory.tenant, _id_in_marker(request.read_result(marker)["memoryId"], memory))
    request.read_result(marker, bytes.fromhex(earlier.salt or ""))
    return earlier


def _source_of(memory: StoredMemory) -> Source | None:
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
