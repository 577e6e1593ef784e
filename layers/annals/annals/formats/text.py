"""The text in a message's parts, whichever provider's they are: what is shown as content, and found by search.

Every shape has its text under few names, so the parts are read by name, and nothing else in them is text: no
arguments of tool calls, no thinking, no bytes, no addresses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

THINKING = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_text", "reasoning-file", "summary_text"})
"""The types of parts that hold what a model thought, which is not what it said."""

LANGCHAIN_TYPES = frozenset({"human", "ai", "system", "tool", "function", "developer"})
"""The types of LangChain's messages that are roles, too."""

CONTENT_TYPES = frozenset(
    {"text", "image", "file", "document", "image_url", "input_text", "output_text", "input_image", "input_file"}
    | {"search_result", "resource", "resource_link", "audio", "media", "image-data", "file-data", "tool_reference"}
)
"""The types of parts in a tool's result that has parts and is not just any list."""

BEDROCK_RESULTS = frozenset({"text", "json", "image", "document", "video", "searchResult"})
"""The names in a part of a tool's result of Bedrock's, which has no type."""

ANSWERS = frozenset({"output", "result", "results", "error", "content", "text"})
"""The names under which tools answer, where a provider has them answer with an object."""

BASE64 = re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}")
"""Bytes within a tool's result, told from words by having no space in a length that no word has."""


def text_of(parts: Any) -> str:
    """The text in parts, piece by piece on lines of their own; empty where there is none.

    Text, refusals, transcripts, what tools answered, and the names and titles of files and sources are text. Thinking,
    arguments of tool calls, addresses and bytes are not.

    Parameters
    ----------
    parts : a list of a provider's content parts, an object of the fields of a provider's message, or any JSON
    """
    return "\n".join(text for text in _texts(parts) if text)


def text_of_result(value: Any) -> str:
    """The text of what a tool answered: a text, a list of content parts, or any JSON, which is written as JSON text."""
    return "\n".join(text for text in _result(value) if text)


def is_thinking(part: Any) -> bool:
    """Whether a part holds what a model thought."""
    if not isinstance(part, Mapping):
        return False
    kind = part.get("type")
    return (isinstance(kind, str) and kind in THINKING) or part.get("thought") is True


def _texts(value: Any) -> Iterator[str]:
    """The texts in a part, or in each of a list's."""
    if isinstance(value, list):
        for part in value:
            yield from _content(part)
    elif isinstance(value, Mapping) and not is_thinking(value):
        for name in sorted(value.keys() & _READERS.keys(), key=_ORDER.__getitem__):
            yield from _READERS[name](value[name])
        kind = value.get("type")
        if isinstance(kind, str) and (kind == "chat" or kind in LANGCHAIN_TYPES):
            yield from _texts(value.get("data"))
        elif kind == "constructor":
            yield from _texts(value.get("kwargs"))


def _content(value: Any) -> Iterator[str]:
    """The texts in content, which is a text or has parts."""
    if isinstance(value, str):
        yield value
    else:
        yield from _texts(value)


def _words(value: Any) -> Iterator[str]:
    """The text that a field is."""
    if isinstance(value, str):
        yield value


def _text(value: Any) -> Iterator[str]:
    """The text of a text part, which some providers keep a level deeper."""
    yield from _words(value)
    if isinstance(value, Mapping):
        yield from _words(value.get("value", value.get("text")))


def _source(value: Any) -> Iterator[str]:
    """The text of a document's source, where it is text."""
    yield from _texts(value)
    if isinstance(value, Mapping) and value.get("type") == "text":
        yield from _words(value.get("data"))


def _document(value: Any) -> Iterator[str]:
    """The name and the text of a document: Bedrock's has a name and a source, Cohere's has data."""
    if isinstance(value, Mapping):
        yield from _words(value.get("name"))
        if "data" in value:
            yield from _result(value["data"])
    yield from _texts(value)


def _function_response(value: Any) -> Iterator[str]:
    """What a function answered, in Gemini's shape: an object, and parts where it answered with files."""
    if isinstance(value, Mapping):
        yield from _result(value.get("response"))
        yield from _texts(value.get("parts"))


def _tool_invocations(value: Any) -> Iterator[str]:
    """What tools answered in the former shape of the AI SDK's messages."""
    for invocation in value if isinstance(value, list) else [value]:
        if isinstance(invocation, Mapping) and "result" in invocation:
            yield from _result(invocation["result"])


def _error(value: Any) -> Iterator[str]:
    """What went wrong with a tool: a text, or an object with a message."""
    yield from _words(value.get("message") if isinstance(value, Mapping) else value)


def _result(value: Any) -> Iterator[str]:
    """What a tool answered."""
    if isinstance(value, str):
        if not _is_encoded(value):
            yield value
    elif isinstance(value, list) and value and all(map(_is_content_part, value)):
        yield from _texts(value)
    elif isinstance(value, Mapping) and isinstance(value.get("type"), str) and "value" in value:
        yield from _result(value["value"])
    elif isinstance(value, Mapping) and len(value) == 1 and (name := str(next(iter(value)))) in ANSWERS:
        yield from _result(value[name])
    elif value not in (None, [], {}):
        yield json.dumps(_without_bytes(value), ensure_ascii=False)


def _is_content_part(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    kind = part.get("type")
    return kind in CONTENT_TYPES if isinstance(kind, str) else bool(part) and part.keys() <= BEDROCK_RESULTS


def _is_encoded(text: str) -> bool:
    return text.startswith("data:") or BASE64.fullmatch(text) is not None


def _without_bytes(value: Any) -> Any:
    """JSON without the texts in it that are bytes."""
    if isinstance(value, Mapping):
        return {name: _without_bytes(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_bytes(part) for part in value]
    return "" if isinstance(value, str) and _is_encoded(value) else value


_READERS: dict[str, Callable[[Any], Iterator[str]]] = {
    "title": _words,
    "filename": _words,
    "file_name": _words,
    "fileName": _words,
    "document_name": _words,
    "displayName": _words,
    "display_name": _words,
    "text": _text,
    "content": _content,
    "parts": _texts,
    "refusal": _words,
    "transcript": _words,
    "audio": _texts,
    "file": _texts,
    "document": _document,
    "source": _source,
    "resource": _texts,
    "searchResult": _texts,
    "citationsContent": _texts,
    "guardContent": _texts,
    "inlineData": _texts,
    "inline_data": _texts,
    "fileData": _texts,
    "file_data": _texts,
    "json": _result,
    "toolResult": _texts,
    "functionResponse": _function_response,
    "function_response": _function_response,
    "codeExecutionResult": _texts,
    "code_execution_result": _texts,
    "toolInvocation": _tool_invocations,
    "toolInvocations": _tool_invocations,
    "experimental_attachments": _texts,
    "output": _result,
    "outputs": _texts,
    "results": _texts,
    "stdout": _words,
    "stderr": _words,
    "logs": _words,
    "errorText": _words,
    "error": _error,
}
"""The names under which there is text, and how each is read; in this order the texts of a part stand."""

_ORDER = {name: place for place, name in enumerate(_READERS)}
