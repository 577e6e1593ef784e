"""What real SDKs read from a socket, as the client's relay notes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from annals_client.chunks import Progress, Reply
from tests.fakes.chat_server import EMOJI, ChatServer, words
from tests.fakes.servers import serving


def _reply(*chunks: Any) -> Reply:
    reply = Reply()
    for chunk in chunks:
        reply.take(chunk)
    reply.end()
    return reply


def test_progress_counts_chunks_and_characters_of_text() -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "Hm."}}]}
    assert _reply("To be", thought, "!").progress == Progress(3, 6)


@pytest.fixture(scope="module")
def chat() -> Iterator[str]:
    """The base URL of an OpenAI-compatible server."""
    with serving(ChatServer()) as server:
        yield f"{server.url}/v1"


def test_what_openais_sdk_reads_is_understood(chat: str) -> None:
    with openai.OpenAI(base_url=chat, api_key="k") as client:
        stream: Any = client.chat.completions.create(
            model="bytes", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        reply = _reply(*stream)
    assert (reply.text, reply.reader.finish_reason) == (EMOJI, "stop")


def test_what_the_stream_helper_of_openais_sdk_reads_is_understood_once(chat: str) -> None:
    with openai.OpenAI(base_url=chat, api_key="k") as client:
        asked: Any = {"model": "words", "messages": [{"role": "user", "content": "hi"}]}
        with client.chat.completions.stream(**asked) as stream:
            reply = _reply(*stream)
    assert words(reply.text)[0] == "Memory"
    assert reply.text.count("Memory") == 1


def test_what_openais_asyncio_sdk_reads_is_understood(chat: str) -> None:
    async def main() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=chat, api_key="k") as client:
            stream: Any = await client.chat.completions.create(
                model="words", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return [chunk async for chunk in stream]

    assert words(_reply(*asyncio.run(main())).text)[0] == "Memory"
