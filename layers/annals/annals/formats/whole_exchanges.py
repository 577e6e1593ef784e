"""The exchanges of a conversation of any length, read as it comes: the whole ones, in the order of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .blocks import dump
from .exchanges import group_exchanges
from .references import has_reference
from .tools import calls_of, results_of

Message = Mapping[str, Any]

MAX_WAITING = 1_000
"""How many messages are read ahead to find the results of a call."""

MAX_WAITING_CHARS = 32_000_000
"""How long these are together, as JSON."""


@dataclass(frozen=True)
class Exchange:
    """The messages of calls and their results, or one that has neither.

    ``is_pending`` is whether the conversation ends with its calls, so that nobody has had the time to answer them.
    """

    messages: Sequence[Message]
    is_pending: bool = False


def walk_whole_exchanges(messages: Iterable[Message]) -> Iterator[Exchange]:
    """Each exchange of calls and results, and each message that is in none.

    Exchanges that are not whole are left out, and so are messages without a role: they are redacted, or damaged. So is
    what has a reference in the place of its words or of a tool's. Calls with which the conversation ends are kept.
    """
    waiting = _Waiting()
    for message in messages:
        waiting.add(message)
        if not waiting.calls:
            yield from waiting.take(len(waiting.messages))
        elif len(waiting.messages) > MAX_WAITING or waiting.size > MAX_WAITING_CHARS:
            yield from waiting.take(-(-len(waiting.messages) // 2))
    yield from waiting.take(len(waiting.messages), is_end=True)


class _Waiting:
    """The messages since the first call whose results have not all come."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.calls: list[str | None] = []
        self.size = 0

    def add(self, message: Message) -> None:
        """Take in a message."""
        self.messages.append(message)
        self.calls += [call.id for call in calls_of(message)]
        for result in results_of(message):
            if result.call_id in self.calls:
                self.calls.remove(result.call_id)
        if self.calls:
            self.size += len(dump(message))

    def take(self, end: int, *, is_end: bool = False) -> Iterator[Exchange]:
        """The exchanges that begin before a position, with as many of their results as are there; the rest waits on."""
        messages, self.messages, self.calls, self.size = self.messages, [], [], 0
        groups = sorted(group_exchanges(messages), key=lambda group: group.positions)
        for position in sorted(each for group in groups if group.positions[0] >= end for each in group.positions):
            self.add(messages[position])
        last = (len(messages) - 1,) if is_end else None
        for group in groups:
            members = [messages[position] for position in group.positions]
            is_pending = group.positions == last and bool(group.unanswered) and not group.unmatched
            is_kept = (group.is_whole or is_pending) and _is_there(members, is_exchange=group.is_exchange)
            if group.positions[0] < end and is_kept:
                yield Exchange(members, is_pending)


def _is_there(members: Sequence[Message], *, is_exchange: bool) -> bool:
    """Whether the words of messages are there: not redacted, nor stored beside the ledger, as large ones may be."""
    if is_exchange and any(has_reference(message.get("parts")) for message in members):
        return False
    return all("role" in message and "contentPart" not in message for message in members)
