"""What a model gets: instructions, what was recalled, the recent history, and last the user's message, unchanged.

Nothing that was said before can look like what Annals says itself; see ``annals.quoting``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from annals.formats.exchanges import find_answered_calls
from annals.formats.tokens import TOKENS_AROUND_MESSAGE, estimate
from annals.formats.tools import ToolCall, ToolResult, results_of
from annals.formats.turns import words_beside_results
from annals.json_text import dump
from annals.providers.chat import ChatMessage
from annals.quoting import display_name, quote_lines, speaker_name, to_one_line


@dataclass(frozen=True)
class RecalledContext:
    """What was recalled for a turn.

    Parameters
    ----------
    context : text for the prompt; empty if nothing was recalled
    memory_ids : the memories that it comes from, best first
    history : the conversation's recent messages as the API shows them, oldest first, without the turn's own
    tokens : an estimate of what context and history take, in tokens
    omitted : how many of the recent messages are left out, as they are too large or half of an exchange
    tool_tokens_saved : what the history takes less without the tool calls of finished turns; None where it has them
    """

    context: str = ""
    memory_ids: Sequence[str] = ()
    history: Sequence[Mapping[str, Any]] = ()
    tokens: int = 0
    omitted: int = 0
    tool_tokens_saved: int | None = None


@dataclass(frozen=True)
class Prompt:
    """The messages, the last of them the user's, and the instructions that come before all of them, or None."""

    messages: list[ChatMessage]
    instructions: str | None


def build_prompt(instructions: str | None, recalled: RecalledContext, user_message: str) -> Prompt:
    """Put together what the model gets.

    Messages without words (redacted ones, or those of parts only) are left out. System messages join the instructions,
    after what was recalled: not every model takes them in the middle. A speaker whose name is known is named above
    the message; results of tools are shown as the user's, each below the call that it answers.
    """
    system = [_system_text(message) for message in recalled.history if _is_system(message)]
    parts = [part for part in (instructions, recalled.context, *system) if part and part.strip()]
    history = list(_to_chat([message for message in recalled.history if not _is_system(message)]))
    return Prompt([*history, ChatMessage("user", user_message)], "\n\n".join(parts) or None)


def tokens_of_history(messages: Sequence[Mapping[str, Any]]) -> int:
    """An estimate of what messages of the history take in a prompt, as they are shown there, exchanges together."""
    system = [_system_text(message) for message in messages if _is_system(message)]
    shown = [each.content for each in _to_chat([message for message in messages if not _is_system(message)])]
    return sum(estimate(text) + TOKENS_AROUND_MESSAGE for text in [*system, *shown])


def _is_system(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "system" and _has_words(message.get("content"))


def _has_words(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _system_text(message: Mapping[str, Any]) -> str:
    return quote_lines(to_one_line(message["content"]))


def _to_chat(messages: Sequence[Mapping[str, Any]]) -> Iterator[ChatMessage]:
    """The messages as a model gets them: each result below the call that it answers, then a message's own words."""
    answered = find_answered_calls(messages)
    for position, message in enumerate(messages):
        for index, result in enumerate(results_of(message)):
            call = answered.get((position, index))
            if call or _has_words(result.text):
                yield ChatMessage("user", _result_text(call, result))
        words = words_beside_results(message)
        if _has_words(words):
            name = speaker_name(message)
            role: Literal["user", "assistant"] = "assistant" if message["role"] == "assistant" else "user"
            yield ChatMessage(role, f"[{name}]\n{quote_lines(words)}" if name else quote_lines(words))


def _result_text(call: ToolCall | None, result: ToolResult) -> str:
    name = display_name((call and call.name) or result.name or "") or "a tool"
    text = f"[Result of {name}]\n{quote_lines(result.text) or 'nothing'}"
    if call is None or not call.arguments:
        return text
    arguments = call.arguments if isinstance(call.arguments, str) else dump(call.arguments)
    return f"[Call of {name}]\n{quote_lines(to_one_line(arguments))}\n{text}"
