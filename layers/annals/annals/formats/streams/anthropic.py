"""Events of Anthropic's messages: those of the API, and those that its SDK adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .growing import Json, Lines, built, grow, parsed, present

GROWING = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""The field of a block that grows by each kind of delta; the delta has it under the same name."""


class AnthropicReply:
    """A reply of Anthropic's messages."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = False
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._lines = Lines()

    def take(self, chunk: Json) -> str:
        """Note an event; see ``ProviderReply.take``."""
        kind = chunk.get("type")
        if kind == "text":
            # The SDK gives it beside the event that it is made of, unless the caller passes on this kind alone.
            return "" if self._blocks else str(chunk.get("text") or "")
        if kind in ("content_block_start", "content_block_delta"):
            self.is_open = True
            return self._take_block(chunk)
        message = chunk.get("message") if kind == "message_start" else chunk
        if kind in ("message_start", "message_delta") and isinstance(message, Mapping):
            self.is_open = self.is_open or kind == "message_start"
            self._usage.update(present(message.get("usage") or {}))
            reason = (chunk.get("delta") or {}).get("stop_reason")
            self.finish_reason = reason or self.finish_reason
        if kind == "message_stop" or self.finish_reason:
            self.is_open = False
        return ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        blocks = [_block(block) for block in self._blocks.values()]
        content = {} if all(map(_is_plain, blocks)) else {"content": blocks}
        return {**content, **present({"usage": self._usage})}

    def _take_block(self, chunk: Json) -> str:
        index = chunk.get("index", 0)
        if chunk["type"] == "content_block_start":
            block = self._blocks[index] = {}
            block.update(chunk.get("content_block") or {})
            text = block.pop("text", None)
            if text is not None:
                block["text"] = ""
                return self._add(index, block, "text", text)
            self._lines.other()
            return ""
        delta = chunk.get("delta") or {}
        kind = delta.get("type", "")
        name = GROWING.get(kind)
        if name is not None:
            return self._add(index, self._block(index, _type_of(name)), name, delta.get(name))
        if kind == "citations_delta" and index in self._blocks:
            block = self._blocks[index]
            block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
        return ""

    def _block(self, index: Any, block_type: str) -> dict[str, Any]:
        """The block that a delta belongs to. It is of one type, even where one of another type has its index."""
        block = self._blocks.get(index)
        if block is None or not str(block.get("type")).endswith(block_type):
            key = index if block is None else (index, block_type)
            block = self._blocks.setdefault(key, {"type": block_type})
        return block

    def _add(self, index: Any, block: dict[str, Any], name: str, piece: Any) -> str:
        """Add a piece to a block; the text that it adds to the reply."""
        grow(block, name, piece)
        if name == "text":
            return self._lines.text(index, piece)
        self._lines.other()
        return ""


def _type_of(name: str) -> str:
    """The type of a block of which only the deltas came."""
    return {"text": "text", "partial_json": "tool_use"}.get(name, "thinking")


def _block(block: Json) -> dict[str, Any]:
    """A block as a message has it, the input of a tool as the JSON that it is."""
    whole: dict[str, Any] = built({name: value for name, value in block.items() if value is not None})
    if "partial_json" in whole:
        whole["input"] = parsed(whole.pop("partial_json"))
    return whole


def _is_plain(block: Json) -> bool:
    return block.get("type") == "text" and not block.get("citations")
