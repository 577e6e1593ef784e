"""Exchanges: the calls of tools and the results that answer them, which stand together or go together.

No provider takes a result without its call, or a call without its results. So whoever shows a part of a conversation
takes its messages in groups: each exchange is one, and each message that is in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .references import is_reference
from .tools import ToolCall, ToolResult, calls_of, results_of

M = TypeVar("M", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Group:
    """Messages that stand together or go together.

    Parameters
    ----------
    positions : where in the list its messages are, ascending
    is_exchange : whether there are calls or results in it
    unanswered : the positions of messages with a call that has no result
    unmatched : the positions of messages with a result that has no call before it
    """

    positions: tuple[int, ...]
    is_exchange: bool = False
    unanswered: tuple[int, ...] = ()
    unmatched: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether each of its calls has a result, and each of its results a call."""
        return not self.unanswered and not self.unmatched


def group_exchanges(messages: Sequence[Mapping[str, Any]]) -> list[Group]:
    """All messages of a list in groups; a group stands where its last message does.

    A result belongs to the nearest call before it that has its id. One without an id belongs to the first unanswered
    call of the nearest message that has one, of the same name where the result has a name; but that of a tool's message
    right after an assistant's in which no calls are known belongs to that.

    Parameters
    ----------
    messages : in chronological order, as they are stored; of a redacted one nothing is known
    """
    matcher = _Matcher()
    for position, message in enumerate(messages):
        matcher.add(position, message)
    return matcher.groups()


def find_answered_calls(messages: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], ToolCall]:
    """The call that each result answers, by the position of the result's message and its number there."""
    matcher = _Matcher()
    for position, message in enumerate(messages):
        matcher.add(position, message)
    return matcher.answered


def without_torn_exchanges(messages: Sequence[M]) -> list[M]:
    """The messages of a list without those of exchanges that are not whole."""
    torn = {position for group in group_exchanges(messages) if not group.is_whole for position in group.positions}
    return [message for position, message in enumerate(messages) if position not in torn]


@dataclass(frozen=True, eq=False)
class _Call:
    position: int
    call: ToolCall


@dataclass
class _Matcher:
    """Finds the call of each result, message by message.

    Parameters
    ----------
    calls, unanswered : all calls, and those without a result so far, in order
    answered : the call that each result answers, by the result's message and its number there
    joined : for each position another one of the same group, or itself
    before : the assistant's message without known calls to which a result at the next position belongs
    stored : the last such message whose parts are stored beside it
    """

    calls: list[_Call] = field(default_factory=list)
    unanswered: list[_Call] = field(default_factory=list)
    by_id: dict[str, _Call] = field(default_factory=dict)
    with_results: set[int] = field(default_factory=set)
    unmatched: set[int] = field(default_factory=set)
    answered: dict[tuple[int, int], ToolCall] = field(default_factory=dict)
    joined: list[int] = field(default_factory=list)
    before: int | None = None
    stored: int | None = None

    def add(self, position: int, message: Mapping[str, Any]) -> None:
        """Take in the next message."""
        self.joined.append(position)
        calls, results = calls_of(message), results_of(message)
        for call in calls:
            self._add_call(position, call)
        before = self.before if message.get("role") == "tool" or self.before == self.stored else None
        self.before = None
        if is_reference(message.get("parts")):
            self._add_stored(position, message)
            return
        for number, result in enumerate(results):
            self.with_results.add(position)
            called = self._find_call(result, before)
            if isinstance(called, _Call):
                self._join(called.position, position)
                self.answered[position, number] = called.call
            elif called is not None:
                self._join(called, position)
                self.before = called
            else:
                self.unmatched.add(position)
        if message.get("role") == "assistant" and not calls and not results:
            self.before = position

    def groups(self) -> list[Group]:
        """The groups of all messages so far."""
        members: dict[int, list[int]] = {}
        for position in range(len(self.joined)):
            members.setdefault(self._root(position), []).append(position)
        unanswered = {call.position for call in self.unanswered}
        in_exchanges = self.with_results | {call.position for call in self.calls}
        groups = [
            Group(
                tuple(positions),
                not in_exchanges.isdisjoint(positions),
                tuple(sorted(unanswered.intersection(positions))),
                tuple(sorted(self.unmatched.intersection(positions))),
            )
            for positions in members.values()
        ]
        return sorted(groups, key=lambda group: group.positions[-1])

    def _add_stored(self, position: int, message: Mapping[str, Any]) -> None:
        """Take in a message whose parts are stored beside it: what calls and results it has is not known here.

        It answers the nearest open calls, and results right after it answer its own.
        """
        nearest = _of_nearest(self.unanswered)
        if message.get("role") != "assistant" and nearest:
            self.with_results.add(position)
            self._join(nearest[0].position, position)
            self.unanswered = [call for call in self.unanswered if call not in nearest]
        elif message.get("role") == "assistant":
            self.before = self.stored = position

    def _add_call(self, position: int, call: ToolCall) -> None:
        added = _Call(position, call)
        self.calls.append(added)
        self.unanswered.append(added)
        if call.id is not None:
            self.by_id[call.id] = added

    def _find_call(self, result: ToolResult, before: int | None) -> _Call | int | None:
        """The call that a result answers, or the position of a message whose calls are not known, or None."""
        if result.call_id is not None:
            call = self.by_id.get(result.call_id)
            if call is None and before is not None and before == self.stored:
                return before
        else:
            named = [each for each in self.unanswered if result.name in (None, each.call.name)]
            call = next(iter(_of_nearest(named)), None)
            if before is not None and (call is None or result.name is None):
                return before
        if call is not None and call in self.unanswered:
            self.unanswered.remove(call)
        return call

    def _join(self, first: int, second: int) -> None:
        first, second = self._root(first), self._root(second)
        self.joined[max(first, second)] = min(first, second)

    def _root(self, position: int) -> int:
        while self.joined[position] != position:
            position = self.joined[position]
        return position


def _of_nearest(calls: Sequence[_Call]) -> list[_Call]:
    """Those of the calls that the last of their messages has."""
    return [call for call in calls if call.position == calls[-1].position]
