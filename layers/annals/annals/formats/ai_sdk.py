"""Messages as the AI SDK's user interfaces have them: a line is ``{"messages": [{"id", "role", "parts"}, …]}``.

A call and its result are one part of the assistant's message, whose state says which it is. An id is the one that the
message was stored with, and else the one by which the ledger knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

from .attachments import Media
from .blocks import Block, Call, Other, Result, Text, Thinking
from .steps import Answers
from .whole_exchanges import Message, walk_whole_exchanges

PARTS = {
    "text": ({"text"}, {"state", "providerMetadata"}),
    "reasoning": ({"text"}, {"id", "state", "providerMetadata"}),
    "file": ({"mediaType", "url"}, {"filename", "providerMetadata"}),
    "source-url": ({"sourceId", "url"}, {"title", "providerMetadata"}),
    "source-document": ({"sourceId", "mediaType", "title"}, {"filename", "providerMetadata"}),
    "step-start": (set[str](), set[str]()),
}
"""The types of parts, with the fields that each must and may have; beside these there are tools and data."""


def to_fields(messages: Iterable[Message]) -> Iterator[tuple[str, Any]]:
    """The fields of a conversation's line, of which ``messages`` are read as they are asked for; none without any."""
    written = _written(messages)
    if (first := next(written, None)) is not None:
        yield "messages", chain([first], written)


def _written(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    numbers = count(1)
    for exchange in walk_whole_exchanges(messages):
        answers = Answers(exchange, numbers)
        for message, blocks in answers.said:
            if message["role"] != "tool" and (parts := [*_parts(blocks, message["role"], answers)]):
                yield _message(message, parts)


def _message(message: Message, parts: Sequence[Any]) -> dict[str, Any]:
    stored = message.get("parts")
    fields = stored if isinstance(stored, Mapping) else {}
    ids = (fields.get("id"), message.get("externalId"), message["messageId"])
    metadata = message.get("metadata", fields.get("metadata"))
    return {
        "id": next(each for each in ids if isinstance(each, str)),
        "role": message["role"],
        **({"metadata": metadata} if metadata is not None else {}),
        "parts": parts,
    }


def _parts(blocks: Sequence[Block], role: str, answers: Answers) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if isinstance(block, Call):
            answer = answers.find(block)
            yield _tool(block, answer.blocks[0] if answer else None)
        elif isinstance(block, Text):
            yield dict(block.part) if _is_own(block.part) else {"type": "text", "text": block.text}
        elif role != "system" and not isinstance(block, Result) and (part := _other(block)):
            yield part


def _other(block: Thinking | Media | Other) -> dict[str, Any] | None:
    if _is_own(block.part):
        return dict(block.part)
    if isinstance(block, Thinking) and block.text:
        return {"type": "reasoning", "text": block.text}
    if isinstance(block, Media) and block.data_url:
        name = {"filename": block.name} if block.name else {}
        return {"type": "file", "mediaType": block.media_type, "url": block.data_url, **name}
    return None


def _tool(call: Call, result: Block | None) -> dict[str, Any]:
    """The part of a call, with its result where there is one."""
    if _is_tool(call.part) and (not isinstance(result, Result) or result.part == call.part):
        return dict(call.part)
    part = {"type": f"tool-{call.name}", "toolCallId": call.id}
    given = call.arguments_text if call.arguments is None else call.arguments
    if not isinstance(result, Result):
        return {**part, "state": "input-available", "input": given}
    if result.is_error:
        return {**part, "state": "output-error", "input": given, "errorText": result.text}
    return {**part, "state": "output-available", "input": given, "output": result.text}


def _is_own(part: Any) -> bool:
    """Whether a part is one of the AI SDK's that is no tool's."""
    if not isinstance(part, Mapping) or not isinstance(kind := part.get("type"), str):
        return False
    if kind.startswith("data-"):
        return "data" in part
    required, optional = PARTS.get(kind, ({"no part of this type"}, set[str]()))
    return required <= part.keys() <= required | optional | {"type"} and all(
        isinstance(part[each], str) for each in required
    )


def _is_tool(part: Any) -> bool:
    """Whether a part is a tool's, in the AI SDK's shape."""
    if not isinstance(part, Mapping) or not isinstance(kind := part.get("type"), str):
        return False
    return "state" in part and "toolCallId" in part and (kind.startswith("tool-") or kind == "dynamic-tool")
