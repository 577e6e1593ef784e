"""The streamed turns of one process: a request starts one, joins one that is under way, or finds one that is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from anyio.to_thread import run_sync

from annals.access.caller import Caller
from annals.errors import MessageRedacted, StreamNotFound
from annals.memory.streaming.drafts import STREAM_ID, Drafts, DraftSnapshot
from annals.memory.streaming.events import ReplyStream
from annals.memory.streaming.live_turn import DEFAULT_LIMITS, LiveTurn, ModelLimits
from annals.memory.streaming.reply_streams import DraftStream, StoredReplyStream, StreamSource
from annals.memory.streaming.turns import StartedTurn, StreamRequest, TurnStore
from annals.providers.chat import ChatModel


class StreamedTurns:
    """The turns under way in this process, and a way to follow those of others.

    Parameters
    ----------
    store : where turns are kept
    drafts : where their drafts are kept
    model : who replies
    limits : how long a model may take
    """

    def __init__(
        self, store: TurnStore, drafts: Drafts, model: ChatModel, limits: ModelLimits = DEFAULT_LIMITS
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._model = model
        self._limits = limits
        self._under_way: dict[asyncio.Task[None], LiveTurn] = {}

    async def begin(self, request: StreamRequest) -> ReplyStream:
        """Store the user's message and let the model answer it.

        Sent again with its Idempotency-Key, a request gets the stream of the first one, while that is under way, too;
        the model is asked again only where no reply is stored and nobody is at it.

        Raises
        ------
        AnnalsError : the message was refused, or it was redacted since: there is no turn to follow
        """
        started = await run_sync(self._store.begin, request)
        if started.is_repeated and (stream := await self._earlier_stream(request, started)):
            return stream
        if started.message.get("status") == "redacted":
            raise MessageRedacted(started.message["messageId"])
        # One request alone becomes the draft's owner, and asks the model; whoever comes second follows the draft.
        if await run_sync(self._drafts.claim, started.draft):
            return self._start(request, started)
        return await self._owners_stream(request, started)

    async def follow(self, caller: Caller, stream_id: str, after: int | None, request_id: str) -> ReplyStream:
        """Follow a stream, whoever owns it: all of it, or what comes after delta ``after``.

        Raises
        ------
        StreamNotFound : there is none, it is not for the caller, it is too old, or its reply was redacted
        ConversationErased
        """
        is_id = STREAM_ID.fullmatch(stream_id)
        snapshot = await run_sync(self._drafts.find, caller.tenant, stream_id) if is_id else None
        if snapshot is None or not caller.may_see(snapshot.draft.memory_space_id):
            raise StreamNotFound(stream_id)
        message = await run_sync(self._store.get_user_message, snapshot.draft)
        reply = await run_sync(self._store.find_reply, snapshot.draft)
        if reply and reply.text is None:
            raise StreamNotFound(stream_id)
        return DraftStream(StreamSource(self._store, self._drafts, request_id), snapshot, message, after=after)

    async def finish(self, patience_s: float) -> None:
        """Wait until all turns are stored; after ``patience_s`` seconds, models are cut short."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_s)
        for turn in self._under_way.values():
            turn.cut_short()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self, request: StreamRequest, started: StartedTurn) -> LiveTurn:
        turn = LiveTurn(self._store, self._drafts, self._model, self._limits, request, started)
        task = asyncio.create_task(turn.run())
        self._under_way[task] = turn
        task.add_done_callback(self._under_way.pop)
        return turn

    async def _earlier_stream(self, request: StreamRequest, started: StartedTurn) -> ReplyStream | None:
        """The stream of an earlier request with the same Idempotency-Key; None where nothing is left of it.

        What the ledger holds counts: its reply is the answer where there is no draft to follow, where the reply was
        redacted, and where the draft ended before all was stored, as its facts may be missing then.
        """
        draft = started.draft
        reply = await run_sync(self._store.find_reply, draft)
        snapshot = await run_sync(self._drafts.find, draft.tenant, draft.stream_id)
        ended_unstored = snapshot is not None and snapshot.end is not None and not snapshot.end.stored
        if reply and (snapshot is None or reply.text is None or ended_unstored):
            reply = await run_sync(self._store.store_facts, draft, reply)
            return StoredReplyStream(draft, started.message, reply, request.request_id)
        if snapshot is None:
            return None
        if ended_unstored:
            return await self._take_over(request, started, snapshot) or await self._owners_stream(request, started)
        return self._draft_stream(request, started, snapshot)

    async def _owners_stream(self, request: StreamRequest, started: StartedTurn) -> ReplyStream:
        """The stream of whoever owns the turn's draft."""
        snapshot = await run_sync(self._drafts.find, started.draft.tenant, started.draft.stream_id)
        if snapshot is None:
            raise StreamNotFound(started.draft.stream_id)
        return self._draft_stream(request, started, snapshot)

    def _draft_stream(self, request: StreamRequest, started: StartedTurn, snapshot: DraftSnapshot) -> DraftStream:
        source = StreamSource(self._store, self._drafts, request.request_id)
        return DraftStream(source, snapshot, started.message, take_over=partial(self._take_over, request, started))

    async def _take_over(
        self, request: StreamRequest, started: StartedTurn, snapshot: DraftSnapshot
    ) -> LiveTurn | None:
        """Ask the model again where nothing of the earlier answer is stored, unless somebody else does already."""
        draft = started.draft.with_new_owner(snapshot.end.last if snapshot.end else snapshot.last)
        if await run_sync(self._drafts.claim, draft, snapshot.draft.owner):
            return self._start(request, replace(started, draft=draft))
        return None
