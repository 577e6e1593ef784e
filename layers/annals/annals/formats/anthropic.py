"""Messages as Anthropic's API has them: a line is ``{"messages": […], "system": …}``.

Roles alternate, so messages in a row by the same one are one message; results of tools begin the user's message that
follows their calls. What the system says, wherever it does, is in ``system``, and what the assistant says before the
user does is left out. So is what has no words, what another's model thought, calls whose arguments are no object, with
their results, and the names of speakers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from .attachments import Media
from .blocks import Block, Call, Result, Text, Thinking
from .steps import Step, ToolIds, turns_of
from .whole_exchanges import Message

IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")

BLOCKS = {
    "text": {"text"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "image": {"source"},
    "document": {"source"},
    "search_result": {"source", "title", "content"},
    "tool_use": {"id", "name", "input"},
    "tool_result": {"tool_use_id"},
    "server_tool_use": {"id", "name", "input"},
    "web_search_tool_result": {"tool_use_id", "content"},
    "web_fetch_tool_result": {"tool_use_id", "content"},
    "code_execution_tool_result": {"tool_use_id", "content"},
    "bash_code_execution_tool_result": {"tool_use_id", "content"},
    "text_editor_code_execution_tool_result": {"tool_use_id", "content"},
    "tool_search_tool_result": {"tool_use_id", "content"},
    "container_upload": {"file_id"},
}
"""The types of blocks, and the fields that each must have."""

OPTIONAL = {
    "type",
    "cache_control",
    "citations",
    "title",
    "context",
    "caller",
    "is_error",
    "content",
    "transformations",
}
"""The fields that blocks may have beside these."""


def to_fields(messages: Iterable[Message]) -> Iterator[tuple[str, Any]]:
    """The fields of a conversation's line, of which ``messages`` are read as they are asked for; none without any."""
    system: list[list[dict[str, Any]]] = []
    turns = turns_of(messages, _Writer().write, system)
    written = ({"role": role, "content": _content(blocks)} for role, blocks in turns)
    if (first := next(written, None)) is not None:
        yield "messages", chain([first], written)
        if system:
            yield "system", _content(iter(system))


def _content(steps: Iterator[list[dict[str, Any]]]) -> Any:
    """The text that is all of a turn, or its blocks."""
    first, second = next(steps), next(steps, None)
    if second is None and len(first) == 1 and isinstance(first[0], _Words):
        return first[0]["text"]
    return chain(first, second or (), chain.from_iterable(steps))


class _Words(dict[str, Any]):
    """The block of a message that was stored without blocks."""


class _Writer:
    """Writes the steps of one conversation."""

    def __init__(self) -> None:
        self._ids = ToolIds(r"[^A-Za-z0-9_-]")

    def write(self, step: Step) -> list[dict[str, Any]]:
        """The blocks of a step."""
        return [block for each in step.blocks if (block := self._block(each, step.role)) is not None]

    def _block(self, block: Block, role: str) -> dict[str, Any] | None:
        if isinstance(block, Call):
            return self._call(block)
        if isinstance(block, Result):
            return self._result(block)
        if isinstance(block, Text):
            return _text(block)
        if role == "system":
            return None
        if _is_own(block.part):
            return dict(block.part)
        if isinstance(block, Thinking) and role == "assistant":
            return _thinking(block)
        return _media(block) if isinstance(block, Media) and role == "user" else None

    def _call(self, call: Call) -> dict[str, Any] | None:
        if call.arguments is None:
            return None
        own = call.part if _is_own(call.part) else {"type": "tool_use"}
        return {**own, "id": self._ids.of_call(call.id), "name": call.name, "input": call.arguments}

    def _result(self, result: Result) -> dict[str, Any] | None:
        if (call_id := self._ids.of_result(result.call_id)) is None:
            return None
        if _is_own(result.part):
            return {**result.part, "tool_use_id": call_id}
        failed = {"is_error": True} if result.is_error else {}
        return {"type": "tool_result", "tool_use_id": call_id, "content": result.text, **failed}


def _is_own(part: Any) -> bool:
    """Whether a part is a block of Anthropic's."""
    if not isinstance(part, Mapping) or (required := BLOCKS.get(str(part.get("type")))) is None:
        return False
    return required <= part.keys() <= required | OPTIONAL and _has_source(part)


def _has_source(part: Mapping[str, Any]) -> bool:
    return part["type"] not in ("image", "document") or isinstance(part["source"], Mapping)


def _text(text: Text) -> dict[str, Any] | None:
    """Words; there is no block without any."""
    if not text.text.strip():
        return None
    if text.part is None:
        return _Words(type="text", text=text.text)
    return dict(text.part) if _is_own(text.part) else {"type": "text", "text": text.text}


def _thinking(thinking: Thinking) -> dict[str, Any] | None:
    """Thinking that Anthropic can verify."""
    if thinking.sealed:
        return {"type": "redacted_thinking", "data": thinking.sealed}
    if not thinking.signature:
        return None
    return {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}


def _media(media: Media) -> dict[str, Any] | None:
    """An image or a PDF, by its address or with its bytes."""
    is_pdf = media.media_type == "application/pdf"
    if media.data is not None and (is_pdf or media.media_type in IMAGES):
        source: dict[str, Any] = {"type": "base64", "media_type": media.media_type, "data": media.data}
    elif (is_pdf or media.kind == "image") and (media.url or "").startswith(("http://", "https://")):
        source = {"type": "url", "url": media.url}
    else:
        return None
    title = {"title": media.name} if is_pdf and media.name else {}
    return {"type": "document" if is_pdf else "image", "source": source, **title}
