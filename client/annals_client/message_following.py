"""Following a message while it is said, over as many connections as it takes; no piece is given twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType

import httpx
from typing_extensions import Self

from annals_client.calls import Call, Repeat, RequestSpec, Route, unexpected
from annals_client.errors import AnnalsError, to_error, to_problem
from annals_client.events import Frame, FrameReader
from annals_client.following import follow, follow_async, stream_call
from annals_client.models import DraftMessage, Message, Model
from annals_client.retries import Retries, Tries
from annals_client.senders import AsyncSender, Sender

FOLLOW = Route.of("GET /v1/conversations/{conversationId}/messages/{messageId}/stream")


class MessageStart(Model):
    """A message is being said. A second one says that the text begins anew: discard what came before."""

    conversation_id: str
    message: DraftMessage


class MessageDelta(Model):
    """What is new of the text."""

    text: str


class MessageResult(Model):
    """The message as it is stored; its content is the whole text, whatever of it came before."""

    conversation_id: str
    message: Message


MessageEvent = MessageStart | MessageDelta | MessageResult
"""What happens while a message is said."""

KINDS: dict[str, type[MessageEvent]] = {"start": MessageStart, "delta": MessageDelta, "result": MessageResult}


class MessageProgress:
    """How far a message has come, and the next call."""

    def __init__(self, request: RequestSpec, retries: Retries) -> None:
        self._request = request
        self._tries = Tries(retries, Repeat.SAFELY)
        self._frames = FrameReader()
        self._position = ""
        self._pieces: list[str] = []
        self._refusal: AnnalsError | None = None
        self.result: MessageResult | None = None

    @property
    def text(self) -> str:
        """What came of the text so far; at the end, all of it."""
        return self.result.message.content if self.result else "".join(self._pieces)

    def call(self) -> Call[None]:
        """The call that follows the message from where it is known."""
        self._frames = FrameReader()
        call = stream_call(FOLLOW, self._request, Repeat.SAFELY)
        return call.with_header("Last-Event-ID", self._position) if self._position else call

    def read(self, chunk: bytes) -> Iterator[MessageEvent]:
        """The events that end in this chunk. Raises AnnalsError, also for an event that says why nothing came of it."""
        try:
            for frame in self._frames.read(chunk):
                self._tries.renew()
                if event := self._event(frame):
                    yield event
        except (ValueError, KeyError) as failure:
            raise unexpected(200, "The stream", failure) from failure

    def _event(self, frame: Frame) -> MessageEvent | None:
        if frame.name == "error":
            self._refusal = to_error(to_problem(frame.data, status=0))
            raise self._refusal
        if frame.name not in KINDS:
            return None
        event = KINDS[frame.name].model_validate(frame.data)
        self._position = frame.id or self._position
        if isinstance(event, MessageStart):
            self._pieces = []
        elif isinstance(event, MessageDelta):
            self._pieces.append(event.text)
        else:
            self.result = event
        return event

    def require_end(self) -> None:
        """Raise RequestError where the connection ended before the message did."""
        if self.result is None:
            raise httpx.ReadError("the stream ended before the message did")

    def pause_after(self, failure: httpx.RequestError | AnnalsError) -> float:
        """The seconds to wait before going on. Raises AnnalsError where there is no going on."""
        if failure is self._refusal:
            raise failure
        return self._tries.pause_after(failure)


class MessageStream:
    """A message while it is said: iterate it for its events, the stored message last.

    A broken connection is taken up again after the last piece. Iterating raises NotFound where nothing comes of the
    message, Erased where it is gone, and what the call itself may raise.
    """

    def __init__(self, sender: Sender, request: RequestSpec) -> None:
        self._progress = MessageProgress(request, sender.connection.retries)
        self._events = follow(sender, self._progress)

    @property
    def result(self) -> MessageResult | None:
        """The message as it is stored, once it is."""
        return self._progress.result

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._progress.text

    def __iter__(self) -> Iterator[MessageEvent]:
        return self._events

    def close(self) -> None:
        """Follow it no longer."""
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncMessageStream:
    """A message while it is said, for asyncio; see MessageStream."""

    def __init__(self, sender: AsyncSender, request: RequestSpec) -> None:
        self._progress = MessageProgress(request, sender.connection.retries)
        self._events = follow_async(sender, self._progress)

    @property
    def result(self) -> MessageResult | None:
        """The message as it is stored, once it is."""
        return self._progress.result

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._progress.text

    def __aiter__(self) -> AsyncIterator[MessageEvent]:
        return self._events

    async def close(self) -> None:
        """Follow it no longer."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
