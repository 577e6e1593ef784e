"""What the chunks of each provider say, in the types of its own SDK, and as the dicts that those dump."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import anthropic.types
import cohere
import mistralai.client.models as mistral
import ollama
import openai.types.responses as responses
import pytest
from agents import RawResponsesStreamEvent, RunItemStreamEvent
from anthropic.lib.streaming import TextEvent
from google.genai.types import GenerateContentResponse
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk, ToolMessage
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from annals.formats.streams.reply import ReplyReader
from annals.formats.tools import calls_of
from local.template import ROOT

TEXT = "To be, or not"
AI_SDK = json.loads((ROOT / "tests/support/fixtures/ai_sdk_streams/streams.json").read_text())


def read(*chunks: Any) -> ReplyReader:
    """A reply of these chunks, read to its end."""
    reader = ReplyReader()
    said = [reader.take(chunk) for chunk in chunks]
    said.append(reader.end())
    assert "".join(said) == reader.text
    return reader


def openai_chunk(delta: Mapping[str, Any], reason: str | None = None, **more: Any) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    fields = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return ChatCompletionChunk.model_validate({**fields, **more})


def call_delta(index: int, arguments: str, **named: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": named.pop("name")} if "name" in named else {})}
    return {"tool_calls": [{"index": index, "function": function, **named}]}


RESPONSE_EVENTS: TypeAdapter[Any] = TypeAdapter(responses.ResponseStreamEvent)
ANTHROPIC_EVENTS: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)
COHERE_EVENTS: TypeAdapter[Any] = TypeAdapter(cohere.V2ChatStreamResponse)


def response(kind: str, **fields: Any) -> Any:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 1, "logprobs": []}
    return RESPONSE_EVENTS.validate_python({"type": f"response.{kind}", **place, **fields})


def whole_response(status: str, output: list[Any], **more: Any) -> dict[str, Any]:
    required = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "parallel_tool_calls": True}
    return {**required, "status": status, "output": output, "tool_choice": "auto", "tools": [], **more}


RESPONSE_USAGE = {
    "input_tokens": 5,
    "output_tokens": 3,
    "total_tokens": 8,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 1},
}
MESSAGE_ITEM = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
}
REASONING_ITEM = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
CALL_ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Bath"}',
    "status": "completed",
}


def anthropic_event(kind: str, **fields: Any) -> Any:
    return ANTHROPIC_EVENTS.validate_python({"type": kind, **fields})


def anthropic_start() -> Any:
    message = {"id": "msg", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    usage = {"input_tokens": 5, "output_tokens": 1}
    return anthropic_event("message_start", message={**message, "stop_sequence": None, "usage": usage})


def anthropic_block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> list[Any]:
    return [
        anthropic_event("content_block_start", index=index, content_block=block),
        *(anthropic_event("content_block_delta", index=index, delta=delta) for delta in deltas),
        anthropic_event("content_block_stop", index=index),
    ]


def anthropic_end(reason: str) -> list[Any]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        anthropic_event("message_delta", delta=delta, usage={"output_tokens": 3}),
        anthropic_event("message_stop"),
    ]


ANTHROPIC_USAGE = {"input_tokens": 5, "output_tokens": 3}


def gemini(*parts: dict[str, Any], reason: str | None = None, **more: Any) -> GenerateContentResponse:
    candidate = {"index": 0, "content": {"role": "model", "parts": list(parts)}, "finishReason": reason}
    return GenerateContentResponse.model_validate({"candidates": [candidate], **more})


def mistral_event(delta: dict[str, Any], reason: str | None = None, **more: Any) -> mistral.CompletionEvent:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return mistral.CompletionEvent.model_validate({"data": {"id": "x", "model": "m", "choices": [choice], **more}})


def cohere_event(kind: str, **fields: Any) -> Any:
    return COHERE_EVENTS.validate_python({"type": kind, **fields})


def cohere_text(kind: str, **content: str) -> Any:
    return cohere_event(kind, index=0, delta={"message": {"content": content}})


def langchain(content: Any = "", **fields: Any) -> AIMessageChunk:
    return AIMessageChunk(content=content, id="run-1", **fields)


def bedrock_text(text: str, index: int = 0) -> dict[str, Any]:
    return {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": index}}


def bedrock_end(reason: str) -> list[dict[str, Any]]:
    usage = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}
    return [
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": reason}},
        {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}},
    ]


@dataclass(frozen=True)
class Case:
    """Chunks, and what they say."""

    chunks: list[Any]
    parts: Any
    reason: str | None
    text: str = TEXT
    is_cut: bool = False
    dumps: bool = field(default=True)


USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
WEATHER = {"name": "weather", "arguments": '{"city":"Bath"}'}

CASES: dict[str, Case] = {
    "openai": Case(
        [
            openai_chunk({"role": "assistant", "content": ""}),
            openai_chunk({"content": "To be, "}),
            openai_chunk({"content": "or not"}),
            openai_chunk({}, "stop"),
            openai_chunk({}, choices=[], usage=USAGE),
        ],
        {"usage": USAGE},
        "stop",
    ),
    "openai-calls": Case(
        [
            openai_chunk({"role": "assistant", "content": None}),
            openai_chunk(call_delta(0, "", id="call_1", type="function", name="weather")),
            openai_chunk(call_delta(0, '{"city":')),
            openai_chunk(call_delta(1, "{}", id="call_2", type="function", name="clock")),
            openai_chunk(call_delta(0, '"Bath"}')),
            openai_chunk({}, "tool_calls"),
        ],
        {
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": WEATHER},
                {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        },
        "tool_calls",
        text="",
    ),
    "openai-refusal": Case(
        [openai_chunk({"refusal": "I can't."}), openai_chunk({}, "stop")],
        {"refusal": "I can't."},
        "stop",
        text="I can't.",
    ),
    "openai-compatible-reasoning": Case(
        [
            openai_chunk({"reasoning_content": "H"}),
            openai_chunk({"reasoning_content": "m."}),
            openai_chunk({"content": TEXT}, "stop"),
        ],
        {"reasoning_content": "Hm."},
        "stop",
    ),
    "openai-length": Case([openai_chunk({"content": TEXT}, "length")], None, "length", is_cut=True),
    "openai-filter": Case([openai_chunk({"content": TEXT}, "content_filter")], None, "content_filter", is_cut=True),
    "openai-no-end": Case([openai_chunk({"content": TEXT})], None, None, is_cut=True),
    "completions": Case(
        [
            Completion.construct(id="x", object="text_completion", created=1, model="m", choices=[choice])
            for choice in (
                {"index": 0, "text": "To be, ", "finish_reason": None, "logprobs": None},
                {"index": 0, "text": "or not", "finish_reason": "length", "logprobs": None},
            )
        ],
        None,
        "length",
        is_cut=True,
    ),
    "responses": Case(
        [
            response("created", response=whole_response("in_progress", [])),
            response("output_item.added", item={**MESSAGE_ITEM, "status": "in_progress", "content": []}),
            response("output_text.delta", delta="To be, "),
            response("output_text.delta", delta="or not"),
            response("output_item.done", item=MESSAGE_ITEM),
            response("completed", response=whole_response("completed", [MESSAGE_ITEM], usage=RESPONSE_USAGE)),
        ],
        {"usage": RESPONSE_USAGE},
        "completed",
    ),
    "responses-items": Case(
        [
            response("output_item.added", item={**REASONING_ITEM, "summary": []}),
            response("output_item.done", item=REASONING_ITEM),
            response("output_text.delta", delta=TEXT, output_index=1),
            response("output_item.done", item=MESSAGE_ITEM, output_index=1),
            response("output_item.added", item={**CALL_ITEM, "arguments": ""}, output_index=2),
            response("function_call_arguments.delta", delta="{", output_index=2, item_id="fc_1"),
            response("output_item.done", item=CALL_ITEM, output_index=2),
            response("completed", response=whole_response("completed", [])),
        ],
        [REASONING_ITEM, MESSAGE_ITEM, CALL_ITEM],
        "completed",
    ),
    "responses-incomplete": Case(
        [
            response("output_text.delta", delta=TEXT),
            response(
                "incomplete",
                response=whole_response("incomplete", [], incomplete_details={"reason": "max_output_tokens"}),
            ),
        ],
        None,
        "max_output_tokens",
        is_cut=True,
    ),
    "responses-no-end": Case([response("output_text.delta", delta=TEXT)], None, None, is_cut=True),
    "agents": Case(
        [
            RawResponsesStreamEvent(response("created", response=whole_response("in_progress", []))),
            RawResponsesStreamEvent(response("output_item.done", item=CALL_ITEM)),
            RawResponsesStreamEvent(
                response("completed", response=whole_response("completed", [CALL_ITEM], usage=RESPONSE_USAGE))
            ),
            RunItemStreamEvent(name="tool_called", item=SimpleNamespace(raw_item=CALL_ITEM)),  # type: ignore[arg-type]
            RunItemStreamEvent(
                name="tool_output",
                item=SimpleNamespace(  # type: ignore[arg-type]
                    raw_item={"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
                ),
            ),
            RawResponsesStreamEvent(response("created", response=whole_response("in_progress", []))),
            RawResponsesStreamEvent(response("output_text.delta", delta=TEXT)),
            RawResponsesStreamEvent(
                response("completed", response=whole_response("completed", [MESSAGE_ITEM], usage=RESPONSE_USAGE))
            ),
        ],
        {
            "content": [
                CALL_ITEM,
                {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
                MESSAGE_ITEM,
            ],
            "usage": {
                "input_tokens": 10,
                "output_tokens": 6,
                "total_tokens": 16,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
        },
        "completed",
        dumps=False,
    ),
    "anthropic": Case(
        [
            anthropic_start(),
            *anthropic_block(0, {"type": "text", "text": "To "}, {"type": "text_delta", "text": "be, "}),
            *anthropic_block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "or not"}),
            *anthropic_end("end_turn"),
        ],
        {"usage": ANTHROPIC_USAGE},
        "end_turn",
    ),
    "anthropic-blocks": Case(
        [
            anthropic_start(),
            *anthropic_block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": "Hm."},
                {"type": "signature_delta", "signature": "c2ln"},
            ),
            *anthropic_block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": TEXT}),
            *anthropic_block(
                2,
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
                {"type": "input_json_delta", "partial_json": '{"city":'},
                {"type": "input_json_delta", "partial_json": '"Bath"}'},
            ),
            *anthropic_end("tool_use"),
        ],
        {
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "text", "text": TEXT},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bath"}},
            ],
            "usage": ANTHROPIC_USAGE,
        },
        "tool_use",
    ),
    "anthropic-max-tokens": Case(
        [*anthropic_block(0, {"type": "text", "text": TEXT}), *anthropic_end("max_tokens")],
        {"usage": {"output_tokens": 3}},
        "max_tokens",
        is_cut=True,
    ),
    "anthropic-no-end": Case(
        [anthropic_start(), *anthropic_block(0, {"type": "text", "text": TEXT})],
        {"usage": {"input_tokens": 5, "output_tokens": 1}},
        None,
        is_cut=True,
    ),
    "anthropic-texts-alone": Case(
        [
            TextEvent.model_validate({"type": "text", "text": "To be, ", "snapshot": "To be, "}),
            TextEvent.model_validate({"type": "text", "text": "or not", "snapshot": TEXT}),
        ],
        None,
        None,
    ),
    "bedrock": Case(
        [
            {"messageStart": {"role": "assistant"}},
            bedrock_text("To be, "),
            bedrock_text("or not"),
            *bedrock_end("end_turn"),
        ],
        {"usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}},
        "end_turn",
    ),
    "bedrock-blocks": Case(
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "Hm."}}, "contentBlockIndex": 0}},
            {"contentBlockDelta": {"delta": {"reasoningContent": {"signature": "c2ln"}}, "contentBlockIndex": 0}},
            bedrock_text(TEXT, 1),
            {
                "contentBlockStart": {
                    "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}},
                    "contentBlockIndex": 2,
                }
            },
            {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"city":'}}, "contentBlockIndex": 2}},
            {"contentBlockDelta": {"delta": {"toolUse": {"input": '"Bath"}'}}, "contentBlockIndex": 2}},
            {"messageStop": {"stopReason": "tool_use"}},
        ],
        [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"text": TEXT},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bath"}}},
        ],
        "tool_use",
    ),
    "bedrock-filtered": Case(
        [bedrock_text(TEXT), {"messageStop": {"stopReason": "content_filtered"}}],
        None,
        "content_filtered",
        is_cut=True,
    ),
    "bedrock-no-end": Case([bedrock_text(TEXT)], None, None, is_cut=True),
    "bedrock-invoke": Case(
        [
            {"chunk": {"bytes": json.dumps(event).encode()}}
            for event in (
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
            )
        ],
        {"usage": {"output_tokens": 3}},
        "end_turn",
    ),
    "gemini": Case(
        [
            gemini({"text": "To be, "}),
            gemini({"text": "or not"}, reason="STOP", usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 3}),
        ],
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3}},
        "STOP",
    ),
    "gemini-parts": Case(
        [
            gemini({"text": "H", "thought": True}),
            gemini({"text": "m.", "thought": True}),
            gemini({"text": "To be, "}),
            gemini({"text": "or not"}),
            gemini(
                {"functionCall": {"name": "weather", "args": {"city": "Bath"}}, "thoughtSignature": "c2ln"},
                reason="STOP",
            ),
        ],
        [
            {"text": "Hm.", "thought": True},
            {"text": TEXT},
            {"functionCall": {"name": "weather", "args": {"city": "Bath"}}, "thoughtSignature": "c2ln"},
        ],
        "STOP",
        dumps=False,
    ),
    "gemini-safety": Case([gemini({"text": TEXT}), gemini(reason="SAFETY")], None, "SAFETY", is_cut=True),
    "gemini-max-tokens": Case([gemini({"text": TEXT}, reason="MAX_TOKENS")], None, "MAX_TOKENS", is_cut=True),
    "gemini-no-end": Case([gemini({"text": TEXT})], None, None, is_cut=True),
    "mistral": Case(
        [
            mistral_event({"role": "assistant", "content": ""}),
            mistral_event({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "H"}]}]}),
            mistral_event({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m."}]}]}),
            mistral_event({"content": [{"type": "text", "text": "To be, "}]}),
            mistral_event({"content": "or not"}, "stop", usage=USAGE),
        ],
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": TEXT},
            ],
            "usage": USAGE,
        },
        "stop",
    ),
    "mistral-conversation": Case(
        [
            mistral.ConversationEvents.model_validate({"event": data["type"], "data": data})
            for data in (
                {"type": "conversation.response.started", "conversation_id": "conv"},
                {"type": "message.output.delta", "id": "m", "content": "To be, "},
                {"type": "message.output.delta", "id": "m", "content": "or not"},
                {"type": "conversation.response.done", "usage": USAGE},
            )
        ],
        {"usage": USAGE},
        None,
    ),
    "cohere": Case(
        [
            cohere_event("message-start", id="x", delta={"message": {"role": "assistant"}}),
            cohere_text("content-start", type="text", text=""),
            cohere_text("content-delta", text="To be, "),
            cohere_text("content-delta", text="or not"),
            cohere_event("content-end", index=0),
            cohere_event("message-end", delta={"finish_reason": "COMPLETE", "usage": {"tokens": {"output_tokens": 3}}}),
        ],
        {"usage": {"tokens": {"output_tokens": 3}}},
        "COMPLETE",
    ),
    "cohere-calls": Case(
        [
            cohere_event("tool-plan-delta", delta={"message": {"tool_plan": "I will look."}}),
            cohere_event(
                "tool-call-start",
                index=0,
                delta={
                    "message": {
                        "tool_calls": {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": ""},
                        }
                    }
                },
            ),
            cohere_event(
                "tool-call-delta",
                index=0,
                delta={"message": {"tool_calls": {"function": {"arguments": '{"city":"Bath"}'}}}},
            ),
            cohere_event("message-end", delta={"finish_reason": "TOOL_CALL"}),
        ],
        {"tool_calls": [{"id": "c1", "type": "function", "function": WEATHER}], "tool_plan": "I will look."},
        "TOOL_CALL",
        text="",
    ),
    "cohere-max-tokens": Case(
        [
            cohere_text("content-delta", text=TEXT),
            cohere_event("message-end", delta={"finish_reason": "MAX_TOKENS"}),
        ],
        None,
        "MAX_TOKENS",
        is_cut=True,
    ),
    "ollama": Case(
        [
            ollama.ChatResponse(message=ollama.Message(role="assistant", thinking="Hm."), done=False),
            ollama.ChatResponse(message=ollama.Message(role="assistant", content="To be, "), done=False),
            ollama.ChatResponse(message=ollama.Message(role="assistant", content="or not"), done=False),
            ollama.ChatResponse(
                message=ollama.Message(role="assistant", content=""),
                done=True,
                done_reason="stop",
                prompt_eval_count=5,
                eval_count=3,
            ),
        ],
        {"thinking": "Hm.", "prompt_eval_count": 5, "eval_count": 3},
        "stop",
    ),
    "ollama-calls": Case(
        [
            ollama.ChatResponse(
                message=ollama.Message(
                    role="assistant",
                    tool_calls=[
                        ollama.Message.ToolCall(
                            function=ollama.Message.ToolCall.Function(name="weather", arguments={"city": "Bath"})
                        )
                    ],
                ),
                done=True,
                done_reason="stop",
            )
        ],
        {"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bath"}}}]},
        "stop",
        text="",
    ),
    "ollama-generate": Case(
        [
            ollama.GenerateResponse(response="To be, ", done=False),
            ollama.GenerateResponse(response="or not", done=True, done_reason="length"),
        ],
        None,
        "length",
        is_cut=True,
    ),
    "langchain": Case(
        [
            langchain("To be, "),
            langchain("or not", response_metadata={"finish_reason": "stop"}),
            langchain(usage_metadata={"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}),
        ],
        {
            "type": "ai",
            "response_metadata": {"finish_reason": "stop"},
            "usage_metadata": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
        },
        "stop",
    ),
    "langchain-blocks": Case(
        [
            langchain([{"type": "thinking", "thinking": "H", "index": 0}]),
            langchain([{"type": "thinking", "thinking": "m.", "index": 0}]),
            langchain([{"type": "text", "text": "To be, ", "index": 1}]),
            langchain([{"type": "text", "text": "or not", "index": 1}]),
            langchain(
                tool_call_chunks=[
                    {"name": "weather", "args": '{"city":', "id": "c1", "index": 2, "type": "tool_call_chunk"}
                ]
            ),
            langchain(
                tool_call_chunks=[{"name": None, "args": '"Bath"}', "id": None, "index": 2, "type": "tool_call_chunk"}],
                response_metadata={"stop_reason": "tool_use"},
            ),
        ],
        {
            "type": "ai",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "index": 0},
                {"type": "text", "text": TEXT, "index": 1},
            ],
            "tool_calls": [{"name": "weather", "args": {"city": "Bath"}, "id": "c1", "type": "tool_call"}],
            "response_metadata": {"stop_reason": "tool_use"},
        },
        "tool_use",
    ),
    "langgraph": Case(
        [
            (langchain("To be, "), {"langgraph_node": "agent"}),
            (ToolMessage("sunny", tool_call_id="c1"), {"langgraph_node": "tools"}),
            (langchain("or not"), {"langgraph_node": "agent"}),
        ],
        None,
        None,
        dumps=False,
    ),
    "langchain-events": Case(
        [
            {"event": "on_chain_start", "data": {"input": "?"}, "name": "graph", "run_id": "r"},
            {"event": "on_chat_model_stream", "data": {"chunk": langchain(TEXT)}, "name": "model", "run_id": "r"},
            {"event": "on_chain_end", "data": {"output": TEXT}, "name": "graph", "run_id": "r"},
        ],
        None,
        None,
        dumps=False,
    ),
    "ai-sdk-ui": Case(AI_SDK["plain"]["ui"], None, "stop"),
    "ai-sdk-length": Case(AI_SDK["length"]["ui"], None, "length", text="To be, ", is_cut=True),
    "ai-sdk-filtered": Case(AI_SDK["filtered"]["ui"], None, "content-filter", text="To be, ", is_cut=True),
    "ai-sdk-no-end": Case(AI_SDK["plain"]["ui"][:-1], None, None, is_cut=True),
}


def _says(case: Case, reader: ReplyReader) -> None:
    assert (reader.text, reader.finish_reason) == (case.text, case.reason)
    assert reader.parts == case.parts
    assert (reader.is_cut, reader.is_reply) == (case.is_cut, True)
    json.dumps(reader.parts, allow_nan=False).encode()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_chunks_of_an_sdk_say_text_parts_and_the_reason_of_the_end(case: Case) -> None:
    _says(case, read(*case.chunks))


def _dump(chunk: Any, **how: bool) -> Any:
    return chunk.model_dump(**how) if hasattr(chunk, "model_dump") else chunk


DUMPED = {name: case for name, case in CASES.items() if case.dumps}


@pytest.mark.parametrize("case", DUMPED.values(), ids=DUMPED)
def test_as_dicts_they_say_the_same(case: Case) -> None:
    _says(case, read(*(_dump(chunk, exclude_none=True, by_alias=True) for chunk in case.chunks)))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_as_dicts_with_all_that_is_not_set_they_say_the_same_words(case: Case) -> None:
    reader = read(*map(_dump, case.chunks))
    assert (reader.text, reader.finish_reason, reader.is_cut) == (case.text, case.reason, case.is_cut)


def _objects(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _objects(part) for name, part in value.items()})
    return [_objects(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["openai", "openai-calls", "openai-length", "responses-incomplete"])
def test_as_objects_of_any_class_they_say_the_same(name: str) -> None:
    case = CASES[name]
    _says(case, read(*(_objects(chunk.model_dump(exclude_none=True)) for chunk in case.chunks)))


WITH_CALLS = {name: case for name, case in CASES.items() if case.reason in ("tool_calls", "tool_use", "TOOL_CALL")}
WITH_CALLS |= {name: CASES[name] for name in ("responses-items", "agents", "gemini-parts", "ollama-calls")}


@pytest.mark.parametrize("case", WITH_CALLS.values(), ids=WITH_CALLS)
def test_the_calls_in_the_parts_are_found_in_what_is_stored(case: Case) -> None:
    calls = calls_of({"role": "assistant", "content": case.text, "parts": read(*case.chunks).parts})
    assert [(call.name, call.arguments) for call in calls if call.name != "clock"] == [("weather", {"city": "Bath"})]


LANGCHAIN_CALLS = {
    "anthropic": [
        [{"type": "tool_use", "id": "c1", "name": "weather", "input": {}, "index": 1}],
        [{"type": "input_json_delta", "partial_json": '{"city":', "index": 1}],
        [{"type": "input_json_delta", "partial_json": '"Bath"}', "index": 1}],
    ],
    "bedrock": [
        [{"type": "tool_use", "id": "c1", "name": "weather", "index": 1}],
        [{"type": "tool_use", "input": '{"city":', "index": 1}],
        [{"type": "tool_use", "input": '"Bath"}', "index": 1}],
    ],
    "standard": [
        [{"type": "tool_call_chunk", "id": "c1", "name": "weather", "args": '{"city":', "index": 1}],
        [{"type": "tool_call_chunk", "args": '"Bath"}', "index": 1}],
    ],
}


@pytest.mark.parametrize("contents", LANGCHAIN_CALLS.values(), ids=LANGCHAIN_CALLS)
def test_calls_in_the_content_of_langchains_chunks_have_their_arguments(contents: list[Any]) -> None:
    parts = read(*map(langchain, contents)).parts
    [call] = calls_of({"role": "assistant", "content": "", "parts": parts})
    assert (call.id, call.name, call.arguments) == ("c1", "weather", {"city": "Bath"})


SAID = "To be, or not 👩‍🚀 é"


@given(places=st.lists(st.integers(0, 40), max_size=6))
@pytest.mark.parametrize("provider", ["openai", "anthropic", "bedrock", "gemini", "cohere", "ollama", "ai-sdk"])
def test_text_and_arguments_are_the_same_however_they_are_cut(provider: str, places: list[int]) -> None:
    reader = read(*_reply_in_pieces(provider, _pieces(SAID, places), _pieces('{"city":"Bath"}', places)))
    [call] = calls_of({"role": "assistant", "content": "", "parts": reader.parts})
    assert (reader.text, call.arguments, reader.is_cut) == (SAID, {"city": "Bath"}, False)


def _pieces(text: str, places: list[int]) -> list[str]:
    return [
        text[start:end] for start, end in pairwise(sorted([0, *(min(each, len(text)) for each in places), len(text)]))
    ]


def _reply_in_pieces(provider: str, texts: list[str], arguments: list[str]) -> list[Any]:
    """A provider's chunks that say a text, and then call a tool."""
    whole = {"name": "weather", "args": {"city": "Bath"}}
    replies: dict[str, list[Any]] = {
        "openai": [
            *({"choices": [{"delta": {"content": text}}]} for text in texts),
            {"choices": [{"delta": call_delta(0, "", id="a", name="weather")}]},
            *({"choices": [{"delta": call_delta(0, piece)}]} for piece in arguments),
            {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
        ],
        "anthropic": [
            *anthropic_block(
                0, {"type": "text", "text": ""}, *({"type": "text_delta", "text": text} for text in texts)
            ),
            *anthropic_block(
                1,
                {"type": "tool_use", "id": "a", "name": "weather", "input": {}},
                *({"type": "input_json_delta", "partial_json": piece} for piece in arguments),
            ),
            *anthropic_end("tool_use"),
        ],
        "bedrock": [
            *map(bedrock_text, texts),
            {
                "contentBlockStart": {
                    "start": {"toolUse": {"toolUseId": "a", "name": "weather"}},
                    "contentBlockIndex": 1,
                }
            },
            *(
                {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": 1}}
                for piece in arguments
            ),
            {"messageStop": {"stopReason": "tool_use"}},
        ],
        "gemini": [*(gemini({"text": text}) for text in texts), gemini({"functionCall": whole}, reason="STOP")],
        "cohere": [
            *(cohere_text("content-delta", text=text) for text in texts),
            *(
                {
                    "type": "tool-call-delta" if index else "tool-call-start",
                    "index": 0,
                    "delta": {"message": {"tool_calls": {"function": {"name": "weather", "arguments": piece}}}},
                }
                for index, piece in enumerate(arguments)
            ),
            cohere_event("message-end", delta={"finish_reason": "TOOL_CALL"}),
        ],
        "ollama": [
            *({"message": {"role": "assistant", "content": text}} for text in texts),
            {
                "message": {"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bath"}}}]},
                "done": True,
            },
        ],
        "ai-sdk": [
            *({"type": "text-delta", "id": "t", "delta": text} for text in texts),
            {"type": "tool-input-start", "toolCallId": "a", "toolName": "weather"},
            *({"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": piece} for piece in arguments),
            {"type": "finish", "finishReason": "tool-calls"},
        ],
    }
    return replies[provider]


@pytest.mark.parametrize("stream", ["full", "ui"])
def test_of_several_steps_of_the_ai_sdk_its_own_message_is_kept(stream: str) -> None:
    reader = read(*AI_SDK["tools"][stream])
    parts = reader.parts["parts"] if stream == "full" else reader.parts
    assert parts == AI_SDK["tools"]["message"]["parts"]
    assert (reader.text, reader.finish_reason, reader.is_cut) == ("Let me look.\nIt is sunny.", "stop", False)


def test_the_full_stream_of_the_ai_sdk_says_the_tokens_of_all_steps() -> None:
    assert read(*AI_SDK["plain"]["full"]).usage["outputTokens"] == 3
    assert read(*AI_SDK["tools"]["full"]).usage["outputTokens"] == 6


def test_the_texts_of_anthropics_sdk_are_not_said_twice() -> None:
    chunks = list(CASES["anthropic"].chunks)
    chunks.insert(3, TextEvent.model_validate({"type": "text", "text": "be, ", "snapshot": "To be, "}))
    assert read(*chunks).text == TEXT


def test_blocks_of_different_kinds_that_have_one_index_stay_apart() -> None:
    events = [
        anthropic_event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
        anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": TEXT}),
    ]
    thinking = {"type": "thinking", "thinking": "Hm."}
    assert read(*events, anthropic_event("message_stop")).parts == [thinking, {"type": "text", "text": TEXT}]
    deltas = [{"text": "To be, "}, {"reasoningContent": {"text": "Hm."}}, {"text": "or not"}]
    reader = read(*({"contentBlockDelta": {"delta": delta}} for delta in deltas), {"messageStop": {"stopReason": "x"}})
    assert reader.parts == [{"text": TEXT}, {"reasoningContent": {"reasoningText": {"text": "Hm."}}}]


def test_texts_that_a_call_stands_between_are_on_lines_of_their_own() -> None:
    call = {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}
    chunks = [
        *anthropic_block(0, {"type": "text", "text": "I look."}),
        *anthropic_block(1, call, {"type": "input_json_delta", "partial_json": "{}"}),
        *anthropic_block(2, {"type": "text", "text": "Found."}),
    ]
    assert read(*chunks, *anthropic_end("end_turn")).text == "I look.\nFound."


def test_the_messages_of_a_graph_are_on_lines_of_their_own() -> None:
    messages = [
        (AIMessageChunk(content="I look.", id="a"), {}),
        (ToolMessage("sunny", tool_call_id="c1"), {}),
        (AIMessageChunk(content="It is ", id="b"), {}),
        (AIMessageChunk(content="sunny.", id="b"), {}),
    ]
    assert read(*messages).text == read(*messages[:1], *messages[2:]).text == "I look.\nIt is sunny."


def test_a_response_that_is_incomplete_for_any_reason_is_cut() -> None:
    details = {"status": "incomplete", "incomplete_details": {"reason": "steered"}}
    reader = read(response("output_text.delta", delta=TEXT), {"type": "response.incomplete", "response": details})
    assert (reader.finish_reason, reader.is_cut) == ("steered", True)


def test_arguments_that_are_cut_off_are_kept_as_text() -> None:
    call = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": '{"city":'}
    reader = read(*anthropic_block(0, call, delta), *anthropic_end("max_tokens"))
    assert reader.parts["content"][0]["input"] == '{"city":'


def test_of_several_choices_the_first_is_the_reply() -> None:
    choices = [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]
    assert read({"choices": choices}, {"choices": choices[:1]}, {"choices": [], "usage": {}}).text == "a"


@pytest.mark.parametrize(
    "calls",
    [
        [call_delta(0, "{}", id="a", name="f"), call_delta(0, "{}", id="b", name="g")],
        [
            {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
            {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]},
        ],
        [
            {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
            {"tool_calls": [{"id": "a", "function": {"arguments": "}"}}]},
            {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": ""}}]},
            {"tool_calls": [{"function": {"arguments": "{}"}}]},
        ],
    ],
    ids=["one index", "no index", "id alone"],
)
def test_calls_of_servers_that_give_no_index_or_the_same_one_stay_apart(calls: list[Any]) -> None:
    reader = read(*({"choices": [{"delta": delta}]} for delta in calls))
    assert [(call["id"], call["function"]) for call in reader.parts["tool_calls"]] == [
        ("a", {"name": "f", "arguments": "{}"}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]


def test_a_call_without_an_id_stays_apart_from_the_next_one() -> None:
    deltas = [call_delta(0, "{}", name="f"), call_delta(1, "{}", id="b", name="g")]
    calls = read(*({"choices": [{"delta": delta}]} for delta in deltas)).parts["tool_calls"]
    assert [(call.get("id"), call["function"]["name"]) for call in calls] == [(None, "f"), ("b", "g")]


def test_a_whole_message_at_the_end_says_nothing_twice() -> None:
    calls = call_delta(0, "{}", id="a", name="f")
    last = {"choices": [{"message": {"role": "assistant", "content": None, **calls}, "finish_reason": "tool_calls"}]}
    assert read({"choices": [{"delta": calls}]}, last).parts["tool_calls"][0]["function"]["arguments"] == "{}"
