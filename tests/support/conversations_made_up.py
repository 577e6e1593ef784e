"""What hypothesis makes up: conversations whose messages have the shapes of different providers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from annals.formats.messages import to_annals
from tests.support.strategies import json_objects, json_values, numbers, texts

Message = dict[str, Any]
Turn = list[Message]

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
names = st.text("abcdefghij_", min_size=1, max_size=8)
inputs = st.dictionaries(names, json_values, max_size=3)
PIXEL = "iVBORw0KGgo="
IMAGE = f"data:image/png;base64,{PIXEL}"


def stored(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as they come out of the ledger."""
    return [
        {"messageId": f"msg-{seq:03}", "seq": seq, **to_annals(message), "timestamp": "2025-01-01T00:00:00.000Z"}
        for seq, message in enumerate(messages, start=1)
    ]


@st.composite
def exchanges(draw: st.DrawFn, shape: str) -> Turn:
    """A question, calls of one to three tools, their results, and a reply, in one provider's shape."""
    number = draw(st.integers(1, 3))
    calls = [(f"call_{draw(st.uuids()).hex}", draw(names), draw(inputs), draw(texts)) for _ in range(number)]
    return [*questions(draw, shape), *_CALLS[shape](draw, calls), *replies(draw, shape)]


def questions(draw: st.DrawFn, shape: str) -> Turn:
    text = draw(words)
    return [draw(st.sampled_from(_QUESTIONS[shape](text)))]


def replies(draw: st.DrawFn, shape: str) -> Turn:
    text = draw(words)
    return [draw(st.sampled_from(_REPLIES[shape](text, draw(words))))]


OPENAI_IMAGE = {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}
OPENAI_SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
OPENAI_FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}
ANTHROPIC_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
ANTHROPIC_FILE = {"type": "document", "title": "a", "source": PDF}
BEDROCK_IMAGE = {"image": {"format": "png", "source": {"bytes": PIXEL}}}
BEDROCK_FILE = {"document": {"format": "pdf", "name": "a", "source": {"bytes": "AAAA"}}}
AI_SDK_IMAGE = {"type": "file", "mediaType": "image/png", "url": IMAGE, "filename": "a.png"}
GEMINI_IMAGE = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}


def said(text: str) -> dict[str, Any]:
    """A part that most providers have."""
    return {"type": "text", "text": text}


def _openai_questions(text: str) -> Turn:
    contents: list[Any] = [text, [said(text)], [OPENAI_IMAGE, said(text)], [said(text), OPENAI_SOUND], [OPENAI_FILE]]
    return [{"role": "user", "content": text, "name": "Ada"}, *({"role": "user", "content": each} for each in contents)]


def _anthropic_questions(text: str) -> Turn:
    cached = {**said(text), "cache_control": {"type": "ephemeral"}}
    contents: list[Any] = [text, [cached], [ANTHROPIC_IMAGE, said(text)], [ANTHROPIC_FILE, said(text)]]
    return [{"role": "user", "content": each} for each in contents]


def _bedrock_questions(text: str) -> Turn:
    cache = {"cachePoint": {"type": "default"}}
    contents = [[{"text": text}], [{"text": text}, BEDROCK_IMAGE, cache], [BEDROCK_FILE, {"text": text}]]
    return [{"role": "user", "content": each} for each in contents]


def _ai_sdk_questions(text: str) -> Turn:
    return [
        {"id": "u-1", "role": "user", "parts": [said(text)]},
        {"id": "u-2", "role": "user", "metadata": {"a": 1}, "parts": [said(text), AI_SDK_IMAGE]},
    ]


def _gemini_questions(text: str) -> Turn:
    return [{"role": "user", "parts": [{"text": text}, GEMINI_IMAGE]}]


_QUESTIONS = {
    "openai": _openai_questions,
    "anthropic": _anthropic_questions,
    "bedrock": _bedrock_questions,
    "ai-sdk": _ai_sdk_questions,
    "gemini": _gemini_questions,
}


def _openai_replies(text: str, thought: str) -> Turn:
    return [
        {"role": "assistant", "content": text},
        {"role": "assistant", "content": text, "reasoning_content": thought},
        {"role": "assistant", "content": None, "refusal": text},
        {"role": "assistant", "content": [said(text)]},
        {"role": "assistant", "content": text, "refusal": None, "annotations": []},
    ]


def _anthropic_replies(text: str, thought: str) -> Turn:
    thinking = {"type": "thinking", "thinking": thought, "signature": "s"}
    sealed = {"type": "redacted_thinking", "data": "AAAA"}
    contents: list[Any] = [text, [thinking, said(text)], [sealed, {**said(text), "citations": None}]]
    return [{"role": "assistant", "content": each} for each in contents]


def _bedrock_replies(text: str, thought: str) -> Turn:
    thinking = {"reasoningContent": {"reasoningText": {"text": thought, "signature": "s"}}}
    return [{"role": "assistant", "content": each} for each in ([{"text": text}], [thinking, {"text": text}])]


def _ai_sdk_replies(text: str, thought: str) -> Turn:
    source = {"type": "source-url", "sourceId": "1", "url": "https://example.org"}
    thinking = {"type": "reasoning", "text": thought, "state": "done"}
    parts = [[{"type": "step-start"}, {**said(text), "state": "done"}], [thinking, said(text), source]]
    return [{"id": f"a-{number}", "role": "assistant", "parts": each} for number, each in enumerate(parts)]


def _gemini_replies(text: str, thought: str) -> Turn:
    return [{"role": "model", "parts": [{"text": thought, "thought": True}, {"text": text}]}]


_REPLIES = {
    "openai": _openai_replies,
    "anthropic": _anthropic_replies,
    "bedrock": _bedrock_replies,
    "ai-sdk": _ai_sdk_replies,
    "gemini": _gemini_replies,
}


def openai_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call of OpenAI's."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _openai_calls(draw: st.DrawFn, calls: Sequence[Any]) -> Turn:
    told = [openai_call(call_id, name, json.dumps(given, ensure_ascii=False)) for call_id, name, given, _ in calls]
    message: Message = {"role": "assistant", "content": draw(st.sampled_from([None, "Let me see."]))}
    message["tool_calls"] = told
    if draw(st.booleans()):
        message["reasoning_content"] = "Hm."
    return [message, *({"role": "tool", "content": text, "tool_call_id": call_id} for call_id, _, _, text in calls)]


def _anthropic_calls(draw: st.DrawFn, calls: Sequence[Any]) -> Turn:
    opening = [{"type": "text", "text": "Let me see."}] if draw(st.booleans()) else []
    uses = [{"type": "tool_use", "id": call_id, "name": name, "input": given} for call_id, name, given, _ in calls]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, _, _, text in calls]
    return [{"role": "assistant", "content": [*opening, *uses]}, {"role": "user", "content": results}]


def _bedrock_calls(draw: st.DrawFn, calls: Sequence[Any]) -> Turn:
    opening = [{"text": "Let me see."}] if draw(st.booleans()) else []
    uses = [{"toolUse": {"toolUseId": call_id, "name": name, "input": given}} for call_id, name, given, _ in calls]
    results = [{"toolResult": {"toolUseId": call_id, "content": [{"text": text}]}} for call_id, _, _, text in calls]
    return [{"role": "assistant", "content": [*opening, *uses]}, {"role": "user", "content": results}]


def _ai_sdk_calls(_: st.DrawFn, calls: Sequence[Any]) -> Turn:
    tools = [
        {"type": f"tool-{name}", "toolCallId": call_id, "state": "output-available", "input": given, "output": text}
        for call_id, name, given, text in calls
    ]
    step = {"type": "step-start"}
    return [{"id": "t-1", "role": "assistant", "parts": [step, *tools, step, said("So.")]}]


def _gemini_calls(_: st.DrawFn, calls: Sequence[Any]) -> Turn:
    uses = [{"functionCall": {"name": name, "args": given}} for _, name, given, _ in calls]
    results = [{"functionResponse": {"name": name, "response": {"result": text}}} for _, name, _, text in calls]
    return [{"role": "model", "parts": uses}, {"role": "user", "parts": results}]


_CALLS = {
    "openai": _openai_calls,
    "anthropic": _anthropic_calls,
    "bedrock": _bedrock_calls,
    "ai-sdk": _ai_sdk_calls,
    "gemini": _gemini_calls,
}

SHAPES = tuple(_CALLS)

SPEAKERS = ("system", "developer", "assistant", "user", "tool")

others = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(SPEAKERS), words),
    st.builds(lambda text, parts: {"role": "user", "content": text, "parts": parts}, words, json_values),
    st.builds(lambda text, parts: {"role": "assistant", "content": text, "parts": parts}, words, json_objects),
    st.sampled_from(
        [
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": None, "tool_calls": [openai_call("torn", "f", "{")]},
            {"role": "tool", "content": "late", "tool_call_id": "torn"},
            {"role": "tool", "content": "orphan", "tool_call_id": "nobody"},
        ]
    ),
)
"""Messages that stand between turns: well-formed ones, and calls and results that may be torn."""


NAMES = (
    "type text role content parts tool_calls tool_call_id function_call function name arguments id call_id source data "
    "image_url url file file_data media_type toolUse toolUseId toolResult input output state toolCallId functionCall "
    "functionResponse thinking signature reasoningContent image document format bytes inlineData refusal status"
).split()
WORDS = (
    "text image_url file refusal function tool_use tool_result thinking image document tool-call tool-x step-start "
    "function_call function_call_output web_search_call server_tool_use output-available base64 url png user tool"
).split()

odd_parts = st.recursive(
    st.none() | st.booleans() | numbers | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
"""JSON of the words that providers use, which no provider would write so."""

odd_conversations = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("user", "assistant", "system", "tool")), "content": st.sampled_from(["", "Hi"])},
        optional={"parts": odd_parts, "name": st.just("Ada")},
    ),
    max_size=5,
)
"""Conversations whose parts are odd."""


def _joined(turns: list[Turn]) -> list[Message]:
    return [message for turn in turns for message in turn]


conversations = st.lists(st.one_of(*map(exchanges, SHAPES), st.lists(others, max_size=2)), max_size=5).map(_joined)
"""Conversations whose messages come from different providers, some of them torn."""


def conversations_of(shape: str) -> st.SearchStrategy[list[Message]]:
    """Conversations that are all of one provider's, and as it demands."""
    return st.lists(exchanges(shape), min_size=1, max_size=3).map(_joined)
