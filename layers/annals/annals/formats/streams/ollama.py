"""Chunks of Ollama's chat and generate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import UnknownChunk, failure
from .growing import Json, built, merge, present

COUNTS = ("prompt_eval_count", "eval_count")


class OllamaReply:
    """A reply of Ollama."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._fields: dict[str, Any] = {}
        self._counts: dict[str, Any] = {}

    def take(self, chunk: Json) -> str:
        """Note a chunk; see ``ProviderReply.take``."""
        if chunk.get("error"):
            raise failure("error", chunk["error"])
        message = chunk.get("message", chunk)
        if not isinstance(message, Mapping):
            raise UnknownChunk(chunk)
        names = ("thinking", "images", "tool_calls")
        merge(self._fields, present({name: message.get(name) for name in names}))
        self._counts.update(present({name: chunk.get(name) for name in COUNTS}))
        if chunk.get("done") is True:
            self.finish_reason, self.is_open = chunk.get("done_reason") or None, False
        text = message.get("content") if "message" in chunk else chunk.get("response")
        return text if isinstance(text, str) else ""

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        return {**built(self._fields), **self._counts}
