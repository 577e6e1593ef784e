"""Context windows: the newest messages of a conversation that fit a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from annals.answers import Room
from annals.conversations.summary_store import find_summary, to_context_message
from annals.ledger.entry import Tail
from annals.ledger.history import MessageRange, read_page, read_preamble
from annals.ledger.messages import HIDDEN_STATUSES, Message
from annals.tokens import estimate_message

PAGE_SIZE = 200

MAX_TOO_LARGE = 1_000
"""How many messages that alone are over the budget are named; then the window ends."""


@dataclass
class FittedMessages:
    """What fits: an opening, then messages, oldest first.

    ``tokens`` is what all of them take; ``too_large`` names the messages that alone were over the whole budget.
    """

    opening: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    tokens: int = 0
    too_large: list[str] = field(default_factory=list)


def context_window(pk: str, tail: Tail, max_tokens: int, *, opening: Sequence[Message] = ()) -> FittedMessages:
    """The newest messages that fit ``max_tokens``, in chronological order, after what of an opening fits.

    A message that alone is over the budget is left out; older ones may still fit. At the first other one that does not
    fit, the window ends; and it ends where an answer has no room for more bytes, however few tokens the messages take.
    A tool's result whose call is left out is left out, too.
    """
    window, room = FittedMessages(), Room()
    for message in opening:
        if window.tokens + (tokens := estimate_message(message)) <= max_tokens and room.takes(message):
            window.tokens += tokens
            window.opening.append(message)
        else:
            window.too_large.append(message["messageId"])
    _fill(window, room, pk, tail, max_tokens)
    _drop_results(window)
    window.messages.reverse()
    return window


def _drop_results(window: FittedMessages) -> None:
    """Take a tool's results out again that are the oldest of the window: their call will not be in it."""
    while window.messages and window.messages[-1].get("role") == "tool":
        window.tokens -= estimate_message(window.messages.pop())


def read_opening(pk: str, tail: Tail) -> list[Message]:
    """What stands for the whole conversation: the preamble in force, then the summary, where there are such."""
    preamble, summary = read_preamble(pk, tail), find_summary(pk)
    return [*([preamble] if preamble else []), *([to_context_message(summary)] if summary else [])]


def _fill(window: FittedMessages, room: Room, pk: str, tail: Tail, max_tokens: int) -> None:
    """Take in messages, the newest first, until one does not fit.

    A message that is passed over takes its tool results with it: these were taken before, as they are newer.
    """
    before: int | None = tail.seq + 1
    while before is not None:
        page = read_page(pk, tail, MessageRange(newest_first=True, after=0, before=before), PAGE_SIZE)
        before = page.next_seq
        for message in page.messages:
            if message.get("status") in HIDDEN_STATUSES:
                _drop_results(window)
                continue
            tokens = estimate_message(message)
            if tokens > max_tokens:
                window.too_large.append(message["messageId"])
                _drop_results(window)
                if len(window.too_large) >= MAX_TOO_LARGE:
                    return
            elif window.tokens + tokens > max_tokens or not room.takes(message):
                return
            else:
                window.messages.append(message)
                window.tokens += tokens
