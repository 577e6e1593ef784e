"""Messages as LangChain's models and LangGraph's graphs stream them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .growing import Json, Lines, add_usage, built, grow, merge, merge_list, parsed, present

OF_MODEL = frozenset({"AIMessageChunk", "ai"})
OF_OTHERS = frozenset(
    {"HumanMessageChunk", "human", "SystemMessageChunk", "system", "ToolMessageChunk", "tool", "FunctionMessageChunk"}
    | {"function"}
)
TYPES = OF_MODEL | OF_OTHERS
"""The types of messages, by who speaks."""

TEXTS = ("text", "output_text")

LAST_SAID = ("response_metadata", "additional_kwargs")


class LangChainReply:
    """A reply that LangChain streams. Messages of others than the model are no part of it."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        # Not every model says its end, so none is waited for.
        self.is_open = False
        self._fields: dict[str, Any] = {}
        self._content: list[Any] = []
        self._calls: list[dict[str, Any]] = []
        self._invalid: list[Any] = []
        self._has_blocks = False
        self._ids: list[Any] = []
        self._lines = Lines()

    def take(self, chunk: Json) -> str:
        """Note a message or a piece of one; see ``ProviderReply.take``."""
        kind, message_id = chunk.get("type"), chunk.get("id")
        is_repeated = kind == "ai" and message_id is not None and message_id in self._ids
        if kind not in OF_MODEL or is_repeated:
            self._lines.other()
            return ""
        if message_id is not None and message_id not in self._ids:
            self._ids.append(message_id)
            self._lines.other()
        self._take_calls(chunk)
        self._take_metadata(chunk)
        return self._lines.text((message_id,), self._take_content(chunk.get("content")))

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        calls = [_call(call) for call in built(self._calls)]
        sorted_calls = {
            "tool_calls": [call for call in calls if call["type"] == "tool_call"],
            "invalid_tool_calls": [*(call for call in calls if call["type"] != "tool_call"), *self._invalid],
        }
        content = {"content": [_block(block) for block in self._content]} if self._has_blocks else {}
        content = {} if self._is_plain() else content
        found = present(built({**content, **self._fields, **sorted_calls}))
        return {"type": "ai", **found} if found else {}

    def _take_content(self, content: Any) -> str:
        if isinstance(content, str):
            content = [{"type": "text", "text": content}] if content else []
        elif content:
            self._has_blocks = True
        return "".join(self._take_block(block) for block in content or ())

    def _take_block(self, block: Any) -> str:
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        if not isinstance(block, Mapping):
            return ""
        before = self._content[-1] if self._content else {}
        is_same = before.get("type") == block.get("type") and before.get("index") == block.get("index")
        if is_same and block.get("type") in (*TEXTS, "thinking", "reasoning"):
            merge(before, block)
        else:
            merge_list(self._content, [block])
        if block.get("type") not in TEXTS:
            return ""
        text = block.get("text")
        return text if isinstance(text, str) else ""

    def _take_calls(self, chunk: Json) -> None:
        pieces = chunk.get("tool_call_chunks") or chunk.get("tool_calls") or ()
        for piece in pieces:
            if isinstance(piece, Mapping):
                self._take_call({**piece, "index": (self._place(), piece.get("index"))})
        if not chunk.get("tool_call_chunks"):
            self._invalid += chunk.get("invalid_tool_calls") or ()

    def _place(self) -> Any:
        return self._ids[-1] if self._ids else None

    def _take_call(self, piece: dict[str, Any]) -> None:
        """Note a piece of a call: it goes on with the one of its index, else with none."""
        call_id = piece.get("id")
        same = [call for call in self._calls if piece["index"][1] is not None and call["index"] == piece["index"]]
        same = [call for call in same if call_id is None or call.get("id") in (None, call_id)]
        if not same:
            self._calls.append({})
        call = same[-1] if same else self._calls[-1]
        for name, value in piece.items():
            if name == "args" and isinstance(value, str):
                grow(call, "args", value)
            elif value is not None and name not in call:
                call[name] = value

    def _take_metadata(self, chunk: Json) -> None:
        usage = chunk.get("usage_metadata")
        if isinstance(usage, Mapping):
            add_usage(self._fields.setdefault("usage_metadata", {}), usage)
        for name in LAST_SAID:
            values = chunk.get(name)
            if isinstance(values, Mapping) and values:
                kept = {key: value for key, value in values.items() if key not in ("tool_calls", "logprobs")}
                self._fields[name] = fields = self._fields.get(name, {})
                # What is said once for each response is no text that grows.
                merge(fields, kept) if name == "additional_kwargs" else fields.update(kept)
        metadata = chunk.get("response_metadata") or {}
        for name in ("finish_reason", "stop_reason", "stopReason", "done_reason", "finishReason"):
            if isinstance(metadata.get(name), str) and metadata[name]:
                self.finish_reason = metadata[name]
        if isinstance(metadata.get("status"), str) and self.finish_reason is None:
            self.finish_reason = metadata["status"]

    def _is_plain(self) -> bool:
        return all(
            block.keys() <= {"type", "text", "index"} and block.get("type") in TEXTS
            for block in self._content
            if isinstance(block, Mapping)
        )


def _block(block: Any) -> Any:
    """A block as a message has it: of a call, the arguments as the JSON that they are."""
    block = built(block)
    if not isinstance(block, Mapping):
        return block
    kind = block.get("type")
    if kind == "tool_call_chunk":
        return {**block, "type": "tool_call", "args": parsed(block.get("args"))}
    if kind == "tool_use" and "partial_json" in block:
        rest = {name: value for name, value in block.items() if name != "partial_json"}
        return {**rest, "input": parsed(block["partial_json"])}
    if kind == "tool_use" and isinstance(block.get("input"), str):
        return {**block, "input": parsed(block["input"])}
    return block


def _call(call: Json) -> dict[str, Any]:
    """A call as a message has it; one whose arguments are no JSON object is an invalid one."""
    args = call.get("args", "")
    args = parsed(args) if isinstance(args, str) else args
    kind = "tool_call" if isinstance(args, Mapping) else "invalid_tool_call"
    named = {name: value for name, value in call.items() if name not in ("index", "type", "args")}
    return {**named, "args": args, "type": kind}
