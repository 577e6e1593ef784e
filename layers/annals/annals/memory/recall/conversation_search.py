"""Searching conversations: the best messages of each, the best conversation first."""

from __future__ import annotations

from itertools import islice

from annals.access.caller import Caller
from annals.conversations.filter_parsing import filter_from_json
from annals.conversations.heads import Head, find_stored_heads
from annals.conversations.lists import Selection, walk_matches
from annals.conversations.models import ConversationHit, SearchConversations
from annals.conversations.presenters import present_conversation
from annals.errors import InvalidInput
from annals.ledger.entry import ERASED
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import message_id
from annals.memory import adapters
from annals.memory.index_pages import visible_scope
from annals.memory.indexing.indexer import catch_up
from annals.memory.sources import with_existing_documents
from annals.search import engine
from annals.search.documents import Document
from annals.search.protocol import Filters
from annals.settings import settings

MAX_MATCHES = 3
"""How many messages of a conversation are shown."""

MAX_FILTERED = 1_000
"""How many conversations a filter may leave to be searched."""

MAX_CONSISTENT = 50
"""How many conversations a consistent search may have to catch up with."""


def search_conversations(caller: Caller, search: SearchConversations) -> list[ConversationHit]:
    """The conversations whose messages answer a question.

    Raises
    ------
    InvalidInput : the filter is wrong, or leaves too many conversations
    SearchUnavailable : the index or the embedding model does not answer
    """
    heads = _find_searchable(caller, search)
    if heads is not None and not heads:
        return []
    filters = Filters(conversation_id=tuple(head.genesis.conversation_id for head in heads) if heads else None)
    request = engine.SearchRequest(
        scope=visible_scope(caller, filters=filters),
        query=search.query,
        limit=min(1000, search.limit * 20),
        with_callers_vectors=settings().caller_dimensions > 0,
    )
    hits = engine.search(adapters.index(), adapters.embedder(), request)
    existing = with_existing_documents(caller.tenant, hits, lambda hit: hit.document)
    by_conversation = _group(existing, search.limit)
    stored_heads = find_stored_heads(conversation_pk(caller.tenant, each) for each in by_conversation)
    return [
        _present(head, hits)
        for each, hits in by_conversation.items()
        if (head := stored_heads.get(conversation_pk(caller.tenant, each))) and head.state != ERASED
    ]


def _find_searchable(caller: Caller, search: SearchConversations) -> list[Head] | None:
    """The conversations that the filter leaves, None for all; a consistent search has the index catch up with them."""
    if not search.filter and not search.consistent:
        return None
    max_heads = MAX_CONSISTENT if search.consistent else MAX_FILTERED
    selection = Selection(caller.tenant, caller.spaces, filter_from_json(search.filter))
    heads = list(islice(walk_matches(selection), max_heads + 1))
    if len(heads) > max_heads:
        detail = f"The filter leaves more than {max_heads} conversations to be searched; narrow it."
        raise InvalidInput("TOO_MANY_MATCHES", detail, field="filter")
    if search.consistent:
        for head in heads:
            catch_up(adapters.index(), adapters.embedder(), head.pk)
    return heads


def _group(hits: list[engine.Hit], limit: int) -> dict[str, list[engine.Hit]]:
    """The hits of each of the best conversations, best first."""
    groups: dict[str, list[engine.Hit]] = {}
    for hit in hits:
        conversation_id = hit.document.conversation_id if hit.document.content_type == "raw" else None
        if conversation_id and (conversation_id in groups or len(groups) < limit):
            groups.setdefault(conversation_id, []).append(hit)
    return groups


def _message_id(document: Document) -> str:
    """The message that a document is; of a memory that was made of messages, the first of these."""
    return document.message_ids[0] if document.seq is None else message_id(document.seq)


def _present(head: Head, hits: list[engine.Hit]) -> ConversationHit:
    return {
        "conversation": present_conversation(head),  # type: ignore[typeddict-item]
        "score": hits[0].score,
        "matches": [
            {"messageId": _message_id(hit.document), "snippet": hit.snippet, "score": hit.score}
            for hit in hits[:MAX_MATCHES]
        ],
    }
