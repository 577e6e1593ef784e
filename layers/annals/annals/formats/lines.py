"""Conversations as lines of files, in the formats that other programs read and write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import ai_sdk, anthropic, bedrock, openai_chat, sharegpt
from .blocks import dump
from .messages import from_provider, to_annals
from .whole_exchanges import Message

LINE_FORMATS: dict[str, Callable[[Iterable[Message]], Iterator[tuple[str, Any]]]] = {
    "openai-chat": openai_chat.to_fields,
    "anthropic": anthropic.to_fields,
    "bedrock": bedrock.to_fields,
    "ai-sdk": ai_sdk.to_fields,
    "sharegpt": sharegpt.to_fields,
}
"""The formats by name, each as what makes the fields of a line; a list in them may be an iterator."""

LISTS = ("messages", "conversations")
"""The fields in one of which the messages of a line are."""

FIELDS = frozenset({*LISTS, "system", "schemaVersion"})
"""The fields of a line that belong to its messages; others say something about the conversation."""


def _is_list_with(value: Any, *names: str) -> bool:
    """Whether this is a list of objects that have these fields."""
    return isinstance(value, list) and all(isinstance(each, Mapping) and each.keys() >= {*names} for each in value)


TOOL_FIELDS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "openai-chat": {
        "tools": lambda value: _is_list_with(value, "type", "function"),
        "functions": lambda value: _is_list_with(value, "name"),
        "parallel_tool_calls": lambda value: isinstance(value, bool),
    },
    "anthropic": {"tools": lambda value: _is_list_with(value, "name", "input_schema")},
    "bedrock": {"toolConfig": lambda value: isinstance(value, Mapping) and _is_list_with(value.get("tools"))},
    "sharegpt": {"tools": lambda value: isinstance(value, str)},
}
"""The fields beside its messages in which a line says which tools there are, and how each is known to be that."""


def write_line(name: str, messages: Iterable[Message], metadata: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The pieces of a line, without its end; none of a conversation of which the format has no messages.

    Messages are read as the line is written. What the conversation's metadata says about tools, as the format does,
    is in the line: an import puts it there.
    """
    begin = "{"
    for field, value in LINE_FORMATS[name](messages):
        yield f"{begin}{dump(field)}:"
        yield from _pieces(value)
        begin = ","
    if begin == ",":
        known = TOOL_FIELDS.get(name, {})
        for field, value in (metadata or {}).items():
            if field in known and known[field](value):
                yield f",{dump(field)}:{dump(value)}"
        yield "}"


def present_line(name: str, messages: Iterable[Message]) -> dict[str, Any]:
    """What a line has, in any format: ``messages``, and ``system`` where it is beside them."""
    line = {field: _whole(value) for field, value in LINE_FORMATS[name](messages)}
    said: list[Any] = next((line[field] for field in LISTS if field in line), [])
    return {"messages": said, **({"system": line["system"]} if "system" in line else {})}


def read_line(line: Mapping[str, Any]) -> list[Any] | None:
    """The messages of a line in Annals' shape, the system's first; None where it is a line of no such format.

    What is no message stays as it is, for the caller to refuse.
    """
    found = next((line[field] for field in LISTS if isinstance(line.get(field), list)), None)
    if found is None or "type" in line:
        return None
    messages = found if "messages" in line else sharegpt.from_entries(found)
    opening = [{"role": "system", "content": line["system"]}] if line.get("system") else []
    return [_to_annals(each) if isinstance(each, Mapping) else each for each in [*opening, *messages]]


def _to_annals(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in Annals' shape. All that it has is the provider's, but for the metadata of the AI SDK's."""
    return to_annals(message) if "parts" in message else from_provider(message)


def _pieces(value: Any) -> Iterator[str]:
    """The pieces of a JSON text, of which no list that is an iterator is held whole."""
    if isinstance(value, Iterator):
        begin = "["
        for each in value:
            yield begin
            yield from _pieces(each)
            begin = ","
        yield "]" if begin == "," else "[]"
    elif isinstance(value, Mapping) and any(isinstance(each, Iterator) for each in value.values()):
        begin = "{"
        for name, each in value.items():
            yield f"{begin}{dump(name)}:"
            yield from _pieces(each)
            begin = ","
        yield "}"
    else:
        yield dump(value)


def _whole(value: Any) -> Any:
    """A JSON value with its iterators read."""
    if isinstance(value, Iterator):
        return [_whole(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _whole(each) for name, each in value.items()}
    return value
