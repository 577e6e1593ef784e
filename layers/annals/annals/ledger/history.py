"""History: pages of a conversation's messages, read no further than they reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from annals.answers import Room
from annals.database.damage import report_damage
from annals.errors import DamagedEntry
from annals.ledger.entry import MESSAGE, PREAMBLE, Entry, Record, Tail
from annals.ledger.keys import entry_sk
from annals.ledger.message_state import has_superseded
from annals.ledger.messages import Message, answered_seq, present_message
from annals.ledger.read import read_entry
from annals.ledger.rewound import Rewound
from annals.ledger.versions import newest_versions
from annals.settings import settings


@dataclass(frozen=True)
class MessageRange:
    """Which messages to page through, and from which end.

    A page that is read backward is shown in chronological order all the same, unless ``newest_first``. ``after`` and
    ``before`` are exclusive seqs; the preamble counts as seq 0, before the first message. ``offset`` messages are
    skipped at the end where the page starts. ``matches`` is the filter; without one, every message counts. ``archived``
    is whether archived messages are among them, and ``rewound`` whether rewound ones are. Where this is a later page,
    ``list_after`` is the seq after which the whole list begins.
    """

    forward: bool = False
    newest_first: bool = False
    after: int = -1
    before: int | None = None
    offset: int = 0
    matches: Callable[[Message], bool] | None = None
    archived: bool = False
    rewound: bool = False
    list_after: int | None = None

    def reaches_newest(self, page: HistoryPage) -> bool:
        """Whether a page of the range ends, or begins, with the newest message that there is."""
        if self.forward:
            return self.before is None and page.next_seq is None and not page.offset
        return self.before is None and not self.offset

    def floor(self, tail: Tail) -> int:
        """The seq after which messages are shown: archived ones are left out unless ``archived``."""
        return max(self.after, self._first_shown(tail))

    def includes(self, message: Message) -> bool:
        """Whether a message is in the range, archived or not, however many are skipped before it."""
        is_inside = message["seq"] > self.after and (self.before is None or message["seq"] < self.before)
        return is_inside and (self.matches is None or self.matches(message))

    def list_floor(self, tail: Tail) -> int:
        """The same for the whole list."""
        return max(self.after if self.list_after is None else self.list_after, self._first_shown(tail))

    def _first_shown(self, tail: Tail) -> int:
        return 0 if self.archived else tail.archived

    def jump(self, pk: str, tail: Tail) -> int:
        """How many messages can be skipped by their number, without reading them."""
        counted = self.before is None and not (self.forward and self.floor(tail))
        # The numbers count all versions of a message, of which a reader gets one, and those that are rewound.
        is_plain = self.matches is None and not tail.rewind and not has_superseded(pk)
        return self.offset if counted and self.offset and is_plain else 0


@dataclass(frozen=True)
class HistoryPage:
    """Messages in the order in which they are shown, and the seq after which the next page begins, if there is one.

    ``offset`` messages are still to be skipped there, where the page ended before all that its range skips.
    ``answered`` are the seqs of the messages that replies among these answer, by those of the replies.
    """

    messages: list[Message]
    next_seq: int | None
    offset: int = 0
    answered: Mapping[int, int] = field(default_factory=dict)


def read_page(
    pk: str,
    tail: Tail,
    message_range: MessageRange,
    limit: int,
    room: Room | None = None,
    rewound: Rewound | None = None,
) -> HistoryPage:
    """Read up to ``limit`` messages of a range. ``rewound`` is what is rewound at the tail, where that was read before.

    A page also ends where an answer has no room for the next message, and, where few match or many are skipped, once
    ``max_page_bytes`` bytes of records were read: then it may be short, or even empty, and still have a next one.
    """
    preamble, left = _preamble(pk, tail, message_range), room or Room()
    rewound = Rewound.at(pk, tail) if rewound is None else rewound
    if preamble and message_range.forward:
        left.takes(preamble)
        part = _read(pk, tail, message_range, limit - 1, left, rewound)
        messages = [preamble, *part.messages]
        next_seq = 0 if part.next_seq is not None and not part.messages else part.next_seq
    else:
        part = _read(pk, tail, message_range, limit, left, rewound)
        messages, next_seq = part.messages, part.next_seq
        if preamble and next_seq is None and not part.offset:
            if len(messages) < limit and left.takes(preamble):
                messages.append(preamble)
            else:
                next_seq = part.reached or 1
    if not message_range.forward and not message_range.newest_first:
        messages.reverse()
    return HistoryPage(messages, next_seq, part.offset, part.answered)


def _preamble(pk: str, tail: Tail, message_range: MessageRange) -> Message | None:
    """The preamble in force, where the range begins or ends at the very beginning, and it matches."""
    if message_range.after >= 0 or (message_range.forward and message_range.offset):
        return None
    preamble = read_preamble(pk, tail)
    return preamble if preamble and (message_range.matches is None or message_range.matches(preamble)) else None


def read_preamble(pk: str, tail: Tail) -> Message | None:
    """The preamble in force, or None. Raises DamagedEntry where the tail names something else as one."""
    if not tail.preamble:
        return None
    entry = read_entry(pk, tail.preamble)
    if entry.records[0].kind != PREAMBLE:
        raise report_damage(DamagedEntry(pk, entry_sk(tail.seq), "what it names as the preamble is not one"))
    return present_message(entry.records[0], entry)


@dataclass(frozen=True)
class _Part:
    """Messages in the order in which they are read, and what a page says of the rest.

    ``reached`` is the seq of the last one's place; None where there is none.
    """

    messages: list[Message]
    reached: int | None
    next_seq: int | None = None
    offset: int = 0
    answered: Mapping[int, int] = field(default_factory=dict)


def _read(pk: str, tail: Tail, message_range: MessageRange, limit: int, room: Room, rewound: Rewound) -> _Part:
    """The first messages of a range, as many as there is room for."""
    left_out = Rewound(pk, 0) if message_range.rewound else rewound
    entries, skip = _start(pk, tail, message_range, limit, left_out)
    records = _records(entries, message_range, message_range.floor(tail), left_out)
    messages: list[Message] = []
    answered: dict[int, int] = {}
    part = partial(_Part, messages, answered=answered)
    read_bytes, reached, shown = 0, None, None
    for placed in newest_versions(pk, records, message_range.list_floor(tail)):
        read_bytes += len(placed.record.body or b"")
        message = present_message(placed.record, placed.entry, tail.archived, rewound=rewound.hides(placed.seq))
        if message_range.matches is None or message_range.matches(message):
            if skip:
                skip -= 1
            elif len(messages) == limit:
                return part(shown, placed.seq if shown is None else shown)
            elif not room.takes(message):
                # Where nothing was read yet, the next page begins with this very record.
                before = placed.seq - 1 if message_range.forward else placed.seq + 1
                return part(shown, before if reached is None else reached)
            else:
                messages.append(message)
                if seq := answered_seq(placed.record):
                    answered[message["seq"]] = seq
                shown = placed.seq
        reached = placed.seq
        if (message_range.matches or skip) and read_bytes > settings().max_page_bytes:
            return part(shown, reached, skip)
    return part(shown, offset=skip)


def _records(
    entries: Iterator[Entry], message_range: MessageRange, floor: int, left_out: Rewound
) -> Iterator[tuple[Record, Entry]]:
    """The message records of the range that are not left out, in its direction."""
    for entry in entries:
        is_past_end = message_range.before is not None and entry.seq >= message_range.before
        if is_past_end if message_range.forward else entry.last_seq <= floor:
            return
        for record in entry.records if message_range.forward else reversed(entry.records):
            is_inside = record.seq > floor and (message_range.before is None or record.seq < message_range.before)
            if is_inside and record.kind == MESSAGE and not left_out.hides(record.seq):
                yield record, entry


def _start(
    pk: str, tail: Tail, message_range: MessageRange, limit: int, left_out: Rewound
) -> tuple[Iterator[Entry], int]:
    """The entries from where the range starts, and how many messages are still to be skipped there.

    A message's seq is at least its number, since only a few records are no messages: what is skipped by number need
    not be read.
    """
    jump = message_range.jump(pk, tail)
    # Most entries are turns of two messages; where they are not, one more query reads the rest.
    page = limit // 2 + 1 if message_range.matches is None else None
    if message_range.forward:
        entries = left_out.walk_on(message_range.floor(tail) + 1 + jump, page=page)
    else:
        last = tail.seq if message_range.before is None else message_range.before - 1
        entries = left_out.walk_back(max(last - jump, 0), page=page)
    if not jump:
        return entries, message_range.offset
    first = next(entries, None)
    if first is None:
        return iter(()), 0
    own = sum(record.kind == MESSAGE for record in first.records)
    skipped = first.count - own if message_range.forward else tail.count - first.count
    return chain([first], entries), max(message_range.offset - skipped, 0)
