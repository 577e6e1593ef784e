"""Events of OpenAI's responses, alone or as its Agents SDK gives them: then several responses may be one reply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .failures import failure
from .growing import Json, Lines, add_usage, built, grow, present

GROWING = {
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
}
"""For each kind of delta the type of its item, and the field that grows."""

REASONING = {
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "summary_text"),
    "response.reasoning_text.delta": ("content", "content_index", "reasoning_text"),
}
"""For each kind of delta the list of a reasoning item, the name of its place in it, and the type of what grows."""

MAX_PARTS = 1_000
"""How many parts an item may have."""

RUN_ITEM = "run_item_stream_event"
OF_AGENTS = frozenset({RUN_ITEM, "agent_updated_stream_event"})


class OpenAIResponsesReply:
    """A reply of OpenAI's responses."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._earlier: list[Json] = []
        self._items: dict[Any, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._lines = Lines()
        self._responses = 0

    def take(self, chunk: Json) -> str:
        """Note an event; see ``ProviderReply.take``."""
        kind = str(chunk.get("type"))
        if kind == "response.failed":
            raise failure(kind, (chunk.get("response") or {}).get("error") or chunk)
        if kind == "response.created":
            self._begin()
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            return self._take_text(kind, chunk)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._take_item(chunk.get("output_index", 0), chunk.get("item") or {}, is_done=kind.endswith("done"))
        elif kind in GROWING:
            item_type, name = GROWING[kind]
            grow(self._item(chunk, item_type), name, chunk.get("delta"))
        elif kind in REASONING:
            self._take_reasoning(kind, chunk)
        elif kind == RUN_ITEM:
            self._earlier += [*self._taken_items(), chunk["item"]] if chunk.get("item") else []
        elif isinstance(response := chunk.get("response"), Mapping) and kind.rpartition(".")[2] in ENDS:
            self._end(kind, response)
        return ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``. The items of the output are its content."""
        items = [*self._earlier, *self._items.values()]
        content = {} if all(map(_is_plain, items)) else {"content": [_item(item) for item in items]}
        return {**content, **present({"usage": self._usage})}

    def _begin(self) -> None:
        """Begin a response; those before it, and what tools answered to them, stay."""
        self._earlier += self._taken_items()
        self._responses += 1
        self.finish_reason, self.is_open = None, True

    def _taken_items(self) -> Iterable[Json]:
        items, self._items = self._items, {}
        return items.values()

    def _take_text(self, kind: str, chunk: Json) -> str:
        item = self._item(chunk, "message")
        name, part_type = ("refusal", "refusal") if "refusal" in kind else ("text", "output_text")
        grow(_part_of(item, "content", chunk.get("content_index"), part_type), name, chunk.get("delta"))
        return self._lines.text((self._responses, chunk.get("output_index"), chunk.get("item_id")), chunk.get("delta"))

    def _take_item(self, index: Any, item: Any, *, is_done: bool) -> None:
        if not isinstance(item, Mapping):
            return
        # What is added last is the whole item, with what its deltas said.
        if is_done or index not in self._items:
            self._items[index] = dict(item)
        self._lines.other()

    def _take_reasoning(self, kind: str, chunk: Json) -> None:
        name, place, part_type = REASONING[kind]
        item = self._item(chunk, "reasoning")
        grow(_part_of(item, name, chunk.get(place), part_type), "text", chunk.get("delta"))

    def _item(self, chunk: Json, item_type: str) -> dict[str, Any]:
        """The item that a delta belongs to; one that was not added first is begun here."""
        index = chunk.get("output_index", 0)
        item = self._items.get(index)
        if item is None or (item.get("type") != item_type and item.get("id") != chunk.get("item_id")):
            index = index if item is None else (index, item_type)
            item = self._items.setdefault(index, present({"type": item_type, "id": chunk.get("item_id")}))
        return item

    def _end(self, kind: str, response: Json) -> None:
        output = response.get("output")
        if isinstance(output, list) and output:
            self._items = {index: dict(item) for index, item in enumerate(output) if isinstance(item, Mapping)}
        add_usage(self._usage, response.get("usage") or {})
        status = response.get("status") or kind.rpartition(".")[2]
        details = response.get("incomplete_details") or {}
        self.finish_reason = str(details.get("reason") or status)
        self.is_open = status != "completed"


ENDS = frozenset({"completed", "incomplete", "cancelled"})
"""How the types of events end that end a response."""


def _part_of(item: dict[str, Any], name: str, index: Any, part_type: str) -> dict[str, Any]:
    """A part in a list of an item, which is as long as it must be. Raises IndexError where that would be too long."""
    place = index or 0
    if place > MAX_PARTS:
        raise IndexError(place)
    parts = item[name] if isinstance(item.get(name), list) else []
    item[name] = parts
    while len(parts) <= place:
        parts.append({"type": part_type})
    part: dict[str, Any] = parts[place]
    return part


def _item(item: Json) -> dict[str, Any]:
    """An item as the output of a response has it."""
    whole: dict[str, Any] = built({name: value for name, value in item.items() if value is not None})
    content = whole.get("content")
    if whole.get("type") == "message" and isinstance(content, list):
        whole["content"] = [_with_text(part) for part in content]
    return whole


def _with_text(part: Any) -> Any:
    return {"text": "", **part} if isinstance(part, Mapping) and part.get("type") == "output_text" else part


def _is_plain(item: Json) -> bool:
    """Whether an item is a message of plain text."""
    if item.get("type") != "message":
        return False
    parts = item.get("content") or []
    return all(part.get("type") == "output_text" and not part.get("annotations") for part in parts)
