"""Searching the memories: the API's question to the search layer, and its hits as the API shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from annals.access.caller import Caller
from annals.conversations.read import open_conversation
from annals.errors import InvalidInput
from annals.memory import adapters
from annals.memory.indexing.indexer import catch_up
from annals.memory.memories.presenters import present_document
from annals.memory.memories.search_filters import to_filters
from annals.memory.recall.models import Hit, Search
from annals.memory.sources import source_ref_of, with_existing_sources
from annals.providers.embedding import Embedder
from annals.search import engine
from annals.search.protocol import OneOf


def search_memories(
    caller: Caller,
    asked: Search,
    content_type: OneOf = None,
    embedder: Embedder | None = None,
    for_user: str | None = None,
) -> list[Hit]:
    """The memories that answer a question, the best first, within what the caller may see.

    What the index still holds of an erased conversation or a redacted message is left out.

    Parameters
    ----------
    content_type : what they may be where the question's own filter does not say it
    embedder : who embeds the question, if not this process' own
    for_user : whose they are, if not nobody's; None for whomever's

    Raises
    ------
    InvalidInput : the question says too little, or an embedding that does not fit the index
    SearchUnavailable : the index or the embedding model does not answer
    """
    asked.require_question()
    if asked.consistent:
        _make_consistent(caller, asked)
    request = engine.SearchRequest(
        tenant=caller.tenant,
        query=asked.query or "",
        embedding=asked.embedding,
        memory_spaces=caller.spaces,
        memory_space_id=asked.memory_space_id,
        for_user=for_user,
        limit=asked.limit,
        min_score=asked.min_score,
        filters=replace(to_filters(asked.filter), content_type=asked.filter.content_type or content_type),
        explain=asked.explain,
    )
    hits = engine.search(adapters.index(), embedder or adapters.embedder(), request, adapters.reranker())
    return [
        present_hit(hit) for hit in with_existing_sources(caller.tenant, hits, lambda hit: source_ref_of(hit.document))
    ]


def _make_consistent(caller: Caller, asked: Search) -> None:
    """Have the index hold all that the ledger holds of the one conversation that is searched."""
    conversation_id = asked.filter.conversation_id
    if conversation_id is None:
        detail = "A consistent search needs filter.conversationId."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="filter.conversationId")
    catch_up(adapters.index(), adapters.embedder(), open_conversation(caller, conversation_id).pk)


def present_hit(hit: engine.Hit) -> Hit:
    """A hit as the API shows it."""
    found = hit.document
    shown: dict[str, object] = {**present_document(found), "score": hit.score, "snippet": hit.snippet}
    if found.role is not None:
        shown["role"] = found.role
    if name := found.speaker or found.sender:
        shown["name"] = name
    if hit.parts is not None:
        shown["explanation"] = dict(hit.parts)
    return cast("Hit", shown)
