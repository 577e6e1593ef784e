"""Events of Amazon Bedrock's ConverseStream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import UnknownChunk, failure
from .growing import Json, Lines, built, grow, merge, parsed, present

EVENTS = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)


class BedrockReply:
    """A reply of ConverseStream."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._lines = Lines()

    def take(self, chunk: Json) -> str:
        """Note an event; see ``ProviderReply.take``."""
        for name, said in chunk.items():
            if name.endswith("Exception"):
                raise failure(name, said)
            if name in EVENTS and not isinstance(said, Mapping):
                raise UnknownChunk(chunk)
            if name == "contentBlockStart":
                self._start(said)
            elif name == "contentBlockDelta":
                return self._take_delta(said, chunk)
            elif name == "messageStop":
                self.finish_reason, self.is_open = said.get("stopReason"), False
            elif name == "metadata":
                self._usage.update(present(said.get("usage") or {}))
        return ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        blocks = [_block(block) for block in self._blocks.values()]
        content = {} if all(block.keys() <= {"text"} for block in blocks) else {"content": blocks}
        return {**content, **present({"usage": self._usage})}

    def _start(self, said: Json) -> None:
        start = said.get("start") or {}
        self._block(said.get("contentBlockIndex", 0), start).update(start)
        self._lines.other()

    def _block(self, index: Any, piece: Json) -> dict[str, Any]:
        """The block that a piece belongs to. It holds one kind of thing, even where another has its index."""
        kind = next(iter(piece), "text")
        return self._blocks.setdefault((index, "text" if kind == "citation" else kind), {})

    def _take_delta(self, said: Json, chunk: Json) -> str:
        index, delta = said.get("contentBlockIndex", 0), said.get("delta")
        if not isinstance(delta, Mapping):
            raise UnknownChunk(chunk)
        block = self._block(index, delta)
        if "text" in delta:
            grow(block, "text", delta["text"])
            return self._lines.text(index, delta["text"])
        if "citation" in delta:
            block["citations"] = [*block.get("citations", []), delta["citation"]]
        elif isinstance(delta.get("toolUse"), Mapping):
            grow(block.setdefault("toolUse", {}), "input", delta["toolUse"].get("input"))
        else:
            merge(block, delta)
        self._lines.other()
        return ""


def _block(block: Json) -> dict[str, Any]:
    """A block as Converse takes and gives it."""
    whole: dict[str, Any] = built(block)
    if isinstance(whole.get("toolUse"), Mapping):
        whole["toolUse"] = {**whole["toolUse"], "input": parsed(whole["toolUse"].get("input"))}
    reasoning = whole.get("reasoningContent")
    if isinstance(reasoning, Mapping) and reasoning.keys() & {"text", "signature"}:
        whole["reasoningContent"] = {"reasoningText": reasoning}
    if "citations" in whole:
        cited = {"content": [{"text": whole.get("text", "")}], "citations": whole["citations"]}
        return {"citationsContent": cited}
    return whole
