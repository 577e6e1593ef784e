"""What a model gets: instructions, what was recalled, the recent history, and last the user's message, unchanged.

Nothing that was said before can look like what Annals says itself; see ``annals.quoting``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from annals.providers.chat import ChatMessage
from annals.quoting import quote_lines, speaker_name, to_one_line
from annals.tokens import TOKENS_AROUND_MESSAGE, estimate


@dataclass(frozen=True)
class RecalledContext:
    """What was recalled for a turn.

    Parameters
    ----------
    context : text for the prompt; empty if nothing was recalled
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
    """The messages, the last of them the user's, and the instructions that come before all of them, or None."""

    messages: list[ChatMessage]
    instructions: str | None


def build_prompt(instructions: str | None, recalled: RecalledContext, user_message: str) -> Prompt:
    """Put together what the model gets.

    Messages without words (redacted ones, or those of parts only) are left out. System messages join the instructions,
    after what was recalled: not every model takes them in the middle. A speaker whose name is known is named above
    the message; results of tools are shown as the user's, named.
    """
    messages = [message for message in recalled.history if _has_words(message)]
    system = [_text(message) for message in messages if message["role"] == "system"]
    parts = [part for part in (instructions, recalled.context, *system) if part and part.strip()]
    history = [ChatMessage(_role(message), _text(message)) for message in messages if message["role"] != "system"]
    return Prompt([*history, ChatMessage("user", user_message)], "\n\n".join(parts) or None)


def tokens_of(message: Mapping[str, Any]) -> int:
    """An estimate of what a message of the history takes in a prompt, as it is shown there."""
    return estimate(_text(message)) + TOKENS_AROUND_MESSAGE if _has_words(message) else 0


def _has_words(message: Mapping[str, Any]) -> bool:
    return bool(str(message.get("content") or "").strip())


def _role(message: Mapping[str, Any]) -> Literal["user", "assistant"]:
    return "assistant" if message["role"] == "assistant" else "user"


def _text(message: Mapping[str, Any]) -> str:
    name = speaker_name(message)
    if message["role"] == "system":
        return quote_lines(to_one_line(message["content"]))
    text = quote_lines(message["content"])
    if message["role"] == "tool":
        return f"[Result of {name or 'a tool'}]\n{text}"
    return f"[{name}]\n{text}" if name else text
