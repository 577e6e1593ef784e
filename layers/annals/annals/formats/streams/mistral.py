"""Events of Mistral's conversations, which its agents answer in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import failure
from .growing import Json, Lines, built, grow, present
from .openai_chat import OpenAIChatReply

TYPES = ("message.output.", "function.call.", "conversation.response.", "tool.execution.", "agent.handoff.")
"""How the types of the events begin."""


class MistralReply:
    """A reply of a conversation with an agent."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._content = OpenAIChatReply()
        self._calls: dict[str, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._lines = Lines()

    def take(self, chunk: Json) -> str:
        """Note an event; see ``ProviderReply.take``."""
        kind = str(chunk.get("type"))
        if kind == "conversation.response.error":
            raise failure(kind, chunk)
        if kind == "conversation.response.done":
            self.is_open = False
            self._usage = dict(chunk.get("usage") or {})
        elif kind == "message.output.delta":
            text = self._content.take({"choices": [{"delta": {"content": chunk.get("content")}}]})
            return self._lines.text(chunk.get("id"), text)
        elif kind == "function.call.delta":
            named = {"id": chunk.get("tool_call_id"), "type": "function", "function": {"name": chunk.get("name")}}
            call = self._calls.setdefault(str(chunk.get("tool_call_id")), named)
            arguments = chunk.get("arguments")
            if isinstance(arguments, Mapping):
                call["function"]["arguments"] = arguments
            else:
                grow(call["function"], "arguments", arguments)
            self._lines.other()
        else:
            self._lines.other()
        return ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        calls = {"tool_calls": list(self._calls.values())}
        return {**self._content.fields(), **present(built(calls)), **present({"usage": present(self._usage)})}
