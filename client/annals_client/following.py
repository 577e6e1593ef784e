"""Following a turn that the server's model answers, over as many connections as it takes; no event is given twice."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import Any, Protocol, TypeVar

import httpx
from typing_extensions import Self

from annals_client.calls import Call, Repeat, RequestSpec, Route, unexpected
from annals_client.errors import AnnalsError, ReplyNotStored, Stored, StreamFailed, stream_error
from annals_client.events import KINDS, Delta, Event, Frame, FrameReader, Result, Start
from annals_client.retries import Retries, Tries
from annals_client.senders import AsyncSender, Sender

E = TypeVar("E", covariant=True)

BEGIN = Route.of("POST /v1/memory/remember-stream")
RESUME = Route.of("GET /v1/memory/remember-stream/{streamId}")

SILENCE_S = 60.0
"""How long a stream may be silent; the server says every 15 s that it goes on."""


class StreamProgress:
    """How far a streamed turn has come, and the next call."""

    def __init__(self, request: RequestSpec, retries: Retries) -> None:
        self._begin = stream_call(BEGIN, request, Repeat.WITH_KEY)
        self._tries = Tries(retries, Repeat.WITH_KEY)
        self._frames = FrameReader()
        self._seen: set[str] = set()
        self._pieces: list[str] = []
        self._number = 0
        self._start: Start | None = None
        self.result: Result | None = None

    @property
    def text(self) -> str:
        """What came of the reply so far."""
        return "".join(self._pieces)

    def call(self) -> Call[None]:
        """The call that begins the turn, or goes on with it after the last piece."""
        self._frames = FrameReader()
        if self._start is None:
            return self._begin
        resumed = stream_call(RESUME, RequestSpec({"stream_id": self._start.stream_id}), Repeat.SAFELY)
        return resumed.with_header("Last-Event-ID", str(self._number)) if self._number else resumed

    def read(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in this chunk and are new. Raises AnnalsError; StreamFailed for an event that says so."""
        try:
            for frame in self._frames.read(chunk):
                self._tries.renew()
                if event := self._event(frame):
                    yield event
        except (ValueError, KeyError) as failure:
            raise unexpected(200, "The stream", failure) from failure

    def _event(self, frame: Frame) -> Event | None:
        if frame.name == "error":
            raise stream_error(frame.data, self.text)
        if frame.name == "delta":
            return self._delta(Delta(text=frame.data["text"], number=int(frame.id)))
        if frame.name == "start" and self._pieces:
            self._seen, self._pieces = set(), []
        if frame.name in self._seen or frame.name not in KINDS:
            return None
        self._seen.add(frame.name)
        event = KINDS[frame.name].model_validate(frame.data)
        if isinstance(event, Start):
            self._start = event
        elif isinstance(event, Result):
            self.result = event
        return event

    def _delta(self, delta: Delta) -> Delta | None:
        if delta.number <= self._number:
            return None
        self._number = delta.number
        self._pieces.append(delta.text)
        return delta

    def require_end(self) -> None:
        """Raise RequestError where the connection ended before the turn did."""
        if self.result is None:
            raise httpx.ReadError("the stream ended before the turn did")

    def pause_after(self, failure: httpx.RequestError | AnnalsError) -> float:
        """The seconds to wait before going on. Raises AnnalsError where there is no going on."""
        if isinstance(failure, StreamFailed | ReplyNotStored):
            raise failure
        try:
            return self._tries.pause_after(failure)
        except AnnalsError as refusal:
            if self._start is None:
                raise
            stored = Stored(self._start.conversation_id, (self._start.message.message_id,))
            raise StreamFailed(refusal.problem, stored, self.text) from refusal


class Followed(Protocol[E]):
    """How far a stream has come, and what its next call is."""

    @property
    def result(self) -> object | None:
        """What it ends with, once it has."""
        ...

    def call(self) -> Call[None]:
        """The call that begins, or goes on after what was read."""
        ...

    def read(self, chunk: bytes) -> Iterator[E]:
        """The events that end in this chunk and are new."""
        ...

    def require_end(self) -> None:
        """Raise RequestError where the connection ended before the stream did."""
        ...

    def pause_after(self, failure: httpx.RequestError | AnnalsError) -> float:
        """The seconds to wait before going on. Raises AnnalsError where there is no going on."""
        ...


def follow(sender: Sender, progress: Followed[E]) -> Generator[E, None, None]:
    """The events of a stream, over as many connections as it takes."""
    while progress.result is None:
        try:
            with sender.open(progress.call()) as response:
                for chunk in response.iter_bytes():
                    yield from progress.read(chunk)
            progress.require_end()
        except (httpx.RequestError, AnnalsError) as failure:
            sender.pause(progress.pause_after(failure))


async def follow_async(sender: AsyncSender, progress: Followed[E]) -> AsyncGenerator[E, None]:
    """The events of a stream, for asyncio; see ``follow``."""
    while progress.result is None:
        try:
            async with sender.open(progress.call()) as response:
                async for chunk in response.aiter_bytes():
                    for event in progress.read(chunk):
                        yield event
            progress.require_end()
        except (httpx.RequestError, AnnalsError) as failure:
            await sender.pause(progress.pause_after(failure))


class Outcome:
    """What came of a turn that is streamed, for those who ask for its result: that, or why there is none.

    Parameters
    ----------
    otherwise : what is so where nobody begins to iterate
    """

    def __init__(self, otherwise: str) -> None:
        self._otherwise = otherwise
        self._is_begun = False
        self._failure: BaseException | None = None
        self.result: Result | None = None

    def begin(self) -> None:
        """Note that somebody iterates it, or ends it."""
        self._is_begun = True

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Keep an exception that is raised meanwhile."""
        try:
            yield
        except (StopIteration, StopAsyncIteration):
            raise
        except BaseException as failure:
            self._failure = failure
            raise

    def require(self) -> Result:
        """The result. Raises what kept the turn from one; RuntimeError where it was left before its end."""
        if self.result is not None:
            return self.result
        raise self._failure or RuntimeError("The turn was left before its end: it has no result.")

    def warn_unless_begun(self, source: object) -> None:
        """Warn where nobody ever iterated it."""
        if not self._is_begun:
            how = "iterate it, await it (AsyncAnnals), or call result()"
            text = f"What remember_stream returned was never used, so {self._otherwise}: {how}."
            warnings.warn(text, RuntimeWarning, source=source, stacklevel=2)


def stream_call(route: Route, request: RequestSpec, repeat: Repeat) -> Call[None]:
    """A call whose answer is a stream of events."""
    return Call.of(route, request, lambda _: None, repeat).with_patience(SILENCE_S)


class TurnStream:
    """A turn that the server's model answers: iterate it for its events.

    A broken connection is taken up again after the last piece. A second Start says that the reply begins anew: the
    server's process died before any of it was stored. The turn is stored by the server, whether it is followed to its
    end or not. Iterating raises StreamFailed, and what the call itself may raise.
    """

    def __init__(self, sender: Sender, request: RequestSpec) -> None:
        self._sender = sender
        self._progress = StreamProgress(request, sender.connection.retries)
        self._outcome = Outcome("nothing was sent")
        self._events = self._follow()

    def result(self) -> Result:
        """What is stored of the turn, once it is over, for which this waits. Raises what iterating raises."""
        for _ in self:
            pass
        return self._outcome.require()

    @property
    def text(self) -> str:
        """What came of the reply so far."""
        return self._progress.text

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        self._outcome.begin()
        with self._outcome.noting_failure():
            return next(self._events)

    def texts(self) -> Iterator[str]:
        """The pieces of the reply."""
        return (event.text for event in self if isinstance(event, Delta))

    def _follow(self) -> Generator[Event, None, None]:
        yield from follow(self._sender, self._progress)
        self._outcome.result = self._progress.result

    def close(self) -> None:
        """Follow it no longer."""
        self._outcome.begin()
        self._events.close()

    def __del__(self) -> None:
        self._outcome.warn_unless_begun(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTurnStream:
    """A turn that the server's model answers, for asyncio; see TurnStream."""

    def __init__(self, sender: AsyncSender, request: RequestSpec) -> None:
        self._sender = sender
        self._progress = StreamProgress(request, sender.connection.retries)
        self._outcome = Outcome("nothing was sent")
        self._events = self._follow()

    async def result(self) -> Result:
        """What is stored of the turn, once it is over, for which this waits. Raises what iterating raises."""
        async for _ in self:
            pass
        return self._outcome.require()

    def __await__(self) -> Generator[Any, None, Result]:
        return self.result().__await__()

    @property
    def text(self) -> str:
        """What came of the reply so far."""
        return self._progress.text

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        self._outcome.begin()
        with self._outcome.noting_failure():
            return await anext(self._events)

    async def texts(self) -> AsyncIterator[str]:
        """The pieces of the reply."""
        async for event in self:
            if isinstance(event, Delta):
                yield event.text

    async def _follow(self) -> AsyncGenerator[Event, None]:
        async with aclosing(follow_async(self._sender, self._progress)) as events:
            async for event in events:
                yield event
        self._outcome.result = self._progress.result

    async def close(self) -> None:
        """Follow it no longer."""
        self._outcome.begin()
        await self._events.aclose()

    def __del__(self) -> None:
        self._outcome.warn_unless_begun(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
