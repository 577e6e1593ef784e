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

PAGE = 200

MAX_TOO_LARGE = 1_000
"""How many messages that alone are over the budget are named; behind them the window ends."""


@dataclass
class Window:
    """What fits: an opening, then messages, oldest first; what all take; what alone was over the whole budget."""

    opening: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    tokens: int = 0
    too_large: list[str] = field(default_factory=list)


def context_window(pk: str, tail: Tail, max_tokens: int, *, opening: Sequence[Message] = ()) -> Window:
    """The newest messages that fit ``max_tokens``, in chronological order, behind what of an opening fits.

    A message that alone is over the budget is left out; older ones may still fit. At the first other one that does not
    fit, the window ends, and so where an answer has no room for more bytes, whatever the messages say of their tokens.
    A tool's result whose call is left out is left out, too.
    """
    window, room = Window(), Room()
    for message in opening:
        if window.tokens + (taken := estimate_message(message)) <= max_tokens and room.takes(message):
            window.tokens += taken
            window.opening.append(message)
        else:
            window.too_large.append(message["messageId"])
    _fill(window, room, pk, tail, max_tokens)
    _drop_results(window)
    window.messages.reverse()
    return window


def _drop_results(window: Window) -> None:
    """Take back a tool's results that were taken last, the oldest so far: their call is not going to be shown."""
    while window.messages and window.messages[-1].get("role") == "tool":
        window.tokens -= estimate_message(window.messages.pop())


def opening(pk: str, tail: Tail) -> list[Message]:
    """What stands for all that was said: the preamble in force, then the summary, where there are such."""
    preamble, summary = read_preamble(pk, tail), find_summary(pk)
    return [*([preamble] if preamble else []), *([to_context_message(summary)] if summary else [])]


def _fill(window: Window, room: Room, pk: str, tail: Tail, max_tokens: int) -> None:
    """Take in messages, the newest first, until one does not fit."""
    before: int | None = tail.seq + 1
    while before is not None:
        page = read_page(pk, tail, MessageRange(newest_first=True, after=0, before=before), PAGE)
        before = page.next_seq
        for message in page.messages:
            if message.get("status") in HIDDEN_STATUSES:
                _drop_results(window)
                continue
            taken = estimate_message(message)
            if taken > max_tokens:
                window.too_large.append(message["messageId"])
                _drop_results(window)
                if len(window.too_large) >= MAX_TOO_LARGE:
                    return
            elif window.tokens + taken > max_tokens or not room.takes(message):
                return
            else:
                window.messages.append(message)
                window.tokens += taken
