"""What the followers of a streamed turn get: events, and the streams that yield them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from annals.api.problems import problem_details
from annals.errors import AnnalsError
from annals.memory.streaming.drafts import Draft
from annals.memory.streaming.prompt import RecalledContext
from annals.memory.streaming.turns import StoredReply

MAX_DELTA_CHARS = 16_384
"""How long one delta may be; a longer piece of a model's becomes several."""


@dataclass(frozen=True)
class ReplyEvent:
    """One event of a streamed turn. Deltas have numbers, from 1."""

    name: Literal["start", "context", "delta", "result", "error"]
    data: Mapping[str, Any]
    number: int | None = None


class ReplyStream(Protocol):
    """A streamed turn as its followers see it; the package's docstring names the four kinds."""

    @property
    def is_repeated(self) -> bool:
        """Whether the turn is that of an earlier request."""
        ...

    def events(self, idle_s: float) -> AsyncIterator[ReplyEvent | None]:
        """The events, from first to last, as they happen; None after ``idle_s`` seconds without one."""
        ...


def start_event(draft: Draft, message: Mapping[str, Any]) -> ReplyEvent:
    """The beginning of a reply. Sent once more, it says that the reply begins anew."""
    data = {"streamId": draft.stream_id, "conversationId": draft.conversation_id, "message": message}
    return ReplyEvent("start", data)


def context_event(recalled: RecalledContext) -> ReplyEvent:
    """What the model was shown."""
    saved = recalled.tool_tokens_saved
    data = {
        "memoryIds": list(recalled.memory_ids),
        "historyCount": len(recalled.history),
        "tokenEstimate": recalled.tokens,
        **({"historyOmitted": recalled.omitted} if recalled.omitted else {}),
        **({"toolTokensSaved": saved} if saved is not None else {}),
    }
    return ReplyEvent("context", data)


def delta_event(text: str, number: int) -> ReplyEvent:
    """A piece of the reply."""
    return ReplyEvent("delta", {"text": text}, number)


def result_event(
    reply: StoredReply, usage: Mapping[str, int | None] | None = None, reason: str | None = None
) -> ReplyEvent:
    """The end of a turn whose reply is stored as far as the model went.

    ``usage`` and ``reason`` are what the model reported, where that is known beside the reply.
    """
    known_usage = reply.usage.present() if usage is None and reply.usage else usage
    response = {
        "fullResponse": reply.whole_text or reply.text or "",
        "reply": reply.message,
        "usage": known_usage,
        "finishReason": reason or reply.finish_reason,
    }
    return ReplyEvent("result", {**reply.remembered, **response})


def error_event(refusal: AnnalsError, request_id: str, conversation_id: str, message_ids: Sequence[str]) -> ReplyEvent:
    """The end of a turn that failed, and which of its messages are stored."""
    stored = {"conversationId": conversation_id, "messageIds": list(message_ids)}
    return ReplyEvent("error", {**problem_details(refusal, request_id), "stored": stored})


def split_into_deltas(text: str) -> Iterator[str]:
    """A text in pieces that are short enough for one delta each."""
    return (text[start : start + MAX_DELTA_CHARS] for start in range(0, len(text), MAX_DELTA_CHARS))
