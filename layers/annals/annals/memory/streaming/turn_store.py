"""Where streamed turns are kept: the ledger, with what the search index recalls for them."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from annals import telemetry
from annals.conversations.genesis import Genesis, get_genesis
from annals.conversations.read import get_tail
from annals.errors import EntryTooLarge, SearchUnavailable, TooLarge
from annals.formats.streams.reply import omitted
from annals.formats.tokens import estimate
from annals.json_text import dump
from annals.ledger.append import AppendResult, find_entry
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import messages_of, new_message
from annals.ledger.read import read_entry
from annals.memory.facts.extraction import TurnLine
from annals.memory.facts.models import NewTurnFacts
from annals.memory.facts.turn_facts import TurnFacts, TurnSource, find_turn_facts, require_facts_fit, store_facts
from annals.memory.recall.memory_search import search_memories
from annals.memory.recall.models import Hit
from annals.memory.recall.recall_text import fit_to_budget
from annals.memory.recall.recalling import is_in_messages
from annals.memory.recall.recent_messages import recent_messages
from annals.memory.recall.windows import Budget, Window
from annals.memory.remember import StoredTurn, append_reply, present_turn, reply_fields, store_turn, user_record
from annals.memory.streaming.drafts import Draft, new_owner, stream_id_of
from annals.memory.streaming.models import RememberStream
from annals.memory.streaming.prompt import RecalledContext, tokens_of_history
from annals.memory.streaming.turns import NewReply, StartedTurn, StoredReply, StreamRequest

logger = logging.getLogger("annals")

RECALLED_HITS = 20
"""How many memories are searched for at most."""

CONTEXT_TOKENS = 2_000
"""How many tokens of the prompt the memories may take."""

HISTORY_TOKENS = 6_000
"""How many tokens of the prompt the conversation's recent messages may take."""


class LedgerTurnStore:
    """The turn store of the product; see ``memory.streaming.turns.TurnStore``."""

    def begin(self, request: StreamRequest) -> StartedTurn:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        turn = request.turn
        # All that can be wrong with the request is refused before anything is stored.
        require_facts_fit(turn.facts)
        turn.require_owner()
        turn.for_user()
        turn.to_search(RECALLED_HITS)
        stored = store_turn(request.caller, turn, [user_record(turn)], request.idempotent)
        (message,) = messages_of(stored.appended.entry)
        draft = _new_draft(request, stored)
        return StartedTurn(draft, message, is_repeated=stored.appended.replayed)

    def get_user_message(self, draft: Draft) -> Mapping[str, Any]:
        """The user's message of a turn, as the API shows it. Raises ConversationErased."""
        get_tail(draft.tenant, draft.conversation_id)
        (message,) = messages_of(read_entry(conversation_pk(draft.tenant, draft.conversation_id), draft.seq))
        return message

    def recall(self, request: StreamRequest, started: StartedTurn) -> RecalledContext:
        """What the conversation said last, and what the memory holds about the user's message beyond that.

        For a user that is what belongs to the user or to nobody; where the request names no user, the conversation may.
        """
        genesis = get_genesis(started.draft.tenant, started.draft.conversation_id)
        for_user = request.turn.for_user()
        if request.turn.recall_scope is None:
            for_user = for_user or genesis.user_id
        window = _history(request, started, genesis, for_user)
        shown_ids = {started.message["messageId"]} | {message["messageId"] for message in window.messages}
        hits, context = fit_to_budget(_memories(request, started, shown_ids, for_user), CONTEXT_TOKENS)
        return RecalledContext(
            context=context,
            memory_ids=[hit["memoryId"] for hit in hits],
            history=window.messages,
            tokens=estimate(context) + window.size,
            omitted=window.left_out,
            tool_tokens_saved=window.saved if request.turn.tool_calls == "unfinished" else None,
        )

    def commit(self, draft: Draft, reply: NewReply) -> StoredReply:
        """Store the reply, once; see ``TurnStore.commit``. Raises AnnalsError."""
        try:
            return _append_reply(draft, reply)
        except TooLarge:
            if reply.parts is None or not reply.text.strip():
                return _append_beginning(draft, reply)
        without_parts = replace(reply, parts=omitted(reply.parts))
        try:
            return _append_reply(draft, without_parts)
        except EntryTooLarge:
            return _append_beginning(draft, without_parts)

    def store_facts(self, draft: Draft, reply: StoredReply) -> StoredReply:
        """Store the facts of a turn whose reply is stored; see ``TurnStore.store_facts``. Raises AnnalsError."""
        question = self.get_user_message(draft).get("content") if draft.fact_input else None
        if draft.fact_input is None or question is None or reply.text is None:
            # A message that was redacted states nothing any more.
            return reply
        turn = NewTurnFacts.model_validate(draft.fact_input)
        if reply.incomplete:
            turn = turn.model_copy(update={"extract_facts": False})
        lines = [TurnLine(turn.user_id or "user", question), TurnLine(turn.agent_id or "agent", reply.text)]
        return _with_facts(reply, store_facts(_source(draft, reply), turn, lines))

    def find_reply(self, draft: Draft) -> StoredReply | None:
        """The turn's reply, if one is stored, with the facts that are. Raises ConversationErased."""
        entry = find_entry(draft.reply_request)
        if entry is None:
            return None
        get_tail(draft.tenant, draft.conversation_id)
        reply = _stored_reply(draft, AppendResult(entry, replayed=True))
        return _with_facts(reply, find_turn_facts(_source(draft, reply))) if draft.has_facts else reply


def _new_draft(request: StreamRequest, stored: StoredTurn) -> Draft:
    question = stored.appended.entry
    stream_id, fact_input = stream_id_of(question), _fact_input(request.turn)
    return Draft(
        tenant=request.caller.tenant,
        stream_id=stream_id,
        conversation_id=stored.genesis.conversation_id,
        memory_space_id=request.turn.memory_space_id,
        seq=question.seq,
        on_failure=request.turn.on_failure,
        reply_fields=reply_fields(request.turn, question.seq),
        reply_request=IdempotentRequest.of(request.caller.tenant, "stream-reply", stream_id),
        owner=new_owner(),
        has_facts=fact_input is not None,
        fact_input=fact_input,
    )


def _fact_input(turn: RememberStream) -> Mapping[str, Any] | None:
    """The part of a request that is about facts. The messages are not among it: the ledger has them."""
    if not turn.facts and not turn.extract_facts:
        return None
    return turn.model_dump(by_alias=True, exclude_none=True, include=set(NewTurnFacts.model_fields))


def _source(draft: Draft, reply: StoredReply) -> TurnSource:
    """Where a turn's facts come from. An earlier try, of any owner, may have stored them: so it counts as repeated."""
    ids = tuple(reply.remembered["conversation"]["messageIds"])
    return TurnSource(get_genesis(draft.tenant, draft.conversation_id), ids, reply.at, replayed=True)


def _with_facts(reply: StoredReply, facts: TurnFacts) -> StoredReply:
    return replace(reply, remembered={**reply.remembered, **facts.present()})


def _append_beginning(draft: Draft, reply: NewReply) -> StoredReply:
    """Store as much of a reply that broke off as fits an entry. Raises EntryTooLarge for another reply."""
    try:
        return _append_reply(draft, reply)
    except EntryTooLarge as refusal:
        shortened = _shorten(reply.text, refusal.excess)
        if not reply.broke_off or not shortened.strip():
            raise
    return _append_reply(draft, replace(reply, text=shortened, finish_reason=None))


def _append_reply(draft: Draft, reply: NewReply) -> StoredReply:
    stored = append_reply(
        draft.tenant,
        draft.conversation_id,
        new_message({**reply.body(), **draft.reply_fields}),
        draft.seq,
        draft.reply_request,
        draft.reply_fields.get("threadId"),
    )
    return _stored_reply(draft, stored)


def _shorten(text: str, excess: int) -> str:
    """The longest beginning of a text whose JSON takes ``excess`` bytes less than that of the whole text."""
    max_bytes = _json_bytes(text) - excess
    lengths_that_fit = bisect_right(range(len(text) + 1), max_bytes, key=lambda length: _json_bytes(text[:length]))
    return text[: max(0, lengths_that_fit - 1)]


def _json_bytes(text: str) -> int:
    return len(dump(text).encode())


def _stored_reply(draft: Draft, appended: AppendResult) -> StoredReply:
    (message,) = messages_of(appended.entry)
    turn = present_turn(get_genesis(draft.tenant, draft.conversation_id), draft.seq, appended)
    return StoredReply(message, turn, appended.entry.at)


def _history(request: StreamRequest, started: StartedTurn, genesis: Genesis, for_user: str | None) -> Window:
    """The conversation's newest messages before the turn, as many as were requested and fit the budget."""
    turn, seq = request.turn, started.draft.seq
    if not turn.history or seq == 1:
        return Window()
    tail = get_tail(started.draft.tenant, started.draft.conversation_id)
    budget = Budget(HISTORY_TOKENS, tokens_of_history, turn.history, ends_at_too_large=True)
    return recent_messages(genesis, tail, budget, for_user=for_user, before=seq, tool_calls=turn.tool_calls)


def _memories(request: StreamRequest, started: StartedTurn, shown_ids: set[str], for_user: str | None) -> list[Hit]:
    """The memories that the user's message brings up, without those that the history shows anyway."""
    search = request.turn.to_search(RECALLED_HITS)
    try:
        hits = search_memories(request.caller, search, for_user=for_user)
    except SearchUnavailable:
        telemetry.count("SearchUnavailable")
        logger.warning("Nothing was recalled: the search is unavailable", exc_info=True)
        return []
    return [hit for hit in hits if not is_in_messages(hit, started.draft.conversation_id, shown_ids)]
