"""Streams of replies that another task makes, or has made: from its draft while it grows, or from the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from anyio.to_thread import run_sync

from annals.errors import AnnalsError, ConversationErased, StreamFailed, StreamNotFound
from annals.ledger.messages import message_id
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, Drafts, DraftSnapshot
from annals.memory.streaming.events import (
    ReplyEvent,
    ReplyStream,
    context_event,
    delta_event,
    error_event,
    result_event,
    split_into_deltas,
    start_event,
)
from annals.memory.streaming.prompt import RecalledContext
from annals.memory.streaming.turns import NewReply, StoredReply, TurnStore
from annals.privacy.masking import mask
from annals.times import now_ms

POLL_S = 0.3
"""How often a draft is read anew."""

INCOMPLETE_REPLY = (
    "The first request with this Idempotency-Key failed. What came of the reply is kept, marked incomplete."
)


class StoredReplyStream:
    """A stream whose draft is gone: its reply, from the ledger, in one piece."""

    is_repeated = True

    def __init__(self, draft: Draft, message: Mapping[str, Any], reply: StoredReply, request_id: str) -> None:
        self._draft = draft
        self._message = message
        self._reply = reply
        self._request_id = request_id

    async def events(self, idle_s: float) -> AsyncIterator[ReplyEvent | None]:
        """The events; see ``ReplyStream.events``."""
        reply = self._reply
        yield start_event(self._draft, self._message)
        yield context_event(RecalledContext())
        if reply.text:
            yield delta_event(reply.text, 1)
        yield self._error() if reply.broke_off else result_event(reply)

    def _error(self) -> ReplyEvent:
        conversation = self._reply.remembered["conversation"]
        refusal = StreamFailed(INCOMPLETE_REPLY)
        return error_event(refusal, self._request_id, conversation["conversationId"], conversation["messageIds"])


class EndedStream:
    """A stream of which only the last event is left."""

    is_repeated = True

    def __init__(self, event: ReplyEvent) -> None:
        self._event = event

    async def events(self, idle_s: float) -> AsyncIterator[ReplyEvent | None]:
        """The event."""
        yield self._event


@dataclass(frozen=True)
class StreamSource:
    """What a follower reads from, and the id that problem details name."""

    store: TurnStore
    drafts: Drafts
    request_id: str


TakeOver = Callable[[DraftSnapshot], Awaitable[ReplyStream | None]]
"""Has the model asked anew where the owner died and nothing is stored; None where somebody else does already."""


class DraftStream:
    """A stream that is read from its draft, whoever writes that, in this process or another.

    Parameters
    ----------
    source : where the draft is
    snapshot : the draft as it was found
    message : the user's message
    after : the number of the last delta that the follower has; without it, all events are yielded
    take_over : what to do if the owner died and nothing is stored; without it, the stream ends with an error
    """

    is_repeated = True

    def __init__(
        self,
        source: StreamSource,
        snapshot: DraftSnapshot,
        message: Mapping[str, Any],
        *,
        after: int | None = None,
        take_over: TakeOver | None = None,
    ) -> None:
        self._source = source
        self._snapshot = snapshot
        self._message = message
        self._take_over = take_over
        self._owner = snapshot.draft.owner
        self._next = 1 if after is None else after + 1
        self._unread = 1
        # Who has deltas of a former owner begins anew.
        self._needs_start = after is None or 1 < self._next <= snapshot.draft.first
        self._needs_context = self._needs_start

    async def events(self, idle_s: float) -> AsyncIterator[ReplyEvent | None]:
        """The events; see ``ReplyStream.events``."""
        clock = asyncio.get_running_loop().time
        quiet_since = clock()
        while True:
            for event in self._new_events(self._snapshot):
                quiet_since = clock()
                yield event
            if rest := await self._next_stream():
                async for last in rest.events(idle_s):
                    # A second start says that the reply begins anew: not to somebody who has nothing of it.
                    if last is None or last.name != "start" or self._next > 1:
                        yield last
                return
            if clock() - quiet_since >= idle_s:
                quiet_since = clock()
                yield None

    def _new_events(self, snapshot: DraftSnapshot) -> Iterator[ReplyEvent]:
        """The events that follow from a snapshot, and were not yielded before."""
        if snapshot.draft.owner != self._owner:
            self._owner = snapshot.draft.owner
            self._needs_start = self._needs_context = self._next > 1
        if self._needs_start:
            self._needs_start = False
            yield start_event(snapshot.draft, self._message)
        if self._needs_context and snapshot.context is not None:
            self._needs_context = False
            yield ReplyEvent("context", snapshot.context)
        for batch in snapshot.batches:
            for number, text in enumerate(batch.texts, batch.number):
                # Deltas beyond the end: their owner was taken for dead when the draft was ended, and still writes.
                if self._next <= number and not (snapshot.end and number > snapshot.end.last):
                    self._next = number + 1
                    yield delta_event(text, number)

    async def _next_stream(self) -> ReplyStream | None:
        """The stream that takes over from this one's draft; None while that is to be read on, after a while.

        An owner that gave no sign of life for its lease counts as dead. Then the draft is ended here, with what it
        holds of the reply; and where nothing of that was stored, the model is asked anew.
        """
        snapshot = self._snapshot
        if snapshot.end is None and snapshot.alive_until >= now_ms():
            await asyncio.sleep(POLL_S)
        elif snapshot.end is None:
            with suppress(StreamNotFound):  # its turn was redacted or erased meanwhile, as the next read finds
                await run_sync(end_abandoned_stream, self._source, snapshot.draft)
        elif not snapshot.end.died or snapshot.end.stored or self._take_over is None:
            return EndedStream(await run_sync(closing_event, self._source, snapshot.draft, snapshot.end))
        elif stream := await self._taken_over(self._take_over):
            return stream
        return await self._read()

    async def _taken_over(self, take_over: TakeOver) -> ReplyStream | None:
        try:
            return await take_over(self._snapshot)
        except AnnalsError as refusal:
            return EndedStream(_error_event(self._source, self._snapshot.draft, refusal))

    async def _read(self) -> ReplyStream | None:
        """Read the draft on, from the first delta that was not read; the stream that ends this one if it is gone."""
        draft = self._snapshot.draft
        self._unread = max(self._unread, self._snapshot.last + 1)
        snapshot = await run_sync(self._source.drafts.find, draft.tenant, draft.stream_id, self._unread)
        if snapshot is None:
            return EndedStream(_error_event(self._source, draft, StreamNotFound(draft.stream_id)))
        self._snapshot = snapshot
        return None


def closing_event(source: StreamSource, draft: Draft, end: DraftEnd) -> ReplyEvent:
    """The last event of a stream that has ended."""
    if end.error is not None:
        return ReplyEvent("error", end.error)
    try:
        reply = source.store.find_reply(draft)
    except AnnalsError as refusal:
        return _error_event(source, draft, refusal)
    if reply is None:
        return _error_event(source, draft, StreamNotFound(draft.stream_id))
    result = result_event(reply, end.usage, end.reason)
    problem = {"factsExtracted": False, "factsProblem": end.facts_problem} if end.facts_problem else {}
    return replace(result, data={**result.data, **problem})


def end_abandoned_stream(source: StreamSource, draft: Draft) -> None:
    """End a stream whose owner died: what its draft holds is stored as incomplete, where the caller wants that.

    The owner may have stored the reply just before it died: then that is the reply, and the draft gets the rest of it.
    With a reply that is stored, the turn's facts are stored, too. Nothing is done where there was a sign of life
    meanwhile, or an end.
    """
    snapshot = source.drafts.find(draft.tenant, draft.stream_id)
    if snapshot is None or snapshot.end or snapshot.draft.owner != draft.owner or snapshot.alive_until >= now_ms():
        return
    try:
        reply = source.store.find_reply(draft)
        if reply is None and draft.on_failure == "keep" and snapshot.text.strip():
            reply = source.store.commit(draft, NewReply(mask(snapshot.text), incomplete=True))
        if reply:
            reply = source.store.store_facts(source.drafts.with_fact_input(draft), reply)
    except AnnalsError as refusal:
        error = _error_event(source, draft, refusal)
        source.drafts.end(draft, DraftEnd(snapshot.last, error.data, stored=False, died=True))
        return
    last = _add_rest(source.drafts, snapshot, reply)
    error_data = None if reply and not reply.broke_off else _error_event(source, draft, _owner_died(reply), reply).data
    problem = reply.remembered.get("factsProblem") if reply else None
    end = DraftEnd(last, error_data, stored=reply is not None, died=True, facts_problem=problem)
    source.drafts.end(draft, end)


def _add_rest(drafts: Drafts, snapshot: DraftSnapshot, reply: StoredReply | None) -> int:
    """Add to a draft what its reply has beyond it; the number of its last delta."""
    rest = reply.text[len(snapshot.text) :] if reply and reply.text and reply.text.startswith(snapshot.text) else ""
    last = snapshot.last
    for text in split_into_deltas(rest):
        last += 1
        drafts.add(snapshot.draft, DeltaBatch(last, [text]))
    return last


def _owner_died(reply: StoredReply | None) -> StreamFailed:
    kept_reply = "What came of the reply is kept, marked incomplete."
    outcome = kept_reply if reply else "The user's message is kept, no reply is."
    return StreamFailed(f"The process that streamed the reply died. {outcome}")


def _error_event(
    source: StreamSource, draft: Draft, refusal: AnnalsError, reply: StoredReply | None = None
) -> ReplyEvent:
    stored = reply.remembered["conversation"]["messageIds"] if reply else [message_id(draft.seq)]
    message_ids = [] if isinstance(refusal, ConversationErased) else stored
    return error_event(refusal, source.request_id, draft.conversation_id, message_ids)
