"""Where streamed turns are kept: the ledger, with what the search index recalls for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from annals.conversations.genesis import read_genesis
from annals.conversations.read import demand_tail
from annals.errors import SearchUnavailable
from annals.ledger.append import Appended, append
from annals.ledger.history import Span, read_page
from annals.ledger.idempotency import IdempotentRequest, find_result
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import messages_of
from annals.ledger.read import read_entry
from annals.memory.models import Hit, Remembered, RememberStream, Search, SearchFilter
from annals.memory.prompt import Recalled
from annals.memory.remember import Stored, reply, store, user_message
from annals.memory.searching import search_memories
from annals.memory.streaming import StoredReply, StoredUserMessage, StreamRequest
from annals.tokens import estimate, estimate_message
from annals.models.chat import Usage

logger = logging.getLogger("annals")

T = TypeVar("T", bound=Mapping[str, Any])

RECALLED_HITS = 20
CONTEXT_TOKENS = 2_000
HISTORY_TOKENS = 6_000


class LedgerTurnStore:
    """The turn store of the product; see ``memory.streaming.TurnStore``."""

    def begin(self, request: StreamRequest) -> StoredUserMessage:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        stored = store(request.caller, request.turn, [user_message(request.turn)], request.idempotent)
        (message,) = messages_of(stored.appended.entry)
        begun = StoredUserMessage(stored.genesis.conversation_id, message)
        return replace(begun, answer=_earlier_answer(request, begun)) if stored.appended.replayed else begun

    def recall(self, request: StreamRequest, begun: StoredUserMessage) -> Recalled:
        """What the conversation said last, and what the memory space holds about the user's message beyond that."""
        history = _history(request, begun)
        known = {begun.message["messageId"]} | {message["messageId"] for message in history}
        hits = list(_within(_memories(request, begun, known), CONTEXT_TOKENS))
        context = _context(hits)
        return Recalled(
            context=context,
            memory_ids=[hit["memoryId"] for hit in hits],
            history=history,
            tokens=estimate(context) + sum(map(estimate_message, history)),
        )

    def commit(
        self, request: StreamRequest, begun: StoredUserMessage, text: str, *, incomplete: bool, usage: Usage | None
    ) -> Remembered:
        """Store the reply and return what is stored of the turn. Raises AnnalsError."""
        said = [reply(request.turn, text, incomplete=incomplete)]
        appended = append(request.caller.tenant, begun.conversation_id, said, request=_idempotent_reply(request))
        return _whole_turn(request, begun, appended)


def _idempotent_reply(request: StreamRequest) -> IdempotentRequest | None:
    """The idempotency of the turn's second append."""
    return replace(request.idempotent, route="remember-stream-reply") if request.idempotent else None


def _earlier_answer(request: StreamRequest, begun: StoredUserMessage) -> StoredReply | None:
    """The reply that an earlier request with the same key stored; None where it stored none."""
    idempotent = _idempotent_reply(request)
    place = find_result(idempotent) if idempotent else None
    if place is None:
        return None
    entry = read_entry(place["pk"], place["seq"])
    (message,) = messages_of(entry)
    remembered = _whole_turn(request, begun, Appended(entry, replayed=True))
    return StoredReply(message.get("content", ""), message.get("status") == "incomplete", remembered)


def _whole_turn(request: StreamRequest, begun: StoredUserMessage, answer: Appended) -> Remembered:
    """What is stored of the turn, both messages."""
    tenant, conversation_id = request.caller.tenant, begun.conversation_id
    genesis = read_genesis(tenant, conversation_id)
    asked = read_entry(conversation_pk(tenant, conversation_id), begun.message["seq"])
    question = Stored(genesis, replace(answer, entry=asked)).show()
    answered = Stored(genesis, answer).show()
    message_ids = question["conversation"]["messageIds"] + answered["conversation"]["messageIds"]
    return {
        "conversation": {**answered["conversation"], "messageIds": message_ids},
        "memories": question["memories"] + answered["memories"],
        "facts": [],
    }


def _history(request: StreamRequest, begun: StoredUserMessage) -> list[Mapping[str, Any]]:
    """The conversation's newest messages before the turn, as many as were asked for and fit the budget."""
    seq = begun.message["seq"]
    if not request.turn.history or seq == 1:
        return []
    tenant, conversation_id = request.caller.tenant, begun.conversation_id
    tail = demand_tail(tenant, conversation_id)
    span = Span(newest_first=True, before=seq)
    page = read_page(conversation_pk(tenant, conversation_id), tail, span, request.turn.history)
    newest: Iterable[Mapping[str, Any]] = page.messages
    return list(_within(newest, HISTORY_TOKENS))[::-1]


def _memories(request: StreamRequest, begun: StoredUserMessage, known: set[str]) -> list[Hit]:
    """The memories that the user's message brings up, without those that the history shows anyway."""
    turn: RememberStream = request.turn
    asked = Search(
        query=turn.user_message, memory_space_id=turn.memory_space_id, limit=RECALLED_HITS, filter=SearchFilter()
    )
    try:
        hits = search_memories(request.caller, asked)
    except SearchUnavailable:
        logger.warning("Nothing was recalled: the search is unavailable", exc_info=True)
        return []
    return [hit for hit in hits if not _is_known(hit, begun.conversation_id, known)]


def _is_known(hit: Hit, conversation_id: str, known: set[str]) -> bool:
    ref = hit.get("conversationRef")
    return ref is not None and ref["conversationId"] == conversation_id and not known.isdisjoint(ref["messageIds"])


def _within(messages: Iterable[T], budget: int) -> Iterable[T]:
    """The first ones whose tokens together stay within a budget."""
    for message in messages:
        budget -= estimate_message(message)
        if budget < 0:
            return
        yield message


def _context(hits: list[Hit]) -> str:
    """The recalled memories as text for a prompt, in the order in which they were said."""
    if not hits:
        return ""
    lines = [
        f"- [{hit['createdAt'][:10]}] {hit.get('name') or hit.get('role') or 'memory'}: {hit['content']}"
        for hit in sorted(hits, key=lambda hit: hit["createdAt"])
    ]
    return "\n".join(["What is remembered from earlier, oldest first:", *lines])
