"""Turns that are finished: a question and its reply, without the tool calls that lie between them.

What a tool answered is worth its room while the turn goes on. Once the reply is there, it says what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import text_of
from .tools import calls_of, results_of


def is_question(message: Mapping[str, Any]) -> bool:
    """Whether a message begins a turn: the user's, unless it only brings what tools answered."""
    return message.get("role") == "user" and not results_of(message)


def is_result(message: Mapping[str, Any]) -> bool:
    """Whether a message brings what tools answered, and calls none."""
    return bool(results_of(message)) and not calls_of(message)


def is_reply(message: Mapping[str, Any]) -> bool:
    """Whether a message ends a turn: the assistant's with words that come after all calls in it."""
    if message.get("role") != "assistant" or not str(message.get("content") or "").strip():
        return False
    if not calls_of(message):
        return True
    parts = message.get("parts")
    return isinstance(parts, list) and bool(parts) and not has_tools(parts[-1]) and bool(results_of(message))


def has_tools(part: Any) -> bool:
    """Whether a part is, or holds, the call of a tool or its result."""
    message = {"parts": [part]}
    return bool(calls_of(message) or results_of(message))


def words_beside_results(message: Mapping[str, Any]) -> str:
    """The words of a message that are its own, not what tools answered."""
    content, parts = str(message.get("content") or ""), message.get("parts")
    if message.get("role") == "tool":
        return ""
    if not results_of(message) or content != text_of(parts):
        return content
    blocks = parts.get("content") if isinstance(parts, Mapping) else parts
    return text_of([part for part in blocks if not has_tools(part)]) if isinstance(blocks, list) else ""


def without_tools(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose parts hold calls, their results and the reply after them, with the reply alone."""
    parts = [part for part in message["parts"] if not has_tools(part)]
    return {**message, "parts": parts, "content": words_beside_results(message)}
