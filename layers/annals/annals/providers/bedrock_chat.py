"""Chat with any model on Bedrock, through ConverseStream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from annals.errors import ChatUnavailable
from annals.formats.streams.bedrock import BedrockReply
from annals.formats.streams.failures import SourceFailed, UnknownChunk
from annals.formats.streams.reply import ReplyReader
from annals.providers.bedrock import FAILURES, failure_detail
from annals.providers.chat import ChatMessage, Finished, Pieces, ReplyBrokeOff, Usage

DEFAULT_MODEL = "amazon.nova-lite-v1:0"
OPENING = "(The conversation so far.)"
"""Stands before a conversation that the model began: Converse wants the first message to be the user's."""


class ConverseClient(Protocol):
    """The one operation of the Bedrock runtime that chat needs."""

    def converse_stream(self, **request: Any) -> Any:
        """Answers with ``{"stream": <iterable of events, with close()>}``."""
        ...


class BedrockChat:
    """A chat model on Bedrock. Its client is blocking, so each reply is read in a thread, one event at a time."""

    def __init__(self, client: ConverseClient, model: str = DEFAULT_MODEL, *, think_tags: bool = True) -> None:
        self._client = client
        self._think_tags = think_tags
        self._model = model

    @property
    def model(self) -> str:
        """The model's id, or the ARN of its inference profile."""
        return self._model

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        """Stream the reply; see ChatModel.stream."""
        request = _request(messages, instructions, model or self._model)
        thread = CapacityLimiter(1)
        reply = ReplyReader(think_tags=self._think_tags, kind=BedrockReply)
        try:
            with _as_unavailable():
                begin = partial(self._client.converse_stream, **request)
                answer = await run_sync(begin, limiter=thread, abandon_on_cancel=True)
                try:
                    events = iter(answer["stream"])
                    while event := await run_sync(next, events, None, limiter=thread, abandon_on_cancel=True):
                        # A delta without text is a sign of life.
                        if (text := reply.take(event)) or "contentBlockDelta" in event:
                            yield text
                finally:
                    answer["stream"].close()
        except ChatUnavailable as failure:
            if rest := reply.end():
                yield rest
            raise ReplyBrokeOff(failure.detail, reply.parts) from failure
        if rest := reply.end():
            yield rest
        if reply.finish_reason is None:
            raise ReplyBrokeOff("Bedrock's stream broke off before the reply's end.", reply.parts)
        yield Finished(reply.finish_reason, Usage.of(reply.usage), reply.parts)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except FAILURES as failure:
        raise ChatUnavailable(failure_detail("Chat on Bedrock", failure)) from failure
    except SourceFailed as failure:
        raise ChatUnavailable(str(failure)) from failure
    except UnknownChunk as failure:
        raise ChatUnavailable("Bedrock sent an event of an unknown shape.") from failure


def _request(messages: Sequence[ChatMessage], instructions: str | None, model: str) -> dict[str, Any]:
    request: dict[str, Any] = {"modelId": model, "messages": _alternating(messages)}
    if instructions:
        request["system"] = [{"text": instructions}]
    return request


def _alternating(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The messages as Converse takes them: the user's first, and never two of one role in a row."""
    turns: list[dict[str, Any]] = []
    if messages[0].role == "assistant":
        turns.append({"role": "user", "content": [{"text": OPENING}]})
    for message in messages:
        if not turns or turns[-1]["role"] != message.role:
            turns.append({"role": message.role, "content": []})
        turns[-1]["content"].append({"text": message.content})
    return turns
