"""Chunks of Gemini: ``generateContent``, streamed, with the names of the API or of the SDK's dumps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import UnknownChunk, failure
from .growing import Json, built, grow, present

NAMES = frozenset(
    {"candidates", "usageMetadata", "usage_metadata", "promptFeedback", "prompt_feedback"}
    | {"modelVersion", "model_version", "responseId", "response_id"}
)
"""The fields by which a chunk is known."""

SOURCES = ("groundingMetadata", "citationMetadata", "grounding_metadata", "citation_metadata")

UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"


class GeminiReply:
    """A reply of Gemini. Of several candidates, the first is the reply."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.is_open = True
        self._parts: list[dict[str, Any]] = []
        self._fields: dict[str, Any] = {}

    def take(self, chunk: Json) -> str:
        """Note a chunk; see ``ProviderReply.take``."""
        if chunk.get("error"):
            raise failure("error", chunk["error"])
        for name in ("usageMetadata", "usage_metadata"):
            if isinstance(chunk.get(name), Mapping):
                self._fields.setdefault(name, {}).update(present(chunk[name]))
        feedback = chunk.get("promptFeedback") or chunk.get("prompt_feedback") or {}
        self._end(feedback.get("blockReason") or feedback.get("block_reason"))
        candidates = chunk.get("candidates") or []
        candidate: Json = next((each for each in candidates if not each.get("index")), {})
        self._fields.update({name: candidate[name] for name in SOURCES if candidate.get(name)})
        self._end(candidate.get("finishReason") or candidate.get("finish_reason"))
        parts = (candidate.get("content") or {}).get("parts") or []
        return "".join(self._take_part(part, chunk) for part in parts)

    def fields(self) -> dict[str, Any]:
        """The message's fields; see ``ProviderReply.fields``."""
        parts = [part for part in built(self._parts) if len(part) > 1 or part != {"text": ""}]
        content = {} if all(part.keys() == {"text"} for part in parts) else {"parts": parts}
        return {**content, **built(present(self._fields))}

    def _end(self, reason: Any) -> None:
        if isinstance(reason, str) and reason and reason != UNSPECIFIED:
            self.finish_reason, self.is_open = reason, False

    def _take_part(self, part: Any, chunk: Json) -> str:
        """Note a part. A text goes on with the part before it, where that is a text of its kind; a signed one never."""
        if not isinstance(part, Mapping):
            raise UnknownChunk(chunk)
        rest = {name: value for name, value in part.items() if value is not None and name != "text"}
        text = part.get("text")
        before = self._parts[-1] if self._parts else {}
        if not isinstance(text, str):
            self._parts.append(rest)
            return ""
        is_same = "text" in before and {**before, "text": ""} == {**rest, "text": ""}
        if not is_same or rest.keys() - {"thought"}:
            self._parts.append({**rest, "text": ""})
        grow(self._parts[-1], "text", text)
        return "" if rest.get("thought") else text
