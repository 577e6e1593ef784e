"""What a model gets: instructions, what was recalled, the recent history, and last the user's message, unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annals.models.chat import ChatMessage


@dataclass(frozen=True)
class Recalled:
    """What was found for a turn.

    Parameters
    ----------
    context : text for the prompt; empty if nothing was found
    memory_ids : the memories that it comes from, best first
    history : the conversation's recent messages as the API shows them, oldest first, without the turn's own
    tokens : an estimate of what context and history take, in tokens
    """

    context: str = ""
    memory_ids: Sequence[str] = ()
    history: Sequence[Mapping[str, Any]] = ()
    tokens: int = 0


@dataclass(frozen=True)
class Prompt:
    """The messages, the last one the user's; and what comes before all of them, or None."""

    messages: list[ChatMessage]
    instructions: str | None


@dataclass(frozen=True)
class Section:
    """One kind of what was recalled: a heading, and a line for each find."""

    heading: str
    lines: Sequence[str]


def context_text(sections: Sequence[Section]) -> str:
    """What was recalled as text for a prompt; sections without lines are left out."""
    shown = [
        "\n".join([section.heading, *(f"- {line}" for line in section.lines)]) for section in sections if section.lines
    ]
    return "\n\n".join(shown)


def prompt(instructions: str | None, recalled: Recalled, user_message: str) -> Prompt:
    """Put together what the model gets.

    Messages without words (redacted ones, or those of parts only) are left out. System messages join the instructions,
    after what was recalled: not every model takes them in the middle. Results of tools are shown as the user's, named.
    """
    worded = [message for message in recalled.history if str(message.get("content") or "").strip()]
    system = [message["content"] for message in worded if message["role"] == "system"]
    before = [part for part in (instructions, recalled.context, *system) if part and part.strip()]
    said = [_shown(message) for message in worded if message["role"] != "system"]
    return Prompt([*said, ChatMessage("user", user_message)], "\n\n".join(before) or None)


def _shown(message: Mapping[str, Any]) -> ChatMessage:
    if message["role"] == "tool":
        name = message.get("name", "a tool")
        return ChatMessage("user", f"[Result of {name}]\n{message['content']}")
    return ChatMessage("assistant" if message["role"] == "assistant" else "user", message["content"])
