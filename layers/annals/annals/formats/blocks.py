"""A message as blocks: the words, media, thinking, tool calls and results in it, whichever provider's its parts are.

The writers of formats read messages through these. A block keeps the part that it was read from, so that a writer whose
own part that is gives it back exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from .attachments import Media, media_of
from .messages import langchain_fields
from .references import has_reference
from .text import is_thinking, text_of
from .tools import ToolCall, ToolResult, calls_of, results_of

MAX_DEPTH = 48
"""How deep the arguments of a call may nest, so that the line that they are written into can be read again."""

MAX_NUMBER = 10**1000
"""The whole number that is too large to be read again."""


@dataclass(frozen=True)
class Text:
    """Words."""

    text: str
    part: Any = None


@dataclass(frozen=True)
class Thinking:
    """What a model thought. ``signature`` is its provider's proof; ``sealed`` is what only the provider can read."""

    text: str
    signature: str | None = None
    sealed: str | None = None
    part: Any = None


@dataclass(frozen=True)
class Call:
    """A call of a tool. ``arguments`` are None where they are no object that JSON gives back exactly."""

    id: str | None
    name: str
    arguments: Mapping[str, Any] | None
    arguments_text: str
    part: Any = None


@dataclass(frozen=True)
class Result:
    """What a tool answered."""

    call_id: str | None
    name: str | None
    text: str
    is_error: bool
    part: Any = None


@dataclass(frozen=True)
class Other:
    """A part that means something to its own provider only."""

    part: Any


Block = Union[Text, Media, Thinking, Call, Result, Other]  # noqa: UP007 - Python 3.10 evaluates it


NOT_SAID_BY: Mapping[str, tuple[type, ...]] = {"user": (Call, Thinking), "system": (Call, Thinking, Media, Result)}
"""What messages of a role are not known to hold by any provider."""


def blocks_of(message: Mapping[str, Any]) -> list[Block]:
    """The blocks of a stored message, in their order; its content, too, where its parts have no words.

    A part that is stored beside the ledger is in none of them.
    """
    role, parts = message.get("role"), message.get("parts")
    fields = langchain_fields(parts) if isinstance(parts, Mapping) else {}
    listed = listed_parts(fields or parts)
    blocks: list[Block] = [block for part in listed if not has_reference(part) for block in _of_part(part)]
    if role == "tool" and not any(isinstance(block, Result) for block in blocks):
        return [_result(each) for each in results_of(message)]
    blocks += _of_fields({name: value for name, value in fields.items() if value is not listed}, blocks)
    # Names of files are words in content, and no words of the message.
    content, has_words = message.get("content"), any(isinstance(block, Text | Result) for block in blocks)
    if content and not has_words and content != text_of(listed):
        blocks.insert(0, Text(content))
    return [
        *_thinking_in_fields(fields, role),
        *(block for block in blocks if not isinstance(block, NOT_SAID_BY.get(str(role), ()))),
    ]


def _of_fields(fields: Mapping[str, Any], blocks: Sequence[Block]) -> Iterator[Block]:
    """The calls and results in a message's fields beside its parts; a call that is in both is there once."""
    message = {"role": "assistant", "parts": fields}
    known = {block.id for block in blocks if isinstance(block, Call)} - {None}
    yield from (_call(each) for each in calls_of(message) if each.name and each.id not in known)
    yield from map(_result, results_of(message))


def listed_parts(parts: Any) -> list[Any]:
    """The content parts of a provider's message: the parts themselves, or those among its fields."""
    if isinstance(parts, Mapping):
        parts = next((parts[name] for name in ("content", "parts") if isinstance(parts.get(name), list)), None)
    return parts if isinstance(parts, list) else []


def dump(value: Any) -> str:
    """JSON text, compact, with every character as itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_writable(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether a JSON value can be written so that it is read again as it is, within a message."""
    if isinstance(value, Mapping):
        return depth > 0 and all(is_writable(name, 1) and is_writable(each, depth - 1) for name, each in value.items())
    if isinstance(value, list):
        return depth > 0 and all(is_writable(each, depth - 1) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < MAX_NUMBER
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def _of_part(part: Any) -> Iterator[Block]:
    """The blocks of one part: of a call that has its result in it, both."""
    alone = {"role": "assistant", "content": "", "parts": [part]}
    calls, results = calls_of(alone), results_of(alone)
    if _is_run_by_anthropic(part):
        yield Other(part)
    elif calls or results:
        yield from (_call(each, part) for each in calls if each.name)
        yield from (_result(each, part) for each in results)
    elif isinstance(part, str):
        yield from [Text(part)] if part else []
    elif (media := media_of(part)) is not None:
        yield media
    elif (thinking := _thinking(part)) is not None:
        yield thinking
    elif text := text_of([part]):
        yield Text(text, part)
    else:
        yield Other(part)


def _is_run_by_anthropic(part: Any) -> bool:
    """Whether a part is the call or the result of a tool that Anthropic runs itself, amid the model's own words."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(kind, str):
        return False
    return kind in ("server_tool_use", "mcp_tool_use") or (kind.endswith("_tool_result") and kind != "tool_result")


def _call(call: ToolCall, part: Any = None) -> Call:
    given = {} if call.arguments == "" else call.arguments
    arguments = given if isinstance(given, Mapping) and is_writable(given) else None
    return Call(call.id, call.name, arguments, given if isinstance(given, str) else dump(given), part)


def _result(result: ToolResult, part: Any = None) -> Result:
    return Result(result.call_id, result.name, result.text, result.is_error, part)


def _thinking_in_fields(fields: Mapping[str, Any], role: Any) -> list[Thinking]:
    """What a model thought, where its provider has that as a field of its message."""
    texts = (fields.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    said = next((text for text in texts if isinstance(text, str) and text), None)
    return [Thinking(said)] if said and role == "assistant" else []


def _thinking(part: Any) -> Thinking | None:
    """The thinking in a part of Anthropic's, Bedrock's, Gemini's, Mistral's, the AI SDK's, or OpenAI's responses."""
    if not isinstance(part, Mapping):
        return None
    if isinstance(inner := part.get("reasoningContent"), Mapping):
        text = inner.get("reasoningText")
        known = text if isinstance(text, Mapping) else {}
        sealed = _word(inner.get("redactedContent"))
        return Thinking(_text(known.get("text")), _word(known.get("signature")), sealed, part)
    if not is_thinking(part):
        return None
    said = next((part[name] for name in ("thinking", "text", "summary", "content") if part.get(name)), "")
    return Thinking(_text(said), _word(part.get("signature")), _word(part.get("data")), part)


def _text(value: Any) -> str:
    """The text of thinking, which some providers have in parts."""
    texts = [each.get("text") for each in value if isinstance(each, Mapping)] if isinstance(value, list) else [value]
    return "\n".join(text for text in texts if isinstance(text, str))


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
