"""Searching memories: the API's request to the search layer, and its hits as the API shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from annals.access.caller import Caller
from annals.conversations.read import open_conversation
from annals.errors import InvalidInput
from annals.memory import adapters
from annals.memory.caller_vectors import to_index_vector
from annals.memory.index_pages import visible_scope
from annals.memory.indexing.indexer import catch_up
from annals.memory.memories.memory_presenters import present_document
from annals.memory.memories.search_filters import to_filters
from annals.memory.recall.models import Hit, Search
from annals.memory.sources import with_existing_documents
from annals.providers.embedding import Embedder
from annals.search import engine
from annals.search.protocol import OneOf
from annals.settings import settings


def search_memories(
    caller: Caller,
    search: Search,
    content_type: OneOf = None,
    embedder: Embedder | None = None,
    for_user: str | None = None,
) -> list[Hit]:
    """The memories that answer a question, the best first, within what the caller may see.

    What the index still holds of an erased conversation or a redacted message is left out.

    Parameters
    ----------
    content_type : the content types that are searched where the request's own filter names none
    embedder : the model that embeds the question, if not this process' own
    for_user : only what belongs to this user or to nobody is found; None finds whomever's

    Raises
    ------
    InvalidInput : there is nothing to search by, or an embedding that does not fit the index
    SearchUnavailable : the index or the embedding model does not answer
    """
    search.require_question()
    if search.consistent:
        _index_conversation(caller, search)
    embedder = embedder or adapters.embedder()
    filters = replace(to_filters(search.filter), content_type=search.filter.content_type or content_type)
    request = engine.SearchRequest(
        scope=visible_scope(caller, search.memory_space_id, filters, for_user),
        query=search.query or "",
        embedding=to_index_vector(caller.tenant, search.memory_space_id, search.embedding, embedder),
        limit=search.limit,
        min_score=search.min_score,
        explain=search.explain,
        with_callers_vectors=settings().caller_dimensions > 0,
    )
    hits = engine.search(adapters.index(), embedder, request, adapters.reranker())
    existing = with_existing_documents(caller.tenant, hits, lambda hit: hit.document)
    return [present_hit(hit) for hit in existing]


def _index_conversation(caller: Caller, search: Search) -> None:
    """Have the index hold all that the ledger holds of the one conversation that is searched consistently."""
    conversation_id = search.filter.conversation_id
    if conversation_id is None:
        detail = "A consistent search needs filter.conversationId."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="filter.conversationId")
    catch_up(adapters.index(), adapters.embedder(), open_conversation(caller, conversation_id).pk)


def present_hit(hit: engine.Hit) -> Hit:
    """A hit as the API shows it."""
    document = hit.document
    presented: dict[str, object] = {**present_document(document), "score": hit.score, "snippet": hit.snippet}
    if document.role is not None:
        presented["role"] = document.role
    if name := document.speaker or document.sender:
        presented["name"] = name
    if hit.parts is not None:
        presented["explanation"] = dict(hit.parts)
    return cast("Hit", presented)
