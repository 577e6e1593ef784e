"""Chat with any OpenAI-compatible ``/v1/chat/completions``, streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from annals.errors import ChatUnavailable
from annals.formats.streams.failures import SourceFailed, UnknownChunk
from annals.formats.streams.openai_chat import OpenAIChatReply
from annals.formats.streams.reply import ReplyReader
from annals.formats.streams.sse import read_events
from annals.providers.chat import ChatMessage, Finished, Pieces, ReplyBrokeOff, Usage
from annals.providers.openai_http import ERROR_CHARACTERS, endpoint, refusal_detail
from annals.providers.sse import event_data
from annals.retries import Backoff
from annals.secret import ApiKey, SecretUnreadable

MAX_STREAM_CHARS = 64_000_000
"""How long a stream may be, thinking and calls of tools included; far more than a reply that an entry holds."""

NOT_STARTED = frozenset({429, 502, 503, 504})
"""Statuses that say that no reply was begun, so that another try costs nothing."""


class OpenAIChat:
    """A chat model behind HTTP.

    Parameters
    ----------
    url : the endpoint's base, ``http://…/v1``
    model : the model's name
    connect_s : seconds to wait for a connection
    silence_s : seconds to wait for the next bytes
    think_tags : whether what stands between ``<think>`` and ``</think>`` is thinking, and no text
    settings : the prefix of its settings' names, for the details of failures
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: ApiKey,
        connect_s: float = 10.0,
        silence_s: float = 120.0,
        think_tags: bool = True,
        settings: str = "CHAT",
        backoff: Backoff = Backoff(attempts=3),  # noqa: B008 - frozen
    ) -> None:
        self._url = endpoint(url, "chat/completions")
        self._model = model
        self._key = key
        self._think_tags = think_tags
        self._settings = settings
        self._backoff = backoff
        self._timeout = httpx.Timeout(silence_s, connect=connect_s)
        self._tls = httpx.create_ssl_context()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        """Stream the reply; see ChatModel.stream."""
        request = _request(messages, instructions, model or self._model)
        reply = _Reply(self._think_tags)
        try:
            async with self._answer(request) as response:
                async for data in _data(response):
                    yield reply.take(data)
                    if reply.is_done:
                        break
        except ChatUnavailable as failure:
            if rest := reply.reader.end():
                yield rest
            raise ReplyBrokeOff(failure.detail, reply.reader.parts) from failure
        if rest := reply.reader.end():
            yield rest
        yield reply.finished()

    @asynccontextmanager
    async def _answer(self, request: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """The response, once it began. It has a connection of its own: those of another event loop cannot be used."""
        try:
            async with httpx.AsyncClient(timeout=self._timeout, verify=self._tls) as http:
                response = await self._post(http, request)
                try:
                    yield response
                finally:
                    await response.aclose()
        except SecretUnreadable as failure:
            raise ChatUnavailable(str(failure)) from failure
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            detail = f"The chat model does not answer ({type(failure).__name__}); see {self._settings}_URL."
            raise ChatUnavailable(detail) from failure
        except UnicodeDecodeError as failure:
            raise ChatUnavailable("The chat model sent something that is not UTF-8.") from failure

    async def _post(self, http: httpx.AsyncClient, request: dict[str, Any]) -> httpx.Response:
        """Post until the answer is 200. Raises ChatUnavailable for a refusal, after the last try if it may pass."""
        attempt = 0
        headers = await asyncio.to_thread(self._key.headers)
        while True:
            try:
                outgoing = http.build_request("POST", self._url, json=request, headers=headers)
                response = await http.send(outgoing, stream=True)
            except httpx.ConnectError:
                if self._backoff.is_last(attempt):
                    raise
                await asyncio.sleep(self._backoff.pause_s(attempt))
            else:
                if response.status_code == 200:
                    return response
                await response.aread()
                if response.status_code == 401 and (other := await self._other_key(headers)):
                    headers = other
                    continue
                if response.status_code not in NOT_STARTED or self._backoff.is_last(attempt):
                    key_setting = f"{self._settings}_API_KEY"
                    detail = refusal_detail("The chat model", response.status_code, response.content, key_setting)
                    raise ChatUnavailable(detail)
                await asyncio.sleep(self._backoff.pause_s(attempt, response.headers.get("Retry-After")))
            attempt += 1

    async def _other_key(self, refused: dict[str, str]) -> dict[str, str] | None:
        return await asyncio.to_thread(self._key.headers_instead_of, refused)


async def _data(response: httpx.Response) -> AsyncIterator[str]:
    """The chunks of a stream, as JSON texts; the one of a server that does not stream, and answers at once."""
    if not response.headers.get("content-type", "").startswith("application/json"):
        async for data in event_data(response.aiter_bytes()):
            yield data
        return
    body = await response.aread()
    if body.lstrip().startswith(b"{"):
        yield body.decode()
        return
    for event in read_events(body):
        yield event.data


class _Reply:
    """A reply as the events of its stream say it."""

    def __init__(self, think_tags: bool) -> None:
        self.reader = ReplyReader(think_tags=think_tags, kind=OpenAIChatReply)
        self.is_done = False
        self._characters = 0

    def take(self, data: str) -> str:
        """The text of an event, empty for a sign of life. Raises ChatUnavailable."""
        self._characters += len(data)
        if self._characters > MAX_STREAM_CHARS:
            raise ChatUnavailable(f"The chat model's stream is longer than {MAX_STREAM_CHARS} characters.")
        if data.strip() == "[DONE]":
            self.is_done = True
            return ""
        chunk = _chunk(data)
        try:
            return "" if chunk is None else self.reader.take(chunk)
        except SourceFailed as failure:
            reason = failure.reason[:ERROR_CHARACTERS]
            raise ChatUnavailable("The chat model broke off" + (f": {reason}" if reason else ".")) from failure
        except UnknownChunk as failure:
            raise ChatUnavailable("The chat model sent a chunk of an unknown shape.") from failure

    def finished(self) -> Finished:
        """The end of the reply. Raises ReplyBrokeOff if the stream ended before it."""
        reader = self.reader
        if reader.finish_reason is None and not self.is_done:
            detail = "The chat model's stream broke off before the reply's end."
            raise ReplyBrokeOff(detail, reader.parts)
        return Finished(reader.finish_reason, Usage.of(reader.usage), reader.parts)


def _chunk(data: str) -> Mapping[str, Any] | None:
    """The chunk of an event; None where the server has nothing to say. Raises ChatUnavailable."""
    if not data.strip():
        return None
    try:
        chunk = json.loads(data)
    except ValueError as failure:
        raise ChatUnavailable("The chat model sent a chunk that is not JSON.") from failure
    if chunk is not None and not isinstance(chunk, dict):
        raise ChatUnavailable("The chat model sent a chunk of an unknown shape.")
    return chunk


def _request(messages: Sequence[ChatMessage], instructions: str | None, model: str) -> dict[str, Any]:
    system = [{"role": "system", "content": instructions}] if instructions else []
    conversation = [{"role": message.role, "content": message.content} for message in messages]
    return {
        "model": model,
        "messages": system + conversation,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
