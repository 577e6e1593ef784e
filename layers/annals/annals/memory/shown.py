"""Memories as the API shows them."""

from __future__ import annotations

from typing import cast

from annals.memory.items import StoredMemory
from annals.memory.models import Memory
from annals.search.documents import Document
from annals.times import to_rfc3339


def show_memory(memory: StoredMemory) -> Memory:
    """The API's memory."""
    shown: dict[str, object] = {
        "memoryId": memory.memory_id,
        "memorySpaceId": memory.memory_space_id,
        "content": memory.content,
        "contentType": memory.content_type,
        "sourceType": memory.source_type,
        "userId": memory.user_id,
        "agentId": memory.agent_id,
        "participantId": memory.participant_id,
        "importance": memory.importance,
        "tags": list(memory.tags),
        "metadata": dict(memory.metadata),
        "conversationRef": show_ref(memory.conversation_id, memory.message_ids),
        "version": memory.version,
        "createdAt": to_rfc3339(memory.created_at),
        "updatedAt": to_rfc3339(memory.updated_at),
        "status": memory.status,
    }
    return cast("Memory", {name: value for name, value in shown.items() if value is not None})


def show_document(found: Document) -> Memory:
    """A memory as the search index holds it."""
    return show_memory(
        StoredMemory(
            tenant=found.tenant,
            memory_id=found.memory_id,
            memory_space_id=found.memory_space_id,
            content=found.content,
            content_type=found.content_type,
            source_type=found.source_type,
            user_id=found.user_id,
            agent_id=found.agent_id,
            participant_id=found.participant_id,
            importance=found.importance,
            tags=found.tags,
            metadata=found.metadata,
            conversation_id=found.conversation_id,
            message_ids=found.message_ids,
            version=found.version,
            created_at=found.at,
            updated_at=found.updated_at or found.at,
            status=found.status,
        )
    )


def show_ref(conversation_id: str | None, message_ids: tuple[str, ...]) -> dict[str, object] | None:
    """Where in the ledger a memory comes from."""
    if conversation_id is None:
        return None
    return {"conversationId": conversation_id, "messageIds": list(message_ids)}
