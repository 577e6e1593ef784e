"""What the chunks of the providers say: real types of their SDKs, and what real SDKs read from a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic.types
import openai
import openai.types.responses
import pytest
from anthropic.lib.streaming import TextEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from annals_client.chunks import Reply, SourceFailed, text_of
from tests.fakes.chat_server import EMOJI, ChatServer, words
from tests.fakes.servers import serving


def _text(*chunks: Any) -> str:
    reply = Reply(text_of)
    for chunk in chunks:
        reply.take(chunk)
    reply.end()
    return reply.text


def _openai(**delta: Any) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    fields = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return ChatCompletionChunk.model_validate(fields)


def _response(**fields: Any) -> Any:
    kinds = {
        "response.output_text.delta": openai.types.responses.ResponseTextDeltaEvent,
        "response.refusal.delta": openai.types.responses.ResponseRefusalDeltaEvent,
        "response.reasoning_text.delta": openai.types.responses.ResponseReasoningTextDeltaEvent,
        "response.function_call_arguments.delta": openai.types.responses.ResponseFunctionCallArgumentsDeltaEvent,
        "error": openai.types.responses.ResponseErrorEvent,
    }
    position = {"item_id": "i", "output_index": 0, "content_index": 0, "sequence_number": 1, "logprobs": []}
    return kinds[fields["type"]].model_validate({**position, **fields})


def _anthropic(**delta: Any) -> anthropic.types.RawContentBlockDeltaEvent:
    fields = {"type": "content_block_delta", "index": 0, "delta": delta}
    return anthropic.types.RawContentBlockDeltaEvent.model_validate(fields)


OPENAI = [
    _openai(role="assistant", content=""),
    _openai(content="To be, "),
    _openai(tool_calls=[]),
    _openai(content="or not"),
]
RESPONSES = [
    _response(type="response.reasoning_text.delta", delta="Hm."),
    _response(type="response.output_text.delta", delta="To be, "),
    _response(type="response.function_call_arguments.delta", delta="{}"),
    _response(type="response.output_text.delta", delta="or not"),
]
ANTHROPIC = [
    anthropic.types.RawContentBlockStartEvent.model_validate(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    ),
    _anthropic(type="thinking_delta", thinking="Hm."),
    _anthropic(type="text_delta", text="To be, "),
    TextEvent.model_validate({"type": "text", "text": "To be, ", "snapshot": "To be, "}),
    _anthropic(type="input_json_delta", partial_json="{}"),
    _anthropic(type="text_delta", text="or not"),
    anthropic.types.RawMessageStopEvent(type="message_stop"),
]
BEDROCK = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "To be, "}, "contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "Hm."}}, "contentBlockIndex": 1}},
    {"contentBlockDelta": {"delta": {"text": "or not"}, "contentBlockIndex": 0}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}},
]


@pytest.mark.parametrize("chunks", [OPENAI, RESPONSES, ANTHROPIC, BEDROCK])
def test_a_providers_chunks_say_the_reply_and_nothing_else(chunks: list[Any]) -> None:
    assert _text(*chunks) == "To be, or not"


@pytest.mark.parametrize("chunks", [OPENAI, RESPONSES, ANTHROPIC])
def test_as_dicts_they_say_the_same(chunks: list[Any]) -> None:
    assert _text(*(chunk.model_dump() for chunk in chunks)) == "To be, or not"


def test_a_refusal_is_what_the_model_said() -> None:
    assert _text(_openai(refusal="I can't.")) == "I can't."
    assert _text(_response(type="response.refusal.delta", delta="I can't.", content_index=0)) == "I can't."


def test_of_several_choices_the_first_is_the_reply() -> None:
    choices = [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]
    assert _text({"choices": choices}, {"choices": choices[:1]}, {"choices": [], "usage": {}}) == "a"


@pytest.mark.parametrize(
    "chunk",
    [
        _response(type="error", message="overloaded", code="x", param=None),
        {"type": "response.failed", "response": {"error": {"message": "overloaded"}}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}},
        {"choices": [], "error": {"message": "overloaded"}},
        {"modelStreamErrorException": {"message": "overloaded"}},
    ],
)
def test_a_chunk_that_says_that_the_reply_failed_is_a_failure(chunk: Any) -> None:
    with pytest.raises(SourceFailed, match="overloaded"):
        _text(chunk)


@pytest.mark.parametrize("chunk", [3, None, object(), {}, {"a": 1, "b": 2}, {"surprise": {}}, ["a"]])
def test_what_is_no_chunk_is_refused(chunk: Any) -> None:
    with pytest.raises(TypeError, match="text_of"):
        _text(chunk)


@given(st.text(), st.data())
def test_bytes_may_be_cut_inside_a_character(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert _text(*pieces) == text
    assert _text(*map(bytearray, pieces)) == text


@pytest.mark.parametrize("chunks", [[b"caf\xe9!"], [b"caf\xc3"]])
def test_bytes_that_are_no_utf_8_are_a_failure(chunks: list[bytes]) -> None:
    with pytest.raises(UnicodeDecodeError):
        _text(*chunks)


def test_two_halves_of_a_character_are_one_and_a_lone_half_is_replaced() -> None:
    assert _text("a\ud83d", "\ude00", "b\ud83d") == "a😀b\ufffd"


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
        assert _text(*stream) == EMOJI


def test_what_openais_asyncio_sdk_reads_is_understood(chat: str) -> None:
    async def main() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=chat, api_key="k") as client:
            stream: Any = await client.chat.completions.create(
                model="words", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return [chunk async for chunk in stream]

    assert words(_text(*asyncio.run(main())))[0] == "Memory"
