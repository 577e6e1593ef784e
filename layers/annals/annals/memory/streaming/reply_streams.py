"""Following a stream that this request does not tell: from its draft while it grows, or from the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from anyio.to_thread import run_sync

from annals.errors import AnnalsError, ConversationErased, StreamFailed, StreamNotFound
from annals.ledger.messages import message_id
from annals.memory.streaming import turns
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, Drafts, DraftSnapshot
from annals.memory.streaming.prompt import RecalledContext
from annals.memory.streaming.turns import Event, StoredReply, TurnStore
from annals.privacy.masking import mask
from annals.times import now_ms

POLL_S = 0.3
"""How often a draft is asked for news."""

MAX_DELTA_CHARS = 16_384
"""How long one delta may be; a longer piece of a model's is told in several."""

BROKEN_OFF = "The first request with this Idempotency-Key failed. What came of the reply is kept, marked incomplete."


class ReplyStream(Protocol):
    """A stream as its followers see it."""

    @property
    def is_repeated(self) -> bool:
        """Whether an earlier request tells it, or told it."""
        ...

    def events(self, idle_s: float) -> AsyncIterator[Event | None]:
        """The events, from first to last, as they happen; None after ``idle_s`` seconds without one."""
        ...


class StoredReplyStream:
    """A stream whose draft is gone: its reply, from the ledger, in one piece."""

    is_repeated = True

    def __init__(self, draft: Draft, message: Mapping[str, Any], reply: StoredReply, request_id: str) -> None:
        self._draft = draft
        self._message = message
        self._reply = reply
        self._request_id = request_id

    async def events(self, idle_s: float) -> AsyncIterator[Event | None]:
        """The events; see ``Told.events``."""
        reply = self._reply
        yield turns.start(self._draft, self._message)
        yield turns.context(RecalledContext())
        if reply.text:
            yield turns.delta(reply.text, 1)
        yield self._error() if reply.incomplete else turns.result(reply, None, "unknown")

    def _error(self) -> Event:
        conversation = self._reply.remembered["conversation"]
        refusal = StreamFailed(BROKEN_OFF)
        return turns.error(refusal, self._request_id, conversation["conversationId"], conversation["messageIds"])


@dataclass(frozen=True)
class StreamSource:
    """What a follower reads from, and the id that problem details name."""

    store: TurnStore
    drafts: Drafts
    request_id: str


TakeOver = Callable[[DraftSnapshot], Awaitable[ReplyStream | None]]
"""Tells the stream anew where its owner died without a word stored; None where somebody else does already."""


class DraftStream:
    """A stream that is told from its draft, whoever writes that, in this process or another.

    Parameters
    ----------
    source : where the draft is
    news : the draft as it was found
    message : the user's message
    after : the number of the last delta that the follower has; without it, everything is told
    take_over : what to do if the owner died without a word stored; without it, that is told as an error
    """

    is_repeated = True

    def __init__(
        self,
        source: StreamSource,
        news: DraftSnapshot,
        message: Mapping[str, Any],
        *,
        after: int | None = None,
        take_over: TakeOver | None = None,
    ) -> None:
        self._source = source
        self._news = news
        self._message = message
        self._take_over = take_over
        self._owner = news.draft.owner
        self._next = 1 if after is None else after + 1
        self._unread = 1
        # Who has deltas of a former owner begins anew.
        self._opens = after is None or 1 < self._next <= news.draft.first
        self._tells_context = self._opens

    async def events(self, idle_s: float) -> AsyncIterator[Event | None]:
        """The events; see ``Told.events``."""
        clock = asyncio.get_running_loop().time
        quiet_since = clock()
        while True:
            for event in self._events_of(self._news):
                quiet_since = clock()
                yield event
            if told := await self._ending():
                async for last in told.events(idle_s):
                    if last is None or last.name != "start" or self._next > 1:
                        yield last
                return
            if clock() - quiet_since >= idle_s:
                quiet_since = clock()
                yield None

    def _events_of(self, news: DraftSnapshot) -> Iterator[Event]:
        """What is told of news, and has not been told before."""
        if news.draft.owner != self._owner:
            self._owner = news.draft.owner
            self._opens = self._tells_context = self._next > 1
        if self._opens:
            self._opens = False
            yield turns.start(news.draft, self._message)
        if self._tells_context and news.context is not None:
            self._tells_context = False
            yield Event("context", news.context)
        for batch in news.batches:
            for number, text in enumerate(batch.texts, batch.number):
                if self._next <= number and not (news.end and number > news.end.last):
                    self._next = number + 1
                    yield turns.delta(text, number)

    async def _ending(self) -> ReplyStream | None:
        """What is told at last, if the stream is over; else the news are read, in a while."""
        news = self._news
        if news.end is None and news.until >= now_ms():
            await asyncio.sleep(POLL_S)
        elif news.end is None:
            with suppress(StreamNotFound):  # withdrawn meanwhile, as the next look finds
                await run_sync(settle, self._source, news.draft)
        elif not news.end.died or news.end.stored or self._take_over is None:
            return _Ended(await run_sync(closing, self._source, news.draft, news.end))
        elif told := await self._taken_over(self._take_over):
            return told
        return await self._read()

    async def _taken_over(self, take_over: TakeOver) -> ReplyStream | None:
        try:
            return await take_over(self._news)
        except AnnalsError as refusal:
            return _Ended(_failed(self._source, self._news.draft, refusal))

    async def _read(self) -> ReplyStream | None:
        draft = self._news.draft
        self._unread = max(self._unread, self._news.last + 1)
        news = await run_sync(self._source.drafts.read, draft.tenant, draft.stream_id, self._unread)
        if news is None:
            return _Ended(_failed(self._source, draft, StreamNotFound(draft.stream_id)))
        self._news = news
        return None


class _Ended:
    """A stream of which only the last event is left to tell."""

    is_repeated = True

    def __init__(self, event: Event) -> None:
        self._event = event

    async def events(self, idle_s: float) -> AsyncIterator[Event | None]:
        """The event."""
        yield self._event


def closing(source: StreamSource, draft: Draft, end: DraftEnd) -> Event:
    """The last event of a stream that is over."""
    if end.error is not None:
        return Event("error", end.error)
    try:
        reply = source.store.find_reply(draft)
    except AnnalsError as refusal:
        return _failed(source, draft, refusal)
    if reply is None:
        return _failed(source, draft, StreamNotFound(draft.stream_id))
    told = turns.result(reply, end.usage, end.reason)
    problem = {"factsExtracted": False, "factsProblem": end.facts_problem} if end.facts_problem else {}
    return replace(told, data={**told.data, **problem})


def settle(source: StreamSource, draft: Draft) -> None:
    """End a stream whose owner died: what its draft holds is kept as incomplete, where the caller wants that.

    With a reply that is stored, the turn's facts are.

    The owner may have stored the reply with its last breath: then that is the reply, and the draft gets the rest of it.
    Nothing is done where there was a sign of life meanwhile, or an end.
    """
    news = source.drafts.read(draft.tenant, draft.stream_id)
    if news is None or news.end or news.draft.owner != draft.owner or news.until >= now_ms():
        return
    try:
        reply = source.store.find_reply(draft)
        if reply is None and draft.on_failure == "keep" and news.text.strip():
            reply = source.store.commit(draft, mask(news.text), incomplete=True)
        if reply:
            reply = source.store.store_facts(source.drafts.with_turn(draft), reply)
    except AnnalsError as refusal:
        failed = _failed(source, draft, refusal)
        source.drafts.end(draft, DraftEnd(news.last, failed.data, stored=False, died=True))
        return
    last = _complete(source.drafts, news, reply)
    failure = None if reply and not reply.incomplete else _failed(source, draft, _died(reply), reply).data
    problem = reply.remembered.get("factsProblem") if reply else None
    source.drafts.end(draft, DraftEnd(last, failure, stored=reply is not None, died=True, facts_problem=problem))


def _complete(drafts: Drafts, news: DraftSnapshot, reply: StoredReply | None) -> int:
    """Add to a draft what its reply has beyond it; the number of its last delta."""
    rest = reply.text[len(news.text) :] if reply and reply.text and reply.text.startswith(news.text) else ""
    last = news.last
    for text in cut(rest):
        last += 1
        drafts.add(news.draft, DeltaBatch(last, [text]))
    return last


def cut(text: str) -> Iterator[str]:
    """A text in pieces that are short enough for one delta each."""
    return (text[start : start + MAX_DELTA_CHARS] for start in range(0, len(text), MAX_DELTA_CHARS))


def _died(reply: StoredReply | None) -> StreamFailed:
    kept = "What came of the reply is kept, marked incomplete." if reply else "The user's message is kept, no reply is."
    return StreamFailed(f"The process that streamed the reply died. {kept}")


def _failed(source: StreamSource, draft: Draft, refusal: AnnalsError, reply: StoredReply | None = None) -> Event:
    stored = reply.remembered["conversation"]["messageIds"] if reply else [message_id(draft.seq)]
    ids = [] if isinstance(refusal, ConversationErased) else stored
    return turns.error(refusal, source.request_id, draft.conversation_id, ids)
