"""History: pages of a conversation's messages, read no further than they reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from annals.answers import Room
from annals.database.damage import report_damage
from annals.errors import DamagedEntry
from annals.ledger.entry import MESSAGE, PREAMBLE, Entry, Record, Tail
from annals.ledger.keys import entry_sk
from annals.ledger.messages import Message, present_message
from annals.ledger.read import read_entry, walk, walk_records_from
from annals.settings import settings


@dataclass(frozen=True)
class MessageRange:
    """Which messages to page through, and from which end.

    A page that is read backward is shown in chronological order all the same, unless ``newest_first``. ``after`` and
    ``before`` are exclusive seqs; the preamble stands at place 0, in front of the first message. ``offset`` messages
    are skipped at the end where the page starts. ``keep`` decides which messages count at all; without it, all do.
    """

    forward: bool = False
    newest_first: bool = False
    after: int = -1
    before: int | None = None
    offset: int = 0
    keep: Callable[[Message], bool] | None = None
    archived: bool = False

    def floor(self, tail: Tail) -> int:
        """The seq behind which messages are shown: archived ones are left out unless they are asked for."""
        return max(self.after, 0 if self.archived else tail.archived)

    def jump(self, tail: Tail) -> int:
        """How many messages can be skipped by their number, without reading them."""
        counted = self.before is None and not (self.forward and self.floor(tail))
        return self.offset if counted and self.keep is None else 0


@dataclass(frozen=True)
class HistoryPage:
    """Messages in the order in which they are shown, and the seq to go on from, if there is more.

    ``offset`` messages are still to be skipped there, where the page ended before all that its span skips.
    """

    messages: list[Message]
    next_seq: int | None
    offset: int = 0


def read_page(pk: str, tail: Tail, span: MessageRange, limit: int, room: Room | None = None) -> HistoryPage:
    """Read up to ``limit`` messages of a span.

    A page also ends where an answer has no room for the next message, and, where few are kept or many skipped, once
    ``max_page_bytes`` bytes of records were read: then it may be short, or even empty, and still have a next one.
    """
    preamble, left = _preamble(pk, tail, span), room or Room()
    if preamble and span.forward:
        left.takes(preamble)
        rest, next_seq, offset = _read(*_start(pk, tail, span, limit), tail, span, limit - 1, left)
        found = [preamble, *rest]
        next_seq = 0 if next_seq is not None and not rest else next_seq
    else:
        found, next_seq, offset = _read(*_start(pk, tail, span, limit), tail, span, limit, left)
        if preamble and next_seq is None and not offset:
            fits = len(found) < limit and left.takes(preamble)
            found, next_seq = ([*found, preamble], None) if fits else (found, found[-1]["seq"] if found else 1)
    if not span.forward and not span.newest_first:
        found.reverse()
    return HistoryPage(found, next_seq, offset)


def _preamble(pk: str, tail: Tail, span: MessageRange) -> Message | None:
    """The preamble in force, where the span reaches from or to the very beginning."""
    if span.after >= 0 or (span.forward and span.offset):
        return None
    preamble = read_preamble(pk, tail)
    return preamble if preamble and (span.keep is None or span.keep(preamble)) else None


def read_preamble(pk: str, tail: Tail) -> Message | None:
    """The preamble in force, or None. Raises DamagedEntry where the tail names something else as one."""
    if not tail.preamble:
        return None
    entry = read_entry(pk, tail.preamble)
    if entry.records[0].kind != PREAMBLE:
        raise report_damage(DamagedEntry(pk, entry_sk(tail.seq), "what it names as the preamble is none"))
    return present_message(entry.records[0], entry)


def _read(
    entries: Iterator[Entry], skip: int, tail: Tail, span: MessageRange, limit: int, room: Room
) -> tuple[list[Message], int | None, int]:
    """Messages of a page in the order in which they are read, the seq to go on from, and how many to skip there."""
    found: list[Message] = []
    read_bytes, reached = 0, None
    for record, entry in _records(entries, span, span.floor(tail)):
        read_bytes += len(record.body or b"")
        message = present_message(record, entry, tail.archived)
        if span.keep is None or span.keep(message):
            if skip:
                skip -= 1
            elif len(found) == limit:
                return found, found[-1]["seq"] if found else record.seq, 0
            elif not room.takes(message):
                # Where nothing was read yet, the next page begins with this very record.
                return found, (record.seq - 1 if span.forward else record.seq + 1) if reached is None else reached, 0
            else:
                found.append(message)
        reached = record.seq
        if (span.keep or skip) and read_bytes > settings().max_page_bytes:
            return found, reached, skip
    return found, None, skip


def _records(entries: Iterator[Entry], span: MessageRange, floor: int) -> Iterator[tuple[Record, Entry]]:
    """The message records within the span's bounds, in its direction."""
    for entry in entries:
        if (span.before is not None and entry.seq >= span.before) if span.forward else entry.last_seq <= floor:
            return
        for record in entry.records if span.forward else reversed(entry.records):
            inside = record.seq > floor and (span.before is None or record.seq < span.before)
            if inside and record.kind == MESSAGE:
                yield record, entry


def _start(pk: str, tail: Tail, span: MessageRange, limit: int) -> tuple[Iterator[Entry], int]:
    """The entries from where the span starts, and how many messages are still to be skipped there.

    Messages number as the records do, but for the few records that are none; so a message that is to be skipped by its
    number need not be read.
    """
    jump = span.jump(tail)
    # Most entries are turns of two messages; where they are not, one more query reads the rest.
    page = limit // 2 + 1 if span.keep is None else None
    if span.forward:
        entries = walk_records_from(pk, span.floor(tail) + 1 + jump, page=page)
    else:
        last = tail.seq if span.before is None else span.before - 1
        entries = walk(pk, last=max(last - jump, 0), newest_first=True, page=page)
    if not jump:
        return entries, span.offset
    first = next(entries, None)
    if first is None:
        return iter(()), 0
    own = sum(record.kind == MESSAGE for record in first.records)
    passed = first.count - own if span.forward else tail.count - first.count
    return chain([first], entries), max(span.offset - passed, 0)
