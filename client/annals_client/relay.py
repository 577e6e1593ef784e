"""Passing a model's reply on while it comes, and storing the turn: for callers who run the model themselves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from inspect import isawaitable
from types import TracebackType
from typing import Any, Generic, TypeVar

from typing_extensions import Self

from annals_client.chunks import Reply
from annals_client.embeddings import Embedded, embed, embed_async
from annals_client.errors import AnnalsError
from annals_client.events import Result
from annals_client.following import Outcome
from annals_client.formats.streams.failures import UnknownChunk
from annals_client.models import Remembered
from annals_client.own_turn import Extracted, Hooks, OwnTurn, require_facts
from annals_client.senders import AsyncSender, Sender

logger = logging.getLogger("annals_client")

C = TypeVar("C")

END = object()


class Relay(Generic[C]):
    """A reply on its way: iterate it for the model's own chunks, unchanged.

    The user's message is stored before the first chunk is passed on, and the reply after the last one. A first chunk of
    a kind that nobody knows is a TypeError, and nothing is stored; with ``text_of`` any chunk is known, and the user's
    message is stored before the first one is asked for. A reply that is left before its end, by ``close`` or the end of
    a ``with`` block, counts as broken off. One that is never iterated, and whose ``result`` nobody asks for, is not
    stored, and warns.
    """

    def __init__(self, sender: Sender, source: Iterable[C], turn: OwnTurn, reply: Reply, hooks: Hooks) -> None:
        self._sender = sender
        self._source = source
        self._turn = turn
        self._reply = reply
        self._hooks = hooks
        self._question = Embedded()
        self._chunks = self._pass_on()
        self._outcome = Outcome("nothing is stored")

    @property
    def text(self) -> str:
        """What came of the reply so far."""
        return self._reply.text

    def result(self) -> Result:
        """What is stored of the turn, once its reply is over, for which this waits. Raises what iterating raises."""
        for _ in self:
            pass
        return self._outcome.require()

    def __iter__(self) -> Iterator[C]:
        return self

    def __next__(self) -> C:
        self._outcome.begin()
        with self._outcome.noting_failure():
            return next(self._chunks)

    def _pass_on(self) -> Generator[C, None, None]:
        chunks = iter(self._source)
        chunk, begun = self._begin_with(chunks)
        try:
            while chunk is not END:
                self._reply.take(chunk)
                self._tell(self._hooks.on_chunk, chunk)
                self._tell(self._hooks.on_progress, self._reply.progress)
                yield chunk
                chunk = next(chunks, END)
            self._reply.end()
        except BaseException as failure:
            self._break_off(begun, failure)
            raise
        self._complete(begun)

    def _begin_with(self, chunks: Iterator[Any]) -> tuple[Any, Remembered]:
        """The first chunk, and the user's message, which is stored once that chunk is known to be one that can be read.

        Where that is known anyway, the user's message is stored before the chunk is asked for.
        """
        begun = self._begin() if self._reply.is_readable else None
        try:
            chunk: Any = next(chunks, END)
        except BaseException as failure:
            self._break_off(begun or self._begin(), failure)
            raise
        try:
            if chunk is not END:
                self._reply.require_readable(chunk)
        except UnknownChunk:
            _close(self._source)
            raise
        return chunk, begun or self._begin()

    def _begin(self) -> Remembered:
        """Store the user's message. Raises AnnalsError, and asks for no more chunks then."""
        try:
            self._question = embed(self._turn.generate_embedding, self._turn.words)
            return self._sender.run(self._turn.begin(self._question))
        except BaseException:
            _close(self._source)
            raise

    def _complete(self, begun: Remembered) -> None:
        try:
            embedded = self._question.then(embed(self._turn.generate_embedding, self._reply.text))
            result = self._sender.run(self._turn.complete(begun, self._reply, self._extract(), embedded))
        except AnnalsError as failure:
            self._tell(self._hooks.on_error, failure)
            raise
        self._outcome.result = result
        self._tell(self._hooks.on_complete, result)

    def _extract(self) -> Extracted | None:
        """The facts that the caller's function finds in a whole reply; it is called once."""
        extract, reader = self._turn.extractor, self._reply.reader
        if extract is None or reader.is_cut or not reader.has_words:
            return None
        try:
            found: Any = extract(self._turn.words, self._reply.text)
            return Extracted(require_facts(found or ()))
        except Exception as failure:
            logger.exception("extract_facts failed")
            return Extracted(problem=f"extract_facts raised {type(failure).__name__}: {failure}")

    def _break_off(self, begun: Remembered, failure: BaseException) -> None:
        """Store what came. Raises StreamFailed, unless it was the caller who broke off."""
        _close(self._source)
        error = self._sender.run(self._turn.break_off(begun, self._reply, failure))
        self._tell(self._hooks.on_error, error)
        if isinstance(failure, Exception):
            raise error from failure

    def _tell(self, hook: Callable[[Any], Any] | None, news: Any) -> None:
        try:
            if hook:
                hook(news)
        except Exception:
            logger.exception("A hook of a streamed reply failed")

    def close(self) -> None:
        """Ask for no more chunks."""
        self._outcome.begin()
        self._chunks.close()

    def __del__(self) -> None:
        self._outcome.warn_unless_begun(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRelay(Generic[C]):
    """A reply on its way, for asyncio; see Relay. A hook may be a coroutine function."""

    def __init__(
        self,
        sender: AsyncSender,
        source: AsyncIterable[C] | Iterable[C],
        turn: OwnTurn,
        reply: Reply,
        hooks: Hooks,
    ) -> None:
        self._sender = sender
        self._source = source
        self._turn = turn
        self._reply = reply
        self._hooks = hooks
        self._question = Embedded()
        self._chunks = self._pass_on()
        self._outcome = Outcome("nothing is stored")

    @property
    def text(self) -> str:
        """What came of the reply so far."""
        return self._reply.text

    async def result(self) -> Result:
        """What is stored of the turn, once its reply is over, for which this waits. Raises what iterating raises."""
        async for _ in self:
            pass
        return self._outcome.require()

    def __await__(self) -> Generator[Any, None, Result]:
        return self.result().__await__()

    def __aiter__(self) -> AsyncIterator[C]:
        return self

    async def __anext__(self) -> C:
        self._outcome.begin()
        with self._outcome.noting_failure():
            return await anext(self._chunks)

    async def _pass_on(self) -> AsyncGenerator[C, None]:
        chunks = each(self._source)
        chunk, begun = await self._begin_with(chunks)
        try:
            while chunk is not END:
                self._reply.take(chunk)
                await self._tell(self._hooks.on_chunk, chunk)
                await self._tell(self._hooks.on_progress, self._reply.progress)
                yield chunk
                chunk = await anext(chunks, END)
            self._reply.end()
        except BaseException as failure:
            await chunks.aclose()
            await self._break_off(begun, failure)
            raise
        await self._complete(begun)

    async def _begin_with(self, chunks: AsyncGenerator[Any, None]) -> tuple[Any, Remembered]:
        """The first chunk, and the user's message; see ``Relay._begin_with``."""
        begun = await self._begin() if self._reply.is_readable else None
        try:
            chunk: Any = await anext(chunks, END)
        except BaseException as failure:
            await self._break_off(begun or await self._begin(), failure)
            raise
        try:
            if chunk is not END:
                self._reply.require_readable(chunk)
        except UnknownChunk:
            await chunks.aclose()
            await self._close_source()
            raise
        return chunk, begun or await self._begin()

    async def _begin(self) -> Remembered:
        """Store the user's message. Raises AnnalsError, and asks for no more chunks then."""
        try:
            self._question = await embed_async(self._turn.generate_embedding, self._turn.words)
            return await self._sender.run(self._turn.begin(self._question))
        except BaseException:
            await self._close_source()
            raise

    async def _complete(self, begun: Remembered) -> None:
        try:
            embedded = self._question.then(await embed_async(self._turn.generate_embedding, self._reply.text))
            result = await self._sender.run(self._turn.complete(begun, self._reply, await self._extract(), embedded))
        except AnnalsError as failure:
            await self._tell(self._hooks.on_error, failure)
            raise
        self._outcome.result = result
        await self._tell(self._hooks.on_complete, result)

    async def _extract(self) -> Extracted | None:
        """The facts that the caller's function finds in a whole reply; see ``Relay._extract``."""
        extract, reader = self._turn.extractor, self._reply.reader
        if extract is None or reader.is_cut or not reader.has_words:
            return None
        try:
            found: Any = extract(self._turn.words, self._reply.text)
            if isawaitable(found):
                found = await found
            return Extracted(require_facts(found or ()))
        except Exception as failure:
            logger.exception("extract_facts failed")
            return Extracted(problem=f"extract_facts raised {type(failure).__name__}: {failure}")

    async def _break_off(self, begun: Remembered, failure: BaseException) -> None:
        """Store what came. Raises StreamFailed, unless it was the caller who broke off."""
        await self._close_source()
        error = await self._sender.run(self._turn.break_off(begun, self._reply, failure))
        await self._tell(self._hooks.on_error, error)
        if isinstance(failure, Exception):
            raise error from failure

    async def _close_source(self) -> None:
        if isawaitable(closing := _close(self._source)):
            with suppress(Exception):
                await closing

    async def _tell(self, hook: Callable[[Any], Any] | None, news: Any) -> None:
        try:
            if hook and isawaitable(result := hook(news)):
                await result
        except Exception:
            logger.exception("A hook of a streamed reply failed")

    async def close(self) -> None:
        """Ask for no more chunks."""
        self._outcome.begin()
        await self._chunks.aclose()

    def __del__(self) -> None:
        self._outcome.warn_unless_begun(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def each(source: AsyncIterable[C] | Iterable[C]) -> AsyncGenerator[C, None]:
    """What a source gives. One that is not asynchronous waits in a thread, so that nobody else has to wait."""
    if isinstance(source, AsyncIterable):
        async for chunk in source:
            yield chunk
    elif isinstance(source, Sequence):
        for chunk in source:
            yield chunk
    else:
        waiting: Iterator[Any] = iter(source)
        while (chunk := await asyncio.to_thread(_next, waiting)) is not END:
            yield chunk


def _next(waiting: Iterator[Any]) -> Any:
    return next(waiting, END)


def require_stream(source: object, *kinds: type) -> None:
    """Raise TypeError for what is no stream of chunks, or of another kind than these."""
    if isinstance(source, str | bytes | bytearray | Mapping) or not isinstance(source, kinds):
        kinds_text = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"response_stream must be an {kinds_text} of chunks, not {type(source).__name__}")


def _close(source: object) -> Any:
    """Close a source, where it can be closed; what is to be awaited of that, or None."""
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    with suppress(Exception):
        return close() if close else None
    return None
