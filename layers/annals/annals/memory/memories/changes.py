"""What callers say of memories, as the domain takes it."""

from __future__ import annotations

from typing import Any

from annals.access.caller import Caller
from annals.conversations.metadata import merge_patch
from annals.errors import InvalidInput
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.models import CreateMemory, PatchMemory
from annals.memory.memories.store import new_memory_id
from annals.times import now_ms


def new_memory(caller: Caller, said: CreateMemory) -> StoredMemory:
    """A new memory of the caller's tenant. Raises InvalidInput OWNER_REQUIRED where nobody is named whose it is."""
    if said.user_id is None and said.agent_id is None:
        raise InvalidInput("OWNER_REQUIRED", "A memory needs a userId or an agentId.", field="userId")
    at = now_ms()
    return StoredMemory(
        tenant=caller.tenant,
        memory_id=new_memory_id(),
        memory_space_id=said.memory_space_id,
        content=said.content,
        content_type=said.content_type,
        source_type=said.source_type,
        user_id=said.user_id,
        agent_id=said.agent_id,
        participant_id=said.participant_id,
        importance=said.importance,
        tags=tuple(said.tags),
        metadata=said.metadata,
        conversation_id=said.conversation_ref.conversation_id if said.conversation_ref else None,
        message_ids=tuple(said.conversation_ref.message_ids) if said.conversation_ref else (),
        created_at=at,
        updated_at=at,
    )


def to_change(memory: StoredMemory, said: PatchMemory) -> dict[str, Any]:
    """What a patch changes of a memory. Raises InvalidInput MISSING_REQUIRED_FIELD where it says nothing."""
    change: dict[str, Any] = {}
    if said.content is not None:
        change["content"] = said.content
    if said.importance is not None:
        change["importance"] = said.importance
    if said.tags is not None:
        change["tags"] = tuple(said.tags)
    if said.metadata is not None:
        change["metadata"] = merge_patch(memory.metadata, said.metadata)
    if not change:
        detail = "A change names content, importance, tags or metadata."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="content")
    return change
