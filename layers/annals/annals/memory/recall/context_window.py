"""Context windows: the newest messages of a conversation that fit a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from annals.answers import Room
from annals.conversations.summary_store import find_current_summary, to_context_message
from annals.formats.tokens import estimate_message
from annals.ledger.entry import Tail
from annals.ledger.exchanges import walk_groups
from annals.ledger.history import read_preamble
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import Message
from annals.ledger.rewound import Rewound
from annals.memory.live_questions import find_live_questions
from annals.memory.recall.models import ContextWindow
from annals.memory.recall.windows import (
    Budget,
    ToolCalls,
    fit_newest,
    tokens_of_messages,
    without_finished_calls,
)


@dataclass
class FittedOpening:
    """What of an opening fits a budget. ``too_large`` names what does not."""

    messages: list[Message] = field(default_factory=list)
    tokens: int = 0
    too_large: list[str] = field(default_factory=list)


def context_window(
    tenant: str,
    conversation_id: str,
    tail: Tail,
    max_tokens: int,
    *,
    opening: Sequence[Message] = (),
    tool_calls: ToolCalls = "all",
) -> ContextWindow:
    """What of an opening fits ``max_tokens``, and then the newest messages that fit what is left.

    The window ends where an answer has no room for more bytes, too, however few tokens the messages take.
    """
    room = Room()
    fitted = _fit_opening(opening, max_tokens, room)
    pk = conversation_pk(tenant, conversation_id)
    groups, total = walk_groups(pk, tail), tail.count - Rewound.at(pk, tail).count()
    if tool_calls == "unfinished":
        groups = without_finished_calls(groups)
    budget = Budget(max_tokens, tokens_of_messages, taken=fitted.tokens)
    window = fit_newest(groups, budget, room, in_answer=find_live_questions(tenant, conversation_id))
    names = {"unpaired": window.unpaired, "beingAnswered": window.being_answered}
    return {
        "messages": [*fitted.messages, *window.messages],
        "tokens": window.size,
        "total": total,
        "included": len(window.messages),
        **({"toolTokensSaved": window.saved} if tool_calls == "unfinished" else {}),  # type: ignore[typeddict-item]
        "omitted": {
            "count": total - len(window.messages),
            "tooLarge": fitted.too_large + window.too_large,
            **{name: ids for name, ids in names.items() if ids},  # type: ignore[typeddict-item]
        },
    }


def read_opening(pk: str, tail: Tail) -> list[Message]:
    """What stands for the whole conversation: the preamble in force, then the summary, where there are such."""
    preamble, summary = read_preamble(pk, tail), find_current_summary(pk, tail)
    return [*([preamble] if preamble else []), *([to_context_message(summary)] if summary else [])]


def _fit_opening(opening: Sequence[Message], max_tokens: int, room: Room) -> FittedOpening:
    fitted = FittedOpening()
    for message in opening:
        tokens = estimate_message(message)
        if fitted.tokens + tokens <= max_tokens and room.takes(message):
            fitted.tokens += tokens
            fitted.messages.append(message)
        else:
            fitted.too_large.append(message["messageId"])
    return fitted
