"""Events of Cohere's chat, version 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import failure
from .growing import Json, Lines, built, grow, present

TYPES = frozenset(
    {"message-start", "content-start", "content-delta", "content-end", "tool-plan-delta", "tool-call-start"}
    | {"tool-call-delta", "tool-call-end", "citation-start", "citation-end", "message-end", "debug"}
)


class CohereReply:
    """A reply of Cohere's chat."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._calls: dict[Any, dict[str, Any]] = {}
        self._fields: dict[str, Any] = {}
        self._lines = Lines()

    def take(self, chunk: Json) -> str:
        """Note an event; see ``ProviderReply.take``."""
        kind, delta = chunk.get("type"), chunk.get("delta") or {}
        message = delta.get("message") or {}
        if kind in ("content-start", "content-delta"):
            return self._take_content(chunk.get("index", 0), message.get("content") or {})
        if kind in ("tool-call-start", "tool-call-delta"):
            self._take_call(chunk.get("index", 0), message.get("tool_calls") or {})
        elif kind == "tool-plan-delta":
            grow(self._fields, "tool_plan", message.get("tool_plan"))
        elif kind == "citation-start" and message.get("citations"):
            self._fields.setdefault("citations", []).append(message["citations"])
        elif kind == "message-end":
            self._end(delta)
        return ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        blocks = list(self._blocks.values())
        content = {} if all("text" in block for block in blocks) else {"content": blocks}
        calls = present({"tool_calls": list(self._calls.values())})
        whole: dict[str, Any] = built({**content, **calls, **self._fields})
        return whole

    def _take_content(self, index: Any, content: Any) -> str:
        if isinstance(content, str):
            content = {"text": content}
        name = "thinking" if content.get("thinking") is not None else "text"
        if content.get(name) is None:
            return ""
        block = self._blocks.setdefault(index, {"type": name, name: ""})
        grow(block, name, content[name])
        if name == "text":
            return self._lines.text(index, content["text"])
        self._lines.other()
        return ""

    def _take_call(self, index: Any, delta: Json) -> None:
        call = self._calls.setdefault(index, {})
        function = delta.get("function") or {}
        call.update({name: value for name, value in delta.items() if name != "function"})
        whole = call.setdefault("function", {"arguments": ""})
        whole.update(present({"name": function.get("name")}))
        grow(whole, "arguments", function.get("arguments"))
        self._lines.other()

    def _end(self, delta: Json) -> None:
        self.finish_reason, self.is_open = delta.get("finish_reason") or None, False
        if isinstance(delta.get("usage"), Mapping):
            self._fields["usage"] = delta["usage"]
        if delta.get("error"):
            raise failure(str(self.finish_reason or "error"), delta["error"])
