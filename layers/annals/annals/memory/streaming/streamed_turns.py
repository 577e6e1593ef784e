"""A turn whose reply a model streams: the user's message is stored before the first word, the reply after the last.

The model is listened to by a task of its own. Whoever follows the turn may go away; the turn is stored all the same.
What is told goes into a draft as well, from which others can follow the turn, and end it if this process dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from anyio.to_thread import run_sync

from annals import telemetry
from annals.access.caller import Caller
from annals.api import problems
from annals.database.item_size import MAX_ENTRY_BYTES
from annals.errors import (
    AnnalsError,
    ChatUnavailable,
    ConversationErased,
    EntryTooLarge,
    MessageRedacted,
    ReplyTooLarge,
    StreamEmpty,
    StreamFailed,
    StreamNotFound,
)
from annals.memory.streaming import turns
from annals.memory.streaming.draft_recorder import DraftRecorder, Reply
from annals.memory.streaming.drafts import STREAM_ID, DraftEnd, Drafts, DraftSnapshot
from annals.memory.streaming.prompt import Prompt, prompt
from annals.memory.streaming.reply_streams import DraftStream, ReplyStream, StoredReplyStream, StreamSource, cut
from annals.memory.streaming.turns import Event, StartedTurn, StoredReply, StreamRequest, TurnStore
from annals.privacy.masking import mask
from annals.providers.chat import ChatModel, Finished, paced

logger = logging.getLogger("annals")

FILTERED = {"content_filter", "content_filtered"}
"""Why a reply ended whose rest a content filter held back, in the words of OpenAI and Bedrock."""


@dataclass(frozen=True)
class ModelLimits:
    """The longest silence of a model, and the longest that one reply may take, in seconds."""

    stall_s: float = 120.0
    total_s: float = 840.0


class StreamedTurns:
    """The turns under way in this process, and a way to follow those of others.

    Parameters
    ----------
    store : where turns are kept
    drafts : where their drafts are kept
    model : who replies
    limits : how long a model may take
    """

    def __init__(self, store: TurnStore, drafts: Drafts, model: ChatModel, limits: ModelLimits = ModelLimits()) -> None:
        self._store = store
        self._drafts = drafts
        self._model = model
        self._limits = limits
        self._under_way: dict[asyncio.Task[None], LiveTurn] = {}

    async def begin(self, request: StreamRequest) -> ReplyStream:
        """Store the user's message and let the model answer it.

        Sent again with its Idempotency-Key, a request is told what the first one led to, while that is under way, too;
        the model is asked again only where no reply is stored and nobody is at it.

        Raises
        ------
        AnnalsError : the message was refused, or it was withdrawn since: there is no turn to follow
        """
        begun = await run_sync(self._store.begin, request)
        if begun.is_repeated and (told := await self._earlier(request, begun)):
            return told
        if begun.message.get("status") == "redacted":
            raise MessageRedacted(begun.message["messageId"])
        if await run_sync(self._drafts.claim, begun.draft):
            return self._start(request, begun)
        return await self._others(request, begun)

    async def follow(self, caller: Caller, stream_id: str, after: int | None, request_id: str) -> ReplyStream:
        """Follow a stream, whoever tells it: all of it, or what comes after delta ``after``.

        Raises
        ------
        StreamNotFound : there is none, it is not for the caller, it is too old, or its reply was redacted
        ConversationErased
        """
        is_id = STREAM_ID.fullmatch(stream_id)
        news = await run_sync(self._drafts.read, caller.tenant, stream_id) if is_id else None
        if news is None or not caller.may_see(news.draft.memory_space_id):
            raise StreamNotFound(stream_id)
        message = await run_sync(self._store.message, news.draft)
        reply = await run_sync(self._store.find_reply, news.draft)
        if reply and reply.text is None:
            raise StreamNotFound(stream_id)
        return DraftStream(StreamSource(self._store, self._drafts, request_id), news, message, after=after)

    async def finish(self, patience_s: float) -> None:
        """Wait until all turns are stored; after ``patience_s`` seconds, models are cut short."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_s)
        for turn in self._under_way.values():
            turn.cut_short()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self, request: StreamRequest, begun: StartedTurn) -> LiveTurn:
        turn = LiveTurn(self._store, self._drafts, self._model, self._limits, request, begun)
        task = asyncio.create_task(turn.run())
        self._under_way[task] = turn
        task.add_done_callback(self._under_way.pop)
        return turn

    async def _earlier(self, request: StreamRequest, begun: StartedTurn) -> ReplyStream | None:
        """What an earlier request with the same Idempotency-Key led to; None where it left nothing behind."""
        draft = begun.draft
        reply = await run_sync(self._store.find_reply, draft)
        news = await run_sync(self._drafts.read, draft.tenant, draft.stream_id)
        if reply and (news is None or reply.text is None or (news.end and not news.end.stored)):
            whole = await run_sync(self._store.store_facts, draft, reply)
            return StoredReplyStream(draft, begun.message, whole, request.request_id)
        if news is None:
            return None
        if news.end and not news.end.stored:
            return await self._take_over(request, begun, news) or await self._others(request, begun)
        return self._followed(request, begun, news)

    async def _others(self, request: StreamRequest, begun: StartedTurn) -> ReplyStream:
        """The same turn, told by somebody who was faster."""
        news = await run_sync(self._drafts.read, begun.draft.tenant, begun.draft.stream_id)
        if news is None:
            raise StreamNotFound(begun.draft.stream_id)
        return self._followed(request, begun, news)

    def _followed(self, request: StreamRequest, begun: StartedTurn, news: DraftSnapshot) -> DraftStream:
        source = StreamSource(self._store, self._drafts, request.request_id)
        return DraftStream(source, news, begun.message, take_over=partial(self._take_over, request, begun))

    async def _take_over(self, request: StreamRequest, begun: StartedTurn, news: DraftSnapshot) -> LiveTurn | None:
        """Ask the model again where the earlier answer left nothing behind, unless somebody else does already."""
        draft = begun.draft.taken_over(news.end.last if news.end else news.last)
        if await run_sync(self._drafts.claim, draft, news.draft.owner):
            return self._start(request, replace(begun, draft=draft))
        return None


class LiveTurn:
    """One turn: what happened so far, and what happens next. Any number may follow it, from the beginning."""

    is_repeated = False

    def __init__(
        self,
        store: TurnStore,
        drafts: Drafts,
        model: ChatModel,
        limits: ModelLimits,
        request: StreamRequest,
        begun: StartedTurn,
    ) -> None:
        self._store = store
        self._model = model
        self._limits = limits
        self._request = request
        self._draft = begun.draft
        self._begun = begun
        self._stored_ids = [begun.message["messageId"]]
        self._lacks_facts = False
        self._facts_problem: str | None = None
        self._reply = Reply(begun.draft.first)
        self._finished = Finished("unknown")
        self._recorder = DraftRecorder(drafts, begun.draft, self._reply)
        self._opening = [turns.start(begun.draft, begun.message)]
        self._closing: Event | None = None
        self._news: asyncio.Event | None = None
        self._is_over = asyncio.Event()
        self._is_cut_short = False
        self._listening: asyncio.Timeout | None = None

    async def events(self, idle_s: float) -> AsyncIterator[Event | None]:
        """The turn's events, from first to last, as they happen; None after ``idle_s`` seconds without one.

        The last one is told as soon as it is known; the iteration ends when all of the turn is stored, its draft too.
        """
        opened = told = 0
        while True:
            while opened < len(self._opening):
                opened += 1
                yield self._opening[opened - 1]
            while told < len(self._reply.pieces):
                told += 1
                yield turns.delta(self._reply.pieces[told - 1], self._reply.first + told - 1)
            if self._closing:
                yield self._closing
                await self._is_over.wait()
                return
            if not await self._wait(idle_s):
                yield None

    def cut_short(self) -> None:
        """Listen to the model no longer; what came is kept or discarded, as the caller asked for failures."""
        self._is_cut_short = True
        if self._listening:
            self._listening.reschedule(0)

    async def run(self) -> None:
        """Recall, listen, store. Whatever happens, the last event says what is stored."""
        recording = asyncio.create_task(self._recorder.run())
        try:
            closing = await self._answer()
        except AnnalsError as refusal:
            closing = self._refused(refusal)
        except Exception as failure:
            logger.exception("Stream %s failed", self._draft.stream_id)
            closing = self._refused(problems.from_aws(failure))
        self._closing = closing
        self._tell()
        # Published here: who asked may be gone, and their request over.
        telemetry.count("StreamsFailed" if closing.name == "error" else "StreamsCompleted")
        telemetry.publish()
        await self._recorder.finish(recording, self._end(closing))
        self._is_over.set()

    async def _answer(self) -> Event:
        recalled = await run_sync(self._store.recall, self._request, self._begun)
        context = turns.context(recalled)
        self._opening.append(context)
        self._recorder.note_context(context.data)
        self._tell()
        failure = await self._listen(prompt(self._request.turn.instructions, recalled, self._request.asked))
        if failure:
            raise await self._failed(failure)
        if not self._reply.says_something:
            reason = self._finished.reason
            raise StreamEmpty(f"The chat model's reply was empty ({reason}). The user's message is kept.")
        try:
            stored = await self._commit(incomplete=False)
        except EntryTooLarge:
            raise await self._failed(_too_large()) from None
        return turns.result(stored, self._usage, self._finished.reason)

    async def _listen(self, shown: Prompt) -> AnnalsError | None:
        """Listen to the model until it ends, fails, or is cut short; what went wrong, if anything did."""
        try:
            async with asyncio.timeout(0 if self._is_cut_short else None) as self._listening:
                return await self._pass_on(shown)
        except ChatUnavailable as failure:
            return StreamFailed(failure.detail)
        except TimeoutError:
            return StreamFailed("Annals was stopped before the reply's end.")
        except Exception as failure:
            logger.exception("The chat model of stream %s failed", self._draft.stream_id)
            return StreamFailed(f"The chat model failed in an unknown way ({type(failure).__name__}).")
        finally:
            self._listening = None

    async def _pass_on(self, shown: Prompt) -> AnnalsError | None:
        """Collect what the model says, and tell it at once."""
        pieces = self._model.stream(shown.messages, instructions=shown.instructions, model=self._request.turn.model)
        limits, characters = self._limits, 0
        async with aclosing(paced(pieces, stall_s=limits.stall_s, total_s=limits.total_s)) as timely:
            async for piece in timely:
                if isinstance(piece, Finished):
                    self._finished = piece
                    continue
                characters += len(piece)
                self._reply.pieces.extend(cut(piece))
                self._tell()
                if characters > MAX_ENTRY_BYTES:
                    return _too_large()
        filtered = self._finished.reason in FILTERED and self._reply.says_something
        return StreamFailed("The chat model's content filter ended the reply.") if filtered else None

    async def _failed(self, failure: AnnalsError) -> AnnalsError:
        """Keep what came, if the caller wants that and anything did; the error to tell."""
        if self._request.turn.on_failure == "keep" and self._reply.says_something:
            await self._commit(incomplete=True)
            return type(failure)(f"{failure.detail} What came of the reply is kept, marked incomplete.")
        return type(failure)(f"{failure.detail} The user's message is kept, the reply is not.")

    async def _commit(self, *, incomplete: bool) -> StoredReply:
        """Store the reply, then the turn's facts.

        Raises StreamFailed where another request ended the turn, in the belief that we are dead.
        """
        text = await run_sync(mask, self._reply.text)
        stored = await run_sync(partial(self._store.commit, incomplete=incomplete), self._draft, text)
        self._stored_ids = stored.remembered["conversation"]["messageIds"]
        if not incomplete and (stored.incomplete or stored.text != text):
            raise StreamFailed("The reply took so long that another request ended it. What came until then is kept.")
        self._lacks_facts = True
        stored = await run_sync(self._store.store_facts, self._draft, stored)
        self._lacks_facts = False
        self._facts_problem = stored.remembered.get("factsProblem")
        return stored

    def _refused(self, refusal: AnnalsError) -> Event:
        if isinstance(refusal, ConversationErased):
            self._stored_ids = []
        return turns.error(refusal, self._request.request_id, self._draft.conversation_id, self._stored_ids)

    @property
    def _usage(self) -> dict[str, int] | None:
        usage = self._finished.usage
        return {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens} if usage else None

    def _end(self, closing: Event) -> DraftEnd:
        failed = closing.name == "error"
        return DraftEnd(
            last=self._reply.last,
            error=closing.data if failed else None,
            stored=len(self._stored_ids) > 1 and not self._lacks_facts,
            usage=self._usage,
            reason=self._finished.reason,
            facts_problem=self._facts_problem,
        )

    async def _wait(self, patience_s: float) -> bool:
        """Wait for something to tell; whether there is anything before the patience ends."""
        self._news = self._news or asyncio.Event()
        try:
            async with asyncio.timeout(patience_s):
                return await self._news.wait()
        except TimeoutError:
            return False

    def _tell(self) -> None:
        """Wake those who wait for news."""
        if self._news:
            self._news.set()
            self._news = None


def _too_large() -> ReplyTooLarge:
    return ReplyTooLarge(f"The reply is longer than the {MAX_ENTRY_BYTES} bytes that an entry holds.")
