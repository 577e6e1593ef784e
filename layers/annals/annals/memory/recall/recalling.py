"""Recall: the facts and memories that answer a question, with a conversation's recent messages, and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from annals.access.caller import Caller
from annals.answers import Room, fitting, fitting_counted
from annals.conversations.genesis import get_genesis
from annals.conversations.read import open_conversation
from annals.formats.exchanges import without_torn_exchanges
from annals.formats.tokens import estimate
from annals.memory import adapters
from annals.memory.memories.models import Memory
from annals.memory.recall.memory_search import search_memories
from annals.memory.recall.models import Hit, Recall, Recollection, Search
from annals.memory.recall.recall_text import fit_to_budget, memory_line
from annals.memory.recall.recent_messages import recent_messages
from annals.memory.recall.windows import Budget, Window, tokens_of_messages
from annals.providers.caching_embedder import CachingEmbedder

MAX_FACTS = 20
"""How many facts are recalled at most."""

MAX_HISTORY_TOKENS = 10_000_000
"""How many tokens of recent messages are recalled: no fewer than an answer has room for."""

CONTEXT_SHARE = 0.5
"""How much of an answer's room the text for a prompt may take; it is made of the best memories first."""

TYPES_BESIDE_FACTS = ("raw", "summarized", "custom")
"""The content types of the memories that are searched beside the facts, so that neither takes the other's places."""


def recall(caller: Caller, request: Recall) -> Recollection:
    """What answers a question: facts, other memories, and what was said last in a conversation.

    For a user that is what belongs to the user, or to nobody.

    Raises
    ------
    InvalidInput : it is to be recalled for a user, and none is named
    ConversationNotFound, ConversationErased, ParticipantMismatch : the conversation whose recent messages are requested
    and what ``search_memories`` raises
    """
    for_user = request.for_user()
    window = _recent_messages(caller, request, for_user)
    history = window.messages
    memories, facts = _search_memories_and_facts(caller, request, for_user)
    hits = sorted(memories, key=lambda hit: -hit["score"])[: request.limit]
    history_ids = {message["messageId"] for message in history}
    beyond_history = [hit for hit in hits if not is_in_messages(hit, request.history_conversation_id, history_ids)]
    candidates = [hit for hit in (*facts, *beyond_history) if estimate(memory_line(hit)) <= request.max_tokens]
    _, context = fit_to_budget(fitting(candidates, Room(CONTEXT_SHARE), present=memory_line), request.max_tokens)
    # Of the history, the newest messages are what an answer has room for first.
    parts, omitted = _fit_to_answer(
        {"items": hits, "facts": [hit["fact"] for hit in facts], "history": history[::-1]}, context
    )
    shown = without_torn_exchanges(parts["history"][::-1])
    if left_out := window.left_out + len(history) - len(shown):
        omitted["history"] = left_out
    return {
        "items": parts["items"],
        "facts": parts["facts"],
        "history": shown,
        "context": context,
        "tokens": estimate(context),
        **({"toolTokensSaved": window.saved} if request.tool_calls == "unfinished" else {}),  # type: ignore[typeddict-item]
        **({"omitted": omitted} if omitted else {}),  # type: ignore[typeddict-item]
    }


def is_in_messages(memory: Memory, conversation_id: str | None, message_ids: set[str]) -> bool:
    """Whether a memory says what some messages of a conversation say anyway."""
    ref = memory.get("conversationRef")
    return (
        ref is not None and ref["conversationId"] == conversation_id and not message_ids.isdisjoint(ref["messageIds"])
    )


def _recent_messages(caller: Caller, request: Recall, for_user: str | None) -> Window:
    """The newest messages of the conversation that is named, oldest first."""
    conversation_id = request.history_conversation_id
    if conversation_id is None or not request.history:
        return Window()
    tail = open_conversation(caller, conversation_id).tail
    genesis = get_genesis(caller.tenant, conversation_id)
    budget = Budget(MAX_HISTORY_TOKENS, tokens_of_messages, request.history)
    return recent_messages(genesis, tail, budget, for_user=for_user, tool_calls=request.tool_calls)


def _search_memories_and_facts(caller: Caller, request: Recall, for_user: str | None) -> tuple[list[Hit], list[Hit]]:
    """The memories that are no facts, and the facts.

    The index is asked for each on its own: among the best of all, many messages of a subject would leave no place to
    the one fact of it. Both searches run at the same time, and the question is embedded once.
    """
    embedder = CachingEmbedder(adapters.embedder())
    with ThreadPoolExecutor(1) as pool:
        fact_search = pool.submit(search_memories, caller, _fact_search(request), embedder=embedder, for_user=for_user)
        memory_hits = search_memories(caller, request, TYPES_BESIDE_FACTS, embedder, for_user)
        fact_hits = fact_search.result()
    memories = [hit for hit in memory_hits if "fact" not in hit]
    facts = [hit for hit in fact_hits if "fact" in hit]
    if request.filter.content_type is None:
        # An explicit memory may have the content type of a fact and be none.
        memories += [hit for hit in fact_hits if "fact" not in hit]
    return memories, facts


def _fact_search(request: Search) -> Search:
    fact_filter = request.filter.model_copy(update={"content_type": "fact"})
    return request.model_copy(update={"filter": fact_filter, "limit": MAX_FACTS, "consistent": False})


def _fit_to_answer(parts: Mapping[str, Sequence[Any]], context: str) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The first of each part, as far as an answer has room for them beside a text, and how many others there are."""
    room = Room()
    room.takes(context)
    fitted: dict[str, list[Any]] = {}
    omitted: dict[str, int] = {}
    for name, items in parts.items():
        room.is_full = False
        fitted[name], left_out = fitting_counted(items, room)
        if left_out:
            omitted[name] = left_out["omitted"]
    return fitted, omitted
