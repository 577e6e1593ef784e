"""Memories and facts as the API shows them."""

from __future__ import annotations

from typing import cast

from annals.memory.facts.fact_documents import from_fact_document, is_fact, without_fact
from annals.memory.facts.fact_items import DatedFact, StoredFact
from annals.memory.facts.models import Fact
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.models import Memory
from annals.search.documents import Document
from annals.times import to_rfc3339


def present_memory(memory: StoredMemory) -> Memory:
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


def present_fact(known: DatedFact) -> Fact:
    """The API's fact."""
    return _fact(known.fact, known.valid_to, known.superseded_by)


def present_fact_document(found: Document) -> Fact:
    """A fact as the search index holds it."""
    return _fact(*from_fact_document(found))


def _fact(fact: StoredFact, valid_to: int | None, superseded_by: str | None) -> Fact:
    shown: dict[str, object] = {
        "factId": fact.fact_id,
        "memorySpaceId": fact.memory_space_id,
        "fact": fact.fact,
        "factType": fact.fact_type,
        "confidence": fact.confidence,
        "subject": fact.subject,
        "predicate": fact.predicate,
        "object": fact.object,
        "validFrom": to_rfc3339(fact.valid_from),
        "validTo": None if valid_to is None else to_rfc3339(valid_to),
        "supersededBy": superseded_by,
        "sourceRef": show_ref(fact.conversation_id, fact.message_ids),
        "userId": fact.user_id,
        "participantId": fact.participant_id,
        "tags": list(fact.tags),
        "metadata": dict(fact.metadata),
        "createdAt": to_rfc3339(fact.created_at),
    }
    return cast("Fact", {name: value for name, value in shown.items() if value is not None})


def present_document(found: Document) -> Memory:
    """A memory as the search index holds it; one that is a fact with what it is as such."""
    if is_fact(found):
        return {**present_document(without_fact(found)), "fact": present_fact_document(found)}
    return present_memory(
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
