"""A turn whose reply a model streams: the user's message is stored before the first word, the reply after the last.

The model is listened to by a task of its own. Whoever follows the turn may go away; the turn is stored all the same.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from anyio.to_thread import run_sync

from annals.access.caller import Caller
from annals.errors import AnnalsError, ChatUnavailable, StreamEmpty, StreamFailed
from annals.http import problems
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.models import Remembered, RememberStream
from annals.memory.prompt import Prompt, Recalled, prompt
from annals.models.chat import ChatModel, Finished, Usage, paced

logger = logging.getLogger("annals")


@dataclass(frozen=True)
class StreamRequest:
    """A turn to be streamed, and for whom. ``request_id`` is what problem details name."""

    caller: Caller
    turn: RememberStream
    idempotent: IdempotentRequest | None = None
    request_id: str = ""


@dataclass(frozen=True)
class StoredReply:
    """A reply in the ledger, and what is stored of its whole turn, both messages."""

    text: str
    incomplete: bool
    remembered: Remembered


@dataclass(frozen=True)
class StoredUserMessage:
    """The user's message, in the ledger, as the API shows it.

    ``answer`` is the reply that an earlier request with the same Idempotency-Key led to; the model is not asked again.
    """

    conversation_id: str
    message: Mapping[str, Any]
    answer: StoredReply | None = None


class TurnStore(Protocol):
    """Where turns are kept. Its methods block; they are called in threads, one after another for one turn."""

    def begin(self, request: StreamRequest) -> StoredUserMessage:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        ...

    def recall(self, request: StreamRequest, begun: StoredUserMessage) -> Recalled:
        """Find what the model should know. A search that is out of order is no reason to fail."""
        ...

    def commit(
        self, request: StreamRequest, begun: StoredUserMessage, text: str, *, incomplete: bool, usage: Usage | None
    ) -> Remembered:
        """Store the reply; what is now stored of the whole turn, both messages. Raises AnnalsError."""
        ...


@dataclass(frozen=True)
class Event:
    """What the followers of a turn are told. Deltas have numbers, from 1."""

    name: Literal["start", "context", "delta", "result", "error"]
    data: Mapping[str, Any]
    number: int | None = None


@dataclass(frozen=True)
class Limits:
    """The longest silence of a model, and the longest that one reply may take, in seconds."""

    stall_s: float = 120.0
    total_s: float = 840.0


class StreamedTurns:
    """The turns under way in this process.

    Parameters
    ----------
    store : where turns are kept
    model : who replies
    limits : how long a model may take
    """

    def __init__(self, store: TurnStore, model: ChatModel, limits: Limits = Limits()) -> None:
        self._store = store
        self._model = model
        self._limits = limits
        self._under_way: dict[asyncio.Task[None], Turn] = {}

    async def begin(self, request: StreamRequest) -> Turn:
        """Store the user's message and let the model answer it.

        Raises
        ------
        AnnalsError : the message was refused; nothing is stored, and there is no turn to follow
        """
        begun = await run_sync(self._store.begin, request)
        turn = Turn(self._store, self._model, self._limits, request, begun)
        task = asyncio.create_task(turn.run())
        self._under_way[task] = turn
        task.add_done_callback(self._under_way.pop)
        return turn

    async def finish(self, patience_s: float) -> None:
        """Wait until all turns are stored; after ``patience_s`` seconds, models are cut short."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_s)
        for turn in self._under_way.values():
            turn.cut_short()
        if self._under_way:
            await asyncio.wait(self._under_way)


class Turn:
    """One turn: what happened so far, and what happens next. Any number may follow it, from the beginning."""

    def __init__(
        self, store: TurnStore, model: ChatModel, limits: Limits, request: StreamRequest, begun: StoredUserMessage
    ) -> None:
        self.stream_id = f"stream-{secrets.token_hex(12)}"
        self._store = store
        self._model = model
        self._limits = limits
        self._request = request
        self._begun = begun
        self._stored_ids = [begun.message["messageId"]]
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._is_over = False
        self._is_cut_short = False
        self._listening: asyncio.Timeout | None = None

    @property
    def is_repeated(self) -> bool:
        """Whether an earlier request stored all of it."""
        return self._begun.answer is not None

    async def events(self, idle_s: float) -> AsyncIterator[Event | None]:
        """The turn's events, from first to last, as they happen; None after ``idle_s`` seconds without one."""
        told = 0
        while told < len(self._events) or not self._is_over:
            if told < len(self._events):
                yield self._events[told]
                told += 1
                continue
            try:
                async with asyncio.timeout(idle_s):
                    await self._news.wait()
            except TimeoutError:
                yield None

    def cut_short(self) -> None:
        """Listen to the model no longer; what came is kept or discarded, as the caller asked for failures."""
        self._is_cut_short = True
        if self._listening:
            self._listening.reschedule(0)

    async def run(self) -> None:
        """Recall, listen, store. Whatever happens, the last event says what is stored."""
        try:
            await self._answer()
        except AnnalsError as refusal:
            self._refuse(refusal)
        except Exception as failure:
            logger.exception("Stream %s failed", self.stream_id)
            self._refuse(problems.from_aws(failure))
        finally:
            self._is_over = True
            self._news.set()

    async def _answer(self) -> None:
        turn, conversation_id = self._request.turn, self._begun.conversation_id
        start = {"streamId": self.stream_id, "conversationId": conversation_id, "message": self._begun.message}
        self._tell(Event("start", start))
        if self._begun.answer:
            self._repeat(self._begun.answer)
            return
        recalled = await run_sync(self._store.recall, self._request, self._begun)
        self._tell(Event("context", _context(recalled)))
        reply = await self._listen(prompt(turn.instructions, recalled, turn.user_message))
        if reply.failure:
            raise await self._failed(reply, reply.failure)
        if not reply.says_something:
            raise StreamEmpty(f"The chat model's reply was empty ({reply.reason}). The user's message is kept.")
        stored = await self._commit(reply, incomplete=False)
        self._tell(Event("result", _result(reply, stored)))

    def _repeat(self, answer: StoredReply) -> None:
        """Tell again what an earlier request was told, the reply in one piece."""
        self._tell(Event("context", _context(Recalled())))
        self._tell(Event("delta", {"text": answer.text}, number=1))
        self._stored_ids = answer.remembered["conversation"]["messageIds"]
        if answer.incomplete:
            raise StreamFailed("The first request with this Idempotency-Key failed. What came of the reply is kept.")
        self._tell(Event("result", _result(_Reply([answer.text]), answer.remembered)))

    async def _listen(self, shown: Prompt) -> _Reply:
        """Listen to the model until it ends, fails, or is cut short."""
        reply = _Reply()
        try:
            async with asyncio.timeout(0 if self._is_cut_short else None) as self._listening:
                await self._pass_on(shown, reply)
        except ChatUnavailable as failure:
            reply.failure = failure
        except TimeoutError:
            reply.failure = ChatUnavailable("Annals was stopped before the reply's end.")
        finally:
            self._listening = None
        return reply

    async def _pass_on(self, shown: Prompt, reply: _Reply) -> None:
        """Collect what the model says, and tell it at once."""
        pieces = self._model.stream(shown.messages, instructions=shown.instructions, model=self._request.turn.model)
        limits = self._limits
        async with aclosing(paced(pieces, stall_s=limits.stall_s, total_s=limits.total_s)) as timely:
            async for piece in timely:
                if isinstance(piece, Finished):
                    reply.finished = piece
                elif piece:
                    reply.pieces.append(piece)
                    self._tell(Event("delta", {"text": piece}, number=len(reply.pieces)))

    async def _failed(self, reply: _Reply, failure: ChatUnavailable) -> StreamFailed:
        """Keep what came, if the caller wants that and anything did; the error to tell."""
        if self._request.turn.on_failure == "keep" and reply.says_something:
            await self._commit(reply, incomplete=True)
            return StreamFailed(f"{failure.detail} What came of the reply is kept, marked incomplete.")
        return StreamFailed(f"{failure.detail} The user's message is kept, the reply is not.")

    async def _commit(self, reply: _Reply, *, incomplete: bool) -> Remembered:
        store = partial(self._store.commit, incomplete=incomplete, usage=reply.usage)
        stored = await run_sync(store, self._request, self._begun, reply.text)
        self._stored_ids = stored["conversation"]["messageIds"]
        return stored

    def _refuse(self, refusal: AnnalsError) -> None:
        stored = {"conversationId": self._begun.conversation_id, "messageIds": self._stored_ids}
        details = problems.problem(refusal, self._request.request_id)
        self._tell(Event("error", {**details, "stored": stored}))

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        news, self._news = self._news, asyncio.Event()
        news.set()


@dataclass
class _Reply:
    """What came of a reply. ``failure`` is why it broke off, if it did."""

    pieces: list[str] = field(default_factory=list)
    finished: Finished | None = None
    failure: ChatUnavailable | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def says_something(self) -> bool:
        return any(not piece.isspace() for piece in self.pieces)

    @property
    def reason(self) -> str:
        return self.finished.reason if self.finished else "unknown"

    @property
    def usage(self) -> Usage | None:
        return self.finished.usage if self.finished else None


def _context(recalled: Recalled) -> dict[str, Any]:
    ids = list(recalled.memory_ids)
    return {"memoryIds": ids, "historyCount": len(recalled.history), "tokenEstimate": recalled.tokens}


def _result(reply: _Reply, stored: Remembered) -> dict[str, Any]:
    usage = reply.usage
    tokens = {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens} if usage else None
    return {**stored, "fullResponse": reply.text, "usage": tokens, "finishReason": reply.reason}
