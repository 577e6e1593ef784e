"""Reading a conversation from its end without tearing an exchange: a call of a tool comes with its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from annals.formats.exchanges import Group, group_exchanges, without_torn_exchanges
from annals.formats.turns import is_question, is_reply
from annals.ledger.entry import Tail
from annals.ledger.history import MessageRange, read_page
from annals.ledger.messages import Message

PAGE_SIZE = 200

MAX_CALL_DISTANCE = 400
"""How many messages before a result its call is looked for; one further away counts as missing."""


@dataclass(frozen=True)
class MessageGroup:
    """Messages that stand together or go together, oldest first; see ``formats.exchanges``.

    Parameters
    ----------
    places : the place of each message of the conversation by its seq, 0 for the newest; of these messages and others
    is_exchange : whether there are calls or results in it
    is_whole : whether each call has its results, and each result its call
    stored : all messages of it, where not all are to be shown, or not all of them
    answered : the seqs of the messages that replies answer, by those of the replies; of these messages and others
    """

    messages: tuple[Message, ...]
    places: Mapping[int, int]
    is_exchange: bool = False
    is_whole: bool = True
    stored: tuple[Message, ...] = ()
    answered: Mapping[int, int] = field(default_factory=dict)

    @property
    def message_ids(self) -> list[str]:
        """The ids of its messages."""
        return [message["messageId"] for message in self.messages]


def walk_groups(
    pk: str, tail: Tail, *, before: int | None = None, page_size: int = PAGE_SIZE
) -> Iterator[MessageGroup]:
    """The messages of a conversation that are not archived, in groups, read lazily from its end.

    A group comes when its newest message does. A result whose call is archived is torn, as is one whose call is
    further than ``MAX_CALL_DISTANCE`` away.

    Parameters
    ----------
    before : the seq before which the messages are; None for all
    page_size : how many messages are read at once
    """
    waiting: list[Message] = []
    places: dict[int, int] = {}
    answered: dict[int, int] = {}
    given: set[int] = set()
    next_before: int | None = tail.seq + 1 if before is None else before
    while next_before is not None:
        message_range = MessageRange(newest_first=True, after=0, before=next_before)
        page = read_page(pk, tail, message_range, page_size)
        next_before = page.next_seq
        waiting = [*reversed(page.messages), *waiting]
        places |= {message["seq"]: place for place, message in enumerate(page.messages, len(places))}
        answered |= page.answered
        groups = group_exchanges(waiting)
        undecided = -1 if next_before is None else _last_undecided(groups)
        for group in reversed(groups):
            if group.positions[-1] > undecided and waiting[group.positions[0]]["seq"] not in given:
                members = tuple(waiting[position] for position in group.positions)
                yield MessageGroup(members, places, group.is_exchange, group.is_whole, answered=answered)
        given |= {waiting[position]["seq"] for group in groups for position in _decided(group, undecided)}
        waiting = waiting[: undecided + 1]


def split_torn(messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Messages without those of torn exchanges, and the ids of these."""
    whole = without_torn_exchanges(messages)
    kept = {message["messageId"] for message in whole}
    return whole, [message["messageId"] for message in messages if message["messageId"] not in kept]


def last_seq_outside_exchanges(pk: str, tail: Tail, up_to: int) -> int:
    """The last seq up to a point at which no exchange would be cut, nor one whose results are still to come.

    That is the point itself, or the last message before the exchange that is across it.
    """
    before = read_page(pk, tail, MessageRange(newest_first=True, before=up_to + 1, after=0), MAX_CALL_DISTANCE)
    after = read_page(pk, tail, MessageRange(forward=True, after=up_to), MAX_CALL_DISTANCE)
    messages = [*reversed(before.messages), *after.messages]
    for group in sorted(group_exchanges(messages), key=lambda group: group.positions, reverse=True):
        first, last = (messages[position]["seq"] for position in (group.positions[0], group.positions[-1]))
        if first <= up_to and (last > up_to or _is_pending(group, messages)):
            up_to = first - 1
    return up_to


def _is_pending(group: Group, messages: Sequence[Message]) -> bool:
    """Whether results are still to come: none has while the conversation goes on without them."""
    later = messages[group.positions[-1] + 1 :]
    return bool(group.unanswered) and not any(is_question(message) or is_reply(message) for message in later)


def _last_undecided(groups: Sequence[Group]) -> int:
    """The newest position in a group that lacks a call which may still be read; -1 where no group does."""
    lacking = (group for group in groups if any(position < MAX_CALL_DISTANCE for position in group.unmatched))
    return max((group.positions[-1] for group in lacking), default=-1)


def _decided(group: Group, undecided: int) -> Sequence[int]:
    return group.positions if group.positions[-1] > undecided else ()
