"""Parts of the AI SDK's full stream, and chunks of its UI message stream. Both become the parts of a UI message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import error_text
from .growing import Json, Lines, built, grow, parsed, present

TYPES = frozenset(
    {"start", "start-step", "text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta"}
    | {"reasoning-end", "reasoning", "reasoning-file", "tool-input-start", "tool-input-delta", "tool-input-end"}
    | {"tool-input-available", "tool-input-error", "tool-call", "tool-result", "tool-error", "tool-output-available"}
    | {"tool-output-error", "tool-output-denied", "tool-approval-request", "tool-approval-response", "source"}
    | {"source-url", "source-document", "file", "finish-step", "finish", "abort", "raw", "ping", "message-metadata"}
    | {"step-start", "step-finish", "tool-call-streaming-start", "stream-start", "response-metadata"}
)
WHOLE_PARTS = frozenset({"source-url", "source-document", "file", "reasoning-file"})
"""The chunks that are parts of a message as they are."""

QUIET = frozenset({"step-start"})


class AISDKReply:
    """A reply of the AI SDK, of one step or of several with calls of tools between them."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._parts: list[dict[str, Any]] = []
        self._open: dict[tuple[str, Any], dict[str, Any]] = {}
        self._tools: dict[Any, dict[str, Any]] = {}
        self._metadata: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._lines = Lines()

    def take(self, chunk: Json) -> str:
        """Note a part of the stream; see ``ProviderReply.take``."""
        kind = str(chunk.get("type"))
        if kind in ("text-delta", "reasoning-delta", "reasoning"):
            return self._take_text(kind.partition("-")[0], chunk)
        if kind in ("text-end", "reasoning-end"):
            self._open.pop((kind.partition("-")[0], chunk.get("id")), {}).update(state="done")
            return ""
        if kind.startswith("tool-"):
            self._take_tool(kind, chunk)
        elif kind in ("start-step", "step-start"):
            self._add({"type": "step-start"})
        elif kind in WHOLE_PARTS or (kind.startswith("data-") and not chunk.get("transient")):
            self._add(dict(chunk))
        elif kind == "source":
            named = {name: value for name, value in chunk.items() if name not in ("type", "sourceType", "id")}
            self._add({"type": f"source-{chunk.get('sourceType', 'url')}", "sourceId": chunk.get("id"), **named})
        else:
            self._take_end(kind, chunk)
        return ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        parts = [_part(part) for part in self._parts]
        content = {} if all(map(_is_plain, parts)) else {"parts": parts}
        return {**content, **present({"metadata": self._metadata, "usage": self._usage})}

    def _take_text(self, kind: str, chunk: Json) -> str:
        piece = next((chunk[name] for name in ("delta", "text", "textDelta") if isinstance(chunk.get(name), str)), "")
        key = (kind, chunk.get("id"))
        if key not in self._open:
            named = {"id": chunk["id"]} if kind == "reasoning" and "id" in chunk else {}
            self._open[key] = {"type": kind, **named, "text": "", "state": "streaming"}
            self._parts.append(self._open[key])
        part = self._open[key]
        grow(part, "text", piece)
        if kind == "text":
            return self._lines.text(id(part), piece)
        self._lines.other()
        return ""

    def _add(self, part: dict[str, Any]) -> None:
        self._parts.append(part)
        self._lines.other()

    def _take_tool(self, kind: str, chunk: Json) -> None:
        """Note what becomes of a call: its input, piece by piece or whole, and what the tool answered."""
        call_id = chunk.get("toolCallId", chunk.get("id"))
        tool = self._tools.get(call_id)
        if tool is None:
            tool = self._tools[call_id] = {"toolCallId": call_id, "state": "input-streaming"}
            self._add(tool)
        tool.update(present({name: chunk.get(name) for name in ("toolName", "dynamic", "providerExecuted")}))
        grow(tool, "inputText", chunk.get("inputTextDelta", chunk.get("delta")))
        if "input" in chunk or "args" in chunk:
            tool["input"] = chunk.get("input", chunk.get("args"))
        answer = chunk.get("output", chunk.get("result"))
        error = chunk.get("errorText", chunk.get("error"))
        if kind in ("tool-input-available", "tool-call"):
            tool["state"] = "input-available"
        elif kind in ("tool-result", "tool-output-available") and not chunk.get("preliminary"):
            tool.update(state="output-available", output=answer)
        elif kind in ("tool-error", "tool-input-error", "tool-output-error"):
            tool.update(state="output-error", errorText=error_text(error))
        elif kind == "tool-output-denied":
            tool["state"] = "output-denied"
        elif kind == "tool-approval-request":
            tool.update(state="approval-requested", approval={"id": chunk.get("approvalId")})

    def _take_end(self, kind: str, chunk: Json) -> None:
        for name in ("messageMetadata", "metadata"):
            if isinstance(chunk.get(name), Mapping):
                self._metadata.update(chunk[name])
        if kind in ("finish", "finish-step", "step-finish"):
            reason = chunk.get("finishReason")
            reason = reason.get("unified") if isinstance(reason, Mapping) else reason
            self.finish_reason = reason if isinstance(reason, str) else self.finish_reason
            usage = chunk.get("totalUsage", chunk.get("usage"))
            if isinstance(usage, Mapping):
                self._usage = present(usage)
        if kind == "finish":
            self.is_open = False
        if kind == "abort":
            self.finish_reason, self.is_open = "abort", False


def _part(part: Json) -> dict[str, Any]:
    """A part as a UI message has it."""
    whole: dict[str, Any] = built(part)
    if "toolCallId" not in whole:
        return whole
    name, text = whole.pop("toolName", ""), whole.pop("inputText", None)
    is_dynamic = whole.pop("dynamic", False)
    typed = {"type": "dynamic-tool", "toolName": name} if is_dynamic else {"type": f"tool-{name}"}
    given = {"input": parsed(text)} if text is not None and "input" not in whole else {}
    return {**typed, **whole, **given}


def _is_plain(part: Json) -> bool:
    return part.get("type") in QUIET or (part.get("type") == "text" and part.keys() <= {"type", "text", "state"})
