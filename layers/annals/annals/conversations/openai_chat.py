"""Messages as OpenAI's chat completions have them, made of ours.

A message's ``parts`` are OpenAI's where they are a list of its content parts or tool calls, or an object of the fields
that it has beside role, name and content (``tool_calls``, ``tool_call_id``, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTENT_PARTS = {"text", "image_url", "input_audio", "file", "refusal"}
OTHER_FIELDS = {"tool_calls", "tool_call_id", "function_call", "refusal", "audio", "annotations", "weight", "content"}


def to_openai(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as OpenAI's; parts of another shape are left out, since their text is the content."""
    chat_message: dict[str, Any] = {"role": message["role"], "content": message.get("content", "")}
    if "name" in message:
        chat_message["name"] = message["name"]
    chat_message |= _fields(message.get("parts"))
    if chat_message["content"] == "" and ("tool_calls" in chat_message or "function_call" in chat_message):
        chat_message["content"] = None
    return chat_message


def _fields(parts: Any) -> dict[str, Any]:
    """The fields of OpenAI's message that parts stand for; none where they are of another shape."""
    if isinstance(parts, Mapping):
        return dict(parts) if parts and parts.keys() <= OTHER_FIELDS else {}
    if not isinstance(parts, list) or not all(_is_content(part) or _is_call(part) for part in parts):
        return {}
    content = [part for part in parts if _is_content(part)]
    calls = [part for part in parts if _is_call(part)]
    return {**({"content": content} if content else {}), **({"tool_calls": calls} if calls else {})}


def _is_content(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in CONTENT_PARTS and part["type"] in part


def _is_call(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "function" and isinstance(part.get("function"), Mapping)
