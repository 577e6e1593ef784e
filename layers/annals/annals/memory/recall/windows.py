"""Windows: the newest messages of a conversation that fit a budget, without a torn exchange among them.

Groups of messages come newest first (``ledger.exchanges``). One that alone is over the budget is passed over; at the
first other one that does not fit, the window ends. What is left out of it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from annals.answers import Room
from annals.formats.tokens import estimate_message
from annals.formats.tools import calls_of
from annals.formats.turns import is_question, is_reply, without_tools
from annals.ledger.exchanges import MessageGroup
from annals.ledger.messages import HIDDEN_STATUSES, Message

ToolCalls = Literal["all", "unfinished"]
"""Which calls of tools are shown: all, or those of turns that have no reply yet."""

Weigh = Callable[[Sequence[Message]], int]
"""How much of a budget the messages of a group take."""

MAX_REPLIES = 20
"""How many messages in a row without a question count as replies to one: agents among themselves ask none."""

MAX_LEFT_OUT = 1_000
"""How many messages that are left out are named; then a window ends."""


@dataclass
class Window:
    """What fits: messages, oldest first once it is complete, and what they take of the budget.

    Parameters
    ----------
    too_large : the messages that are over the whole budget, alone, or all of an exchange together
    left_out : how many messages are left out that it reaches back over, those of the three lists and of their exchanges
    unpaired : the messages of exchanges in which a call has no result, or a result no call
    being_answered : the questions that a stream is answering just now
    saved : how much the calls and results take that ``toolCalls=unfinished`` leaves out
    is_all : whether it reaches back to the beginning of what is not archived
    """

    messages: list[Message] = field(default_factory=list)
    size: int = 0
    too_large: list[str] = field(default_factory=list)
    unpaired: list[str] = field(default_factory=list)
    being_answered: list[str] = field(default_factory=list)
    left_out: int = 0
    saved: int = 0
    is_all: bool = False


@dataclass(frozen=True)
class Budget:
    """What a window may take.

    Parameters
    ----------
    size : the most that ``weigh`` may come to
    weigh : what a group takes
    messages : how many messages there may be
    taken : how much of it is taken already
    ends_at_too_large : whether the window ends at a message that alone is over it; exchanges are passed over all the
        same, since the reply after them says what came of them
    """

    size: int
    weigh: Weigh
    messages: int | None = None
    taken: int = 0
    ends_at_too_large: bool = False


def tokens_of_messages(messages: Sequence[Message]) -> int:
    """What messages take in a prompt that holds them as they are stored."""
    return sum(map(estimate_message, messages))


def fit_newest(
    groups: Iterable[MessageGroup],
    budget: Budget,
    room: Room,
    *,
    in_answer: Collection[int] = (),
    show_hidden: bool = False,
) -> Window:
    """The newest groups that fit.

    Parameters
    ----------
    groups : newest first
    room : of the answer that the messages are for
    in_answer : the seqs of questions that a stream is answering just now
    show_hidden : whether a redacted message is shown as such
    """
    window = Window(size=budget.taken)
    places: Mapping[int, int] = {}
    answered: Mapping[int, int] = {}
    for group in groups:
        places, answered = group.places, group.answered or answered
        if window.left_out >= MAX_LEFT_OUT:
            break
        if not group.is_whole:
            window.unpaired += group.message_ids
            window.left_out += len(group.messages)
        elif any(message["seq"] in in_answer for message in group.messages):
            window.being_answered += group.message_ids
            window.left_out += len(group.messages)
        elif (show_hidden or not _is_hidden(group)) and not _take(window, group, budget, room):
            break
    else:
        window.is_all = True
    window.messages.sort(key=lambda message: -places[message["seq"]])
    window.messages = _beside_questions(window.messages, answered)
    return window


def _beside_questions(messages: Sequence[Message], answered: Mapping[int, int]) -> list[Message]:
    """Messages in order, but for a reply between whose question and itself another turn began: it follows its question.

    So streams that went on at once are turns one after the other.
    """
    seqs: set[int] = set()
    ordered: list[Message] = []
    for message in messages:
        question, place = answered.get(message["seq"]), len(ordered)
        if question in seqs:
            while ordered[place - 1]["seq"] != question:
                place -= 1
            if not any(map(is_question, ordered[place:])):
                place = len(ordered)
        ordered.insert(place, message)
        seqs.add(message["seq"])
    return ordered


def _is_hidden(group: MessageGroup) -> bool:
    return group.messages[0].get("status") in HIDDEN_STATUSES


def _take(window: Window, group: MessageGroup, budget: Budget, room: Room) -> bool:
    """Take a group into a window, or pass over it; whether the window goes on."""
    size, count = budget.weigh(group.messages), len(group.messages)
    most = count if budget.messages is None else budget.messages
    if size > budget.size or count > most:
        return _pass_over(window, group, budget)
    if window.size + size > budget.size or (budget.messages is not None and len(window.messages) + count > most):
        return False
    if not room.takes_all(group.messages):
        return not room.could_take(group.messages) and _pass_over(window, group, budget)
    window.messages += group.messages
    window.size += size
    window.saved += max(0, budget.weigh(group.stored) - size) if group.stored else 0
    return True


def _pass_over(window: Window, group: MessageGroup, budget: Budget) -> bool:
    """Leave out a group that is over the whole budget; whether the window goes on.

    Named are its messages that alone are, or else all.
    """
    alone = [message for message in group.messages if budget.weigh([message]) > budget.size]
    window.too_large += [message["messageId"] for message in alone or group.messages]
    window.left_out += len(group.messages)
    return group.is_exchange or not budget.ends_at_too_large


def without_finished_calls(groups: Iterable[MessageGroup]) -> Iterator[MessageGroup]:
    """The same groups without the calls and results of turns that have a reply; a reply stands with its question.

    A message with a ``runId`` belongs to that run's turn. One without belongs to the turn that the question before it
    began.

    Parameters
    ----------
    groups : newest first
    """
    turns: dict[str | None, _FinishedTurn] = {}
    for group in groups:
        newest = group.messages[-1]
        run = next((message["runId"] for message in group.messages if "runId" in message), None)
        if not group.is_whole:
            yield group
        elif len(group.messages) == 1 and is_reply(newest):
            turn = turns.setdefault(run, _FinishedTurn())
            if len(turn.shown) >= MAX_REPLIES:
                yield from turns.pop(run).to_single_groups(group.places)
                turn = turns.setdefault(run, _FinishedTurn())
            turn.add_reply(newest)
        elif group.is_exchange and run in turns:
            turns[run].stored += group.messages
        elif is_question(newest) and (answered := _pop_answered(turns, run)):
            yield answered.to_group(group.places, newest)
        else:
            yield group
    for turn in turns.values():
        yield from turn.to_single_groups(group.places)


@dataclass
class _FinishedTurn:
    """A turn that has a reply, as far as it is read from there back to its question.

    ``stored`` is all of it, ``shown`` what is left of that without calls and results.
    """

    stored: list[Message] = field(default_factory=list)
    shown: list[Message] = field(default_factory=list)

    def add_reply(self, message: Message) -> None:
        """Add a reply, or a part of one. One that holds the calls before it is shown without them."""
        self.stored.append(message)
        self.shown.append(cast("Message", without_tools(message)) if calls_of(message) else message)

    def to_single_groups(self, places: Mapping[int, int]) -> Iterator[MessageGroup]:
        """The replies one by one, newest first, where no question is known to which they belong."""
        newest, *others = self.shown
        elsewhere = {message["seq"] for message in others}
        stored = tuple(message for message in self.stored if message["seq"] not in elsewhere)
        yield MessageGroup((newest,), places, stored=stored)
        yield from (MessageGroup((message,), places) for message in others)

    def to_group(self, places: Mapping[int, int], question: Message) -> MessageGroup:
        """The turn as one group: the question and the replies."""
        shown, stored = ([question, *reversed(messages)] for messages in (self.shown, self.stored))
        in_order = sorted(stored, key=lambda message: -places[message["seq"]])
        return MessageGroup(tuple(shown), places, stored=tuple(in_order))


def _pop_answered(turns: dict[str | None, _FinishedTurn], run: str | None) -> _FinishedTurn | None:
    """The turn of a question: that of its run, or else the one whose replies are nearest."""
    if run in turns:
        return turns.pop(run)
    if run is None and turns:
        return turns.pop(next(reversed(turns)))
    return turns.pop(None, None)
