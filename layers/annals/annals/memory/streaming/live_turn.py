"""A turn whose reply this process streams: a model is listened to, and the reply is stored at its end.

The model is listened to by a task of its own. Whoever follows the turn may go away; the turn is stored all the same.
All deltas go into a draft as well, from which others can follow the turn, and end it if this process dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from anyio.to_thread import run_sync

from annals import telemetry
from annals.api import problems
from annals.database.item_size import MAX_ENTRY_BYTES
from annals.errors import (
    AnnalsError,
    ChatUnavailable,
    ConversationErased,
    EntryTooLarge,
    ReplyTooLarge,
    StreamEmpty,
    StreamFailed,
)
from annals.formats.streams.endings import ending_of
from annals.formats.streams.reply import has_more_than_text
from annals.memory.streaming.draft_recorder import DraftRecorder, GrowingReply
from annals.memory.streaming.drafts import DraftEnd, Drafts
from annals.memory.streaming.events import (
    ReplyEvent,
    context_event,
    delta_event,
    error_event,
    result_event,
    split_into_deltas,
    start_event,
)
from annals.memory.streaming.prompt import Prompt, build_prompt
from annals.memory.streaming.turns import NewReply, StartedTurn, StoredReply, StreamRequest, TurnStore
from annals.privacy.masking import mask, mask_all
from annals.providers.chat import ChatModel, Finished, ReplyBrokeOff, paced

logger = logging.getLogger("annals")


@dataclass(frozen=True)
class ModelLimits:
    """The longest silence of a model, and the longest that one reply may take, in seconds."""

    stall_s: float = 120.0
    total_s: float = 840.0


DEFAULT_LIMITS = ModelLimits()


class LiveTurn:
    """One turn, and the stream of its events. Any number may follow it, from the beginning.

    All of it runs in one event loop, so that nothing here needs a lock; what blocks runs in threads.
    """

    is_repeated = False

    def __init__(
        self,
        store: TurnStore,
        drafts: Drafts,
        model: ChatModel,
        limits: ModelLimits,
        request: StreamRequest,
        started: StartedTurn,
    ) -> None:
        self._store = store
        self._model = model
        self._limits = limits
        self._request = request
        self._draft = started.draft
        self._started = started
        self._stored_ids = [started.message["messageId"]]
        self._lacks_facts = False
        self._facts_problem: str | None = None
        self._reply = GrowingReply(started.draft.first)
        self._finished = Finished(None)
        self._recorder = DraftRecorder(drafts, started.draft, self._reply)
        self._opening = [start_event(started.draft, started.message)]
        self._closing: ReplyEvent | None = None
        self._wakeup: asyncio.Event | None = None
        self._is_over = asyncio.Event()
        self._is_cut_short = False
        self._model_timeout: asyncio.Timeout | None = None

    async def events(self, idle_s: float) -> AsyncIterator[ReplyEvent | None]:
        """The turn's events, from first to last, as they happen; None after ``idle_s`` seconds without one.

        The last one is yielded as soon as it is known; the iteration ends when the turn is stored, its draft too.
        """
        opened = passed_on = 0
        while True:
            while opened < len(self._opening):
                opened += 1
                yield self._opening[opened - 1]
            while passed_on < len(self._reply.pieces):
                passed_on += 1
                yield delta_event(self._reply.pieces[passed_on - 1], self._reply.first + passed_on - 1)
            if self._closing:
                yield self._closing
                await self._is_over.wait()
                return
            if not await self._wait(idle_s):
                yield None

    def cut_short(self) -> None:
        """Listen to the model no longer; what came is kept or discarded, as the caller asked for failures."""
        self._is_cut_short = True
        if self._model_timeout:
            self._model_timeout.reschedule(0)

    async def run(self) -> None:
        """Recall, listen, store. Whatever happens, the last event says what is stored."""
        recording = asyncio.create_task(self._recorder.run())
        try:
            closing = await self._answer()
        except AnnalsError as refusal:
            closing = self._error_event(refusal)
        except Exception as failure:
            logger.exception("Stream %s failed", self._draft.stream_id)
            closing = self._error_event(problems.from_aws(failure))
        self._closing = closing
        self._notify_followers()
        # Published here: the client may be gone, and its request over.
        telemetry.count("StreamsFailed" if closing.name == "error" else "StreamsCompleted")
        telemetry.publish()
        await self._recorder.finish(recording, self._draft_end(closing))
        self._is_over.set()

    async def _answer(self) -> ReplyEvent:
        """Recall, have the model answer, and store its reply; the result event. Raises AnnalsError."""
        recalled = await run_sync(self._store.recall, self._request, self._started)
        context = context_event(recalled)
        self._opening.append(context)
        self._recorder.set_context(context.data)
        self._notify_followers()
        prompt = build_prompt(self._request.turn.instructions, recalled, self._request.message_for_model)
        failure = await self._listen(prompt)
        if failure:
            raise await self._store_partial_reply(failure)
        if not self._is_reply:
            reason = f" ({self._finished.reason})" if self._finished.reason else ""
            raise StreamEmpty(f"The chat model's reply was empty{reason}. The user's message is kept.")
        if early_end := self._early_end():
            raise await self._store_partial_reply(early_end, self._finished.reason)
        try:
            stored = await self._commit(self._new_reply(self._finished.reason, incomplete=self._is_at_limit))
        except EntryTooLarge:
            raise await self._store_partial_reply(_too_large()) from None
        return result_event(stored, self._usage, self._finished.reason)

    @property
    def _is_reply(self) -> bool:
        """Whether the model said something: words, or calls of tools."""
        return self._reply.has_text or has_more_than_text(self._finished.parts)

    @property
    def _is_at_limit(self) -> bool:
        """Whether the model stopped at a limit, with more to say."""
        return ending_of(self._finished.reason) == "limit"

    def _early_end(self) -> AnnalsError | None:
        """What went wrong, where the model says of itself that it did not come to the reply's end."""
        ending = ending_of(self._finished.reason)
        if ending == "filtered":
            return StreamFailed("The chat model's content filter ended the reply.")
        return StreamFailed(f"The chat model's reply failed ({self._finished.reason}).") if ending == "failed" else None

    async def _listen(self, prompt: Prompt) -> AnnalsError | None:
        """Listen to the model until it ends, fails, or is cut short; what went wrong, if anything did."""
        try:
            async with asyncio.timeout(0 if self._is_cut_short else None) as self._model_timeout:
                return await self._collect(prompt)
        except ChatUnavailable as failure:
            if isinstance(failure, ReplyBrokeOff):
                self._finished = Finished(None, parts=failure.parts)
            return StreamFailed(failure.detail)
        except TimeoutError:
            return StreamFailed("Annals was stopped before the reply's end.")
        except Exception as failure:
            logger.exception("The chat model of stream %s failed", self._draft.stream_id)
            return StreamFailed(f"The chat model failed in an unknown way ({type(failure).__name__}).")
        finally:
            self._model_timeout = None

    async def _collect(self, prompt: Prompt) -> AnnalsError | None:
        """Collect what the model says, and pass it on at once; what went wrong, if anything did."""
        pieces = self._model.stream(prompt.messages, instructions=prompt.instructions, model=self._request.turn.model)
        limits, characters = self._limits, 0
        async with aclosing(paced(pieces, stall_s=limits.stall_s, total_s=limits.total_s)) as timely:
            async for piece in timely:
                if isinstance(piece, Finished):
                    self._finished = piece
                    continue
                characters += len(piece)
                self._reply.pieces.extend(split_into_deltas(piece))
                self._notify_followers()
                if characters > MAX_ENTRY_BYTES:
                    return _too_large()
        return None

    async def _store_partial_reply(self, failure: AnnalsError, reason: str | None = None) -> AnnalsError:
        """Store what came of the reply, if anything did and the caller wants that; the error with what was done.

        ``reason`` is the model's, where it is by the model that there is no more of the reply.
        """
        if self._request.turn.on_failure == "keep" and self._is_reply:
            await self._commit(self._new_reply(reason, incomplete=True))
            return type(failure)(f"{failure.detail} What came of the reply is kept, marked incomplete.")
        return type(failure)(f"{failure.detail} The user's message is kept, the reply is not.")

    def _new_reply(self, reason: str | None, *, incomplete: bool) -> NewReply:
        return NewReply(self._reply.text, self._finished.parts, reason, incomplete)

    async def _commit(self, reply: NewReply) -> StoredReply:
        """Store the reply, then the turn's facts.

        Raises StreamFailed where another request ended the turn, as it took this process for dead.
        """
        masked = await run_sync(_mask, reply)
        stored = await run_sync(self._store.commit, self._draft, masked)
        self._stored_ids = stored.remembered["conversation"]["messageIds"]
        # Of a text that is beside the entry, the message has the beginning.
        is_other = stored.broke_off or not masked.text.startswith(stored.text or "")
        if is_other and not reply.broke_off:
            raise StreamFailed("The reply took so long that another request ended it. What came until then is kept.")
        # A turn that breaks off between reply and facts is ended as not stored: a repeated request stores its facts.
        self._lacks_facts = True
        stored = await run_sync(self._store.store_facts, self._draft, stored)
        self._lacks_facts = False
        self._facts_problem = stored.remembered.get("factsProblem")
        return replace(stored, whole_text=masked.text)

    def _error_event(self, refusal: AnnalsError) -> ReplyEvent:
        if isinstance(refusal, ConversationErased):
            self._stored_ids = []
        return error_event(refusal, self._request.request_id, self._draft.conversation_id, self._stored_ids)

    @property
    def _usage(self) -> dict[str, int | None] | None:
        return self._finished.usage.present() if self._finished.usage else None

    def _draft_end(self, closing: ReplyEvent) -> DraftEnd:
        failed = closing.name == "error"
        return DraftEnd(
            last=self._reply.last,
            error=closing.data if failed else None,
            stored=len(self._stored_ids) > 1 and not self._lacks_facts,
            usage=self._usage,
            reason=self._finished.reason,
            facts_problem=self._facts_problem,
        )

    async def _wait(self, idle_s: float) -> bool:
        """Wait until something is new; whether anything is, before ``idle_s`` seconds are over."""
        self._wakeup = self._wakeup or asyncio.Event()
        try:
            async with asyncio.timeout(idle_s):
                return await self._wakeup.wait()
        except TimeoutError:
            return False

    def _notify_followers(self) -> None:
        """Wake the followers who wait. They share one event, which is set once and then thrown away."""
        if self._wakeup:
            self._wakeup.set()
            self._wakeup = None


def _mask(reply: NewReply) -> NewReply:
    return replace(reply, text=mask(reply.text), parts=mask_all(reply.parts))


def _too_large() -> ReplyTooLarge:
    return ReplyTooLarge(f"The reply is longer than the {MAX_ENTRY_BYTES} bytes that an entry holds.")
