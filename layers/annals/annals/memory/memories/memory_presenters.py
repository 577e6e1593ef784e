"""Memories as the API shows them; one that the search index has may be a fact."""

from __future__ import annotations

from typing import cast

from annals.memory.facts.fact_documents import is_fact, without_fact
from annals.memory.facts.fact_presenters import present_fact_document
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.models import Memory
from annals.memory.sources import present_source_ref
from annals.packed_vectors import unpack
from annals.search.documents import Document
from annals.times import to_rfc3339


def present_memory(memory: StoredMemory, *, with_embedding: bool = False) -> Memory:
    """The API's memory."""
    values: dict[str, object] = {
        "memoryId": memory.memory_id,
        "externalId": memory.external_id,
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
        "conversationRef": present_source_ref(memory.source_ref),
        "version": memory.version,
        "createdAt": to_rfc3339(memory.created_at),
        "localTime": memory.local_time,
        "updatedAt": to_rfc3339(memory.updated_at),
        "status": memory.status,
        "embedding": list(unpack(memory.embedding)) if with_embedding and memory.embedding else None,
    }
    return cast("Memory", {name: value for name, value in values.items() if value is not None})


def present_document(document: Document) -> Memory:
    """A memory as the search index has it; one that is a fact with what it is as such."""
    if is_fact(document):
        return {**present_document(without_fact(document)), "fact": present_fact_document(document)}
    return present_memory(
        StoredMemory(
            tenant=document.tenant,
            memory_id=document.memory_id,
            external_id=document.external_id,
            memory_space_id=document.memory_space_id,
            content=document.content,
            content_type=document.content_type,
            source_type=document.source_type,
            user_id=document.user_id,
            agent_id=document.agent_id,
            participant_id=document.participant_id,
            importance=document.importance,
            tags=document.tags,
            metadata=document.metadata,
            conversation_id=document.conversation_id,
            message_ids=document.message_ids,
            version=document.version,
            created_at=document.at,
            local_time=document.local_time,
            updated_at=document.updated_at or document.at,
            status=document.status,
        )
    )
