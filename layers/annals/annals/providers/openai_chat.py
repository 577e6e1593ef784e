"""Chat with any OpenAI-compatible ``/v1/chat/completions``, streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from annals.errors import ChatUnavailable
from annals.providers.chat import ChatMessage, Finished, Pieces, Usage
from annals.providers.openai_http import endpoint, error_text, refusal_detail
from annals.providers.sse import event_data
from annals.retries import Backoff
from annals.secret import ApiKey, SecretUnreadable

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
        settings: str = "CHAT",
        backoff: Backoff = Backoff(attempts=3),  # noqa: B008 - frozen
    ) -> None:
        self._url = endpoint(url, "chat/completions")
        self._model = model
        self._key = key
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
        reply = _ReplyReader()
        async with self._answer(request) as response:
            async for data in event_data(response.aiter_bytes()):
                if data == "[DONE]":
                    reply.end()
                    break
                yield reply.take(_chunk(data))
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


class _ReplyReader:
    """Reads chunks: keeps how the reply ended, and the half of a surrogate pair that waits for its other half."""

    def __init__(self) -> None:
        self._half = ""
        self._reason: str | None = None
        self._usage: Usage | None = None

    def take(self, chunk: Mapping[str, Any]) -> str:
        """The text of a chunk, empty for a sign of life. Raises ChatUnavailable."""
        if chunk.get("error"):
            message = error_text(json.dumps(chunk).encode())
            raise ChatUnavailable("The chat model broke off" + (f": {message}" if message else "."))
        try:
            if usage := chunk.get("usage"):
                self._usage = Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
            if not chunk.get("choices"):
                return ""
            choice = chunk["choices"][0]
            self._reason = choice.get("finish_reason") or self._reason
            return self._whole_characters((choice.get("delta") or {}).get("content") or "")
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as failure:
            raise ChatUnavailable("The chat model sent a chunk of an unknown shape.") from failure

    def _whole_characters(self, text: str) -> str:
        """The text up to its last whole character; an emoji escaped as two halves may come in two chunks."""
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        whole = text[: len(text) - len(self._half)]
        return whole if whole.isascii() else whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def end(self) -> None:
        """Note the end; a server that gave no reason for it had no special one."""
        self._reason = self._reason or "stop"

    def finished(self) -> Finished:
        """The end of the reply. Raises ChatUnavailable if the stream ended before it."""
        if self._reason is None:
            raise ChatUnavailable("The chat model's stream broke off before the reply's end.")
        return Finished(self._reason, self._usage)


def _chunk(data: str) -> Mapping[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError as failure:
        raise ChatUnavailable("The chat model sent a chunk that is not JSON.") from failure
    if not isinstance(chunk, dict):
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
