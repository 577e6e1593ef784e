"""Searching the memories: the API's question to the search layer, and its hits as the API shows them."""

from __future__ import annotations

from typing import cast

from annals.access.caller import Caller
from annals.conversations.read import demand_space, demand_tail
from annals.errors import InvalidInput
from annals.ledger.keys import conversation_pk
from annals.memory import ports
from annals.memory.indexing import catch_up
from annals.memory.models import Hit, Search, SearchFilter
from annals.search import engine
from annals.search.documents import Document
from annals.search.port import Filters
from annals.times import to_rfc3339


def search_memories(caller: Caller, asked: Search) -> list[Hit]:
    """The memories that answer a question, the best first, within what the caller may see.

    Raises
    ------
    InvalidInput : the question says too little, or an embedding that does not fit the index
    SearchUnavailable : the index or the embedding model does not answer
    """
    asked.demand_question()
    if asked.consistent:
        _make_consistent(caller, asked)
    request = engine.SearchRequest(
        tenant=caller.tenant,
        query=asked.query or "",
        embedding=asked.embedding,
        memory_spaces=caller.spaces,
        memory_space_id=asked.memory_space_id,
        limit=asked.limit,
        min_score=asked.min_score,
        filters=_filters(asked.filter),
        explain=asked.explain,
    )
    return [show_hit(hit) for hit in engine.search(ports.index(), ports.embedder(), request)]


def _make_consistent(caller: Caller, asked: Search) -> None:
    """Have the index hold all that the ledger holds of the one conversation that is searched."""
    conversation_id = asked.filter.conversation_id
    if conversation_id is None:
        detail = "A consistent search needs filter.conversationId."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="filter.conversationId")
    demand_space(caller.tenant, conversation_id, caller.spaces)
    demand_tail(caller.tenant, conversation_id)
    catch_up(ports.index(), ports.embedder(), conversation_pk(caller.tenant, conversation_id))


def _filters(said: SearchFilter) -> Filters:
    return Filters(
        user_id=said.user_id,
        agent_id=said.agent_id,
        participant_id=said.participant_id,
        conversation_id=said.conversation_id,
        thread_id=said.thread_id,
        run_id=said.run_id,
        role=said.role,
        source_type=said.source_type,
        content_type=said.content_type,
        tags_any=tuple(said.tags or ()),
        tags_all=tuple(said.tags_all or ()),
        importance_min=said.importance_min,
        importance_max=said.importance_max,
        since=said.created_after,
        until=said.created_before,
        metadata=said.metadata or {},
    )


def show_hit(hit: engine.Hit) -> Hit:
    """A hit as the API shows it."""
    found = hit.document
    shown = {
        "memoryId": found.memory_id,
        "memorySpaceId": found.memory_space_id,
        "content": found.content,
        "contentType": found.content_type,
        "sourceType": found.source_type,
        "importance": found.importance,
        "tags": list(found.tags),
        "metadata": dict(found.metadata),
        "version": found.version,
        "createdAt": to_rfc3339(found.at),
        "updatedAt": to_rfc3339(found.updated_at or found.at),
        "status": found.status,
        "score": hit.score,
        "snippet": hit.snippet,
        **_named(found),
    }
    if hit.parts is not None:
        shown["explanation"] = dict(hit.parts)
    return cast("Hit", shown)


def _named(found: Document) -> dict[str, object]:
    """What only some memories have."""
    named: dict[str, object | None] = {
        "userId": found.user_id,
        "agentId": found.agent_id,
        "participantId": found.participant_id,
        "role": found.role,
        "name": found.speaker,
        "conversationRef": {"conversationId": found.conversation_id, "messageIds": list(found.message_ids)}
        if found.conversation_id
        else None,
    }
    return {name: value for name, value in named.items() if value is not None}
