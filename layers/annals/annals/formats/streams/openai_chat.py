"""Chunks of OpenAI's chat completions, of the many servers that have their shape, and of legacy completions.

Mistral's are among them: their ``content`` may be a list of parts, thinking and text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import UnknownChunk, failure
from .growing import Json, built, grow, merge, present

READ_APART = frozenset({"role", "content", "tool_calls", "index"})
"""The fields of a delta that are not kept as they are."""


class OpenAIChatReply:
    """A reply of OpenAI's chat completions. Of several choices, the first is the reply."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._fields: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._calls: list[dict[str, Any]] = []
        self._content: list[dict[str, Any]] = []
        self._has_parts = False
        self._has_text = False
        self._has_begun = False

    def take(self, chunk: Json) -> str:
        """Note a chunk; see ``ProviderReply.take``."""
        if chunk.get("error") or chunk.get("object") == "error":
            raise failure("error", chunk.get("error") or chunk)
        for name in ("citations", "search_results"):
            if chunk.get(name):
                self._fields[name] = chunk[name]
        self._note_usage(chunk.get("usage"))
        choice = _first_choice(chunk)
        self._note_usage(choice.get("usage"))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason, self.is_open = reason, False
        text = self._take_delta(choice, chunk)
        self._has_text = self._has_text or bool(text)
        return text

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        calls = {"tool_calls": [_without_index(call) for call in self._calls]}
        content: dict[str, Any] = {}
        if self._has_parts:
            content = {"content": self._content}
        elif self._calls and not self._has_text:
            content = {"content": None}
        return {**present(built({**self._fields, **calls})), **built(content), **present({"usage": self._usage})}

    def _take_delta(self, choice: Json, chunk: Json) -> str:
        delta = choice.get("delta")
        if delta is None and "text" in choice:
            delta = {"content": choice["text"]}
        elif delta is None and not self._has_begun:
            # A server that does not stream has the whole message; one that ends with it says nothing new by it.
            delta = choice.get("message")
        if delta is None:
            return ""
        self._has_begun = True
        if not isinstance(delta, Mapping):
            raise UnknownChunk(chunk)
        rest = {name: value for name, value in delta.items() if name not in READ_APART}
        merge(self._fields, present(rest))
        for call in delta.get("tool_calls") or ():
            self._take_call(call, chunk)
        audio = delta.get("audio") or {}
        texts = (self._take_content(delta.get("content"), chunk), delta.get("refusal"), audio.get("transcript"))
        return "".join(text for text in texts if isinstance(text, str))

    def _take_content(self, content: Any, chunk: Json) -> str:
        if content is None or content == "":
            return ""
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        elif isinstance(content, list):
            self._has_parts = self._has_parts or bool(content)
        elif isinstance(content, Mapping) and "type" in content:
            content, self._has_parts = [content], True
        else:
            raise UnknownChunk(chunk)
        return "".join(self._take_part(part, chunk) for part in content)

    def _take_part(self, part: Any, chunk: Json) -> str:
        """Note a part of the content: text and thinking go on with the part before, where that is of their kind."""
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        if not isinstance(part, Mapping):
            raise UnknownChunk(chunk)
        kind = part.get("type")
        if kind not in ("text", "thinking"):
            self._content.append(dict(part))
            return ""
        if not self._content or self._content[-1].get("type") != kind:
            self._content.append({"type": kind})
        whole, said = self._content[-1], part.get(kind)
        if isinstance(said, list):  # Mistral's thinking is a list of parts itself
            (within,) = whole.setdefault(kind, [{"type": "text"}])
            grow(within, "text", "".join(str(each.get("text") or "") for each in said))
        else:
            grow(whole, kind, said)
        whole.update(present({name: value for name, value in part.items() if name not in ("type", kind)}))
        return said if kind == "text" and isinstance(said, str) else ""

    def _take_call(self, delta: Any, chunk: Json) -> None:
        """Note a piece of a tool call: it belongs to the call of its index, or of its id, or to the last one."""
        if not isinstance(delta, Mapping):
            raise UnknownChunk(chunk)
        call = self._call_of(delta)
        if call is None:
            self._calls.append(call := {})
        function = delta.get("function")
        named = {name: value for name, value in delta.items() if name != "function" and value not in (None, "")}
        call.update({name: value for name, value in named.items() if name not in call})
        if isinstance(function, Mapping):
            whole = call.setdefault("function", {})
            if function.get("name") and not whole.get("name"):
                whole["name"] = function["name"]
            arguments = function.get("arguments")
            if isinstance(arguments, Mapping):
                whole["arguments"] = arguments
            else:
                grow(whole, "arguments", arguments)

    def _call_of(self, delta: Json) -> dict[str, Any] | None:
        """The call that a delta goes on with; None where it begins one."""
        index, call_id = delta.get("index"), delta.get("id")
        name = (delta.get("function") or {}).get("name") if isinstance(delta.get("function"), Mapping) else None
        if index is None and not call_id:
            return None if name or not self._calls else self._calls[-1]
        same = [call for call in self._calls if index is not None and call.get("index") == index]
        if same:
            same = [call for call in same if not call_id or call.get("id") in (None, call_id)]
        elif call_id:
            same = [call for call in self._calls if call.get("id") == call_id]
        return same[-1] if same else None

    def _note_usage(self, usage: Any) -> None:
        """Note the tokens: what is said later takes the place of what was said before, and null says nothing."""
        if isinstance(usage, Mapping):
            self._usage.update({name: value for name, value in usage.items() if value is not None})


def _first_choice(chunk: Json) -> Json:
    choices = chunk.get("choices")
    if choices is None:
        return {}
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise UnknownChunk(chunk)
    return next((choice for choice in choices if not choice.get("index")), {})


def _without_index(call: Json) -> dict[str, Any]:
    call = {name: value for name, value in call.items() if name != "index"}
    if isinstance(call.get("function"), Mapping):
        call["function"] = {**call["function"], "arguments": call["function"].get("arguments", "")}
    return call
