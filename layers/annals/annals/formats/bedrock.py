"""Messages as Bedrock's Converse API has them.

A line is that of Bedrock's training files: ``{"schemaVersion": "bedrock-conversation-2024", "messages": […],
"system": […]}``. Roles alternate, and what is left out is the same as in Anthropic's format; so are files of which only
an address is known that is not one in S3. Bytes are in base64, as in the API's own JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from .attachments import SHORT_NAMES, Media
from .blocks import Block, Call, Result, Text, Thinking
from .steps import Step, ToolIds, turns_of
from .whole_exchanges import Message

SCHEMA = "bedrock-conversation-2024"

BLOCKS: Mapping[str, set[str]] = {
    "image": {"format", "source"},
    "document": {"name", "source"},
    "video": {"format", "source"},
    "audio": {"format", "source"},
    "toolUse": {"toolUseId", "name", "input"},
    "toolResult": {"toolUseId", "content"},
    "cachePoint": {"type"},
    "searchResult": {"source", "title", "content"},
    "guardContent": set(),
    "reasoningContent": set(),
    "citationsContent": set(),
}
"""The kinds of blocks beside text, each in a field of the same name, and the fields that they must have."""

OPTIONAL = {"format", "context", "citations", "type", "status", "ttl", "content"}
"""The fields that they may have beside these."""

SYSTEM_BLOCKS = {"text", "guardContent", "cachePoint"}

FORMATS = {
    "image": frozenset({"png", "jpeg", "gif", "webp"}),
    "document": frozenset({"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"}),
    "video": frozenset({"mov", "mp4", "webm", "mpeg"}),
    "audio": frozenset({"mp3", "wav", "flac", "ogg", "aac"}),
}
"""The formats of each kind of media."""


def to_fields(messages: Iterable[Message]) -> Iterator[tuple[str, Any]]:
    """The fields of a conversation's line, of which ``messages`` are read as they are asked for; none without any."""
    system: list[list[dict[str, Any]]] = []
    turns = turns_of(messages, _Writer().write, system)
    written = ({"role": role, "content": chain.from_iterable(blocks)} for role, blocks in turns)
    if (first := next(written, None)) is not None:
        yield "schemaVersion", SCHEMA
        yield "messages", chain([first], written)
        if system:
            yield "system", [*chain.from_iterable(system)]


class _Writer:
    """Writes the steps of one conversation."""

    def __init__(self) -> None:
        self._ids = ToolIds(r"[^A-Za-z0-9_.:-]")

    def write(self, step: Step) -> list[dict[str, Any]]:
        """The blocks of a step."""
        blocks = [block for each in step.blocks if (block := self._block(each, step.role)) is not None]
        return [block for block in blocks if step.role != "system" or block.keys() <= SYSTEM_BLOCKS]

    def _block(self, block: Block, role: str) -> dict[str, Any] | None:
        if isinstance(block, Call):
            return self._call(block)
        if isinstance(block, Result):
            return self._result(block)
        if _is_own(block.part):
            return dict(block.part)
        if isinstance(block, Text):
            return {"text": block.text} if block.text.strip() else None
        if isinstance(block, Thinking) and role == "assistant":
            return _thinking(block)
        return _media(block) if isinstance(block, Media) and role == "user" else None

    def _call(self, call: Call) -> dict[str, Any] | None:
        if call.arguments is None:
            return None
        own = call.part["toolUse"] if _is_own(call.part) else {}
        use = {**own, "toolUseId": self._ids.of_call(call.id), "name": call.name, "input": call.arguments}
        return {"toolUse": use}

    def _result(self, result: Result) -> dict[str, Any] | None:
        if (call_id := self._ids.of_result(result.call_id)) is None:
            return None
        if _is_own(result.part):
            return {"toolResult": {**result.part["toolResult"], "toolUseId": call_id}}
        failed = {"status": "error"} if result.is_error else {}
        return {"toolResult": {"toolUseId": call_id, "content": [{"text": result.text}], **failed}}


def _is_own(part: Any) -> bool:
    """Whether a part is a block of Bedrock's; one without words is none."""
    if not isinstance(part, Mapping) or len(part) != 1:
        return False
    ((kind, value),) = part.items()
    if kind == "text":
        return isinstance(value, str) and bool(value.strip())
    if (required := BLOCKS.get(kind)) is None or not isinstance(value, Mapping) or not value:
        return False
    return not required or required <= value.keys() <= required | OPTIONAL


def _thinking(thinking: Thinking) -> dict[str, Any] | None:
    """Thinking that its model's provider can verify."""
    if thinking.sealed:
        return {"reasoningContent": {"redactedContent": thinking.sealed}}
    if not thinking.signature:
        return None
    return {"reasoningContent": {"reasoningText": {"text": thinking.text, "signature": thinking.signature}}}


def _media(media: Media) -> dict[str, Any] | None:
    short = SHORT_NAMES.get(media.media_type)
    kind = next((kind for kind, formats in FORMATS.items() if short in formats), None)
    if kind is None:
        return None
    if media.data is not None:
        source: dict[str, Any] = {"bytes": media.data}
    elif (media.url or "").startswith("s3://"):
        source = {"s3Location": {"uri": media.url}}
    else:
        return None
    name = {"name": _document_name(media.name)} if kind == "document" else {}
    return {kind: {"format": short, **name, "source": source}}


def _document_name(name: str | None) -> str:
    """A name of the characters that Bedrock takes."""
    return " ".join(re.sub(r"[^A-Za-z0-9\s()\[\]-]", "-", name or "").split())[:200] or "document"
