"""Rewind: a record takes back the messages after a point; the ledger keeps them, and readers leave them out.

What is taken back depends on where the conversation ends, so the record is made anew for each tail that is tried: of
two that take back the newest message at once, each takes another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from annals.answers import Room, fitting
from annals.errors import InvalidInput, MessageNotFound
from annals.json_text import dump
from annals.ledger.append import AppendResult, NewRecord, append
from annals.ledger.entry import MESSAGE, REWIND, Entry, Tail
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import Message, message_id, present_message
from annals.ledger.read import walk
from annals.ledger.rewound import (
    MAX_SPANS,
    NO_SPANS,
    Rewound,
    Span,
    SpanPage,
    newest_records,
    read_span_page,
    span_page_fields,
    span_page_of,
)
from annals.ledger.versions import PlacedRecord, get_message_record, newest_versions, versions_of

MAX_SHOWN = 100
"""How many of the messages that are taken back an answer shows, unless their number was asked for."""


@dataclass(frozen=True)
class RewindTarget:
    """Where a rewind leads: to a seq, or before the newest messages, so many.

    With ``is_message``, the seq is that of a message, which has to be there, and stays in its place.
    """

    seq: int | None = None
    messages: int | None = None
    is_message: bool = False


@dataclass(frozen=True)
class Rewind:
    """What a rewind took back: these messages, oldest first; without the older ones of more than an answer shows.

    ``at`` is the tail after it, and ``total`` how many messages are left, all versions of one counted.
    """

    removed: Sequence[Message]
    is_all: bool
    at: Tail
    total: int
    replayed: bool = False


class _NothingToRewindError(Exception):
    """There are no messages after the point to which a rewind leads, as far as the ledger reaches now."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.tail = tail


def rewind(
    tenant: str,
    conversation_id: str,
    target: RewindTarget,
    by: str,
    *,
    expected_seq: int | None = None,
    request: IdempotentRequest | None = None,
    with_first: Sequence[Mapping[str, Any]] = (),
) -> Rewind:
    """Take back the messages after a point, as far as there are any; where there are none, nothing is stored.

    ``with_first`` is more writes for the transaction of a conversation's first rewind.

    Raises
    ------
    MessageNotFound : the target's message is not there, or taken back already
    InvalidInput : the target's seq is beyond the tail
    and what ``ledger.append`` raises
    """
    pk = conversation_pk(tenant, conversation_id)
    planned: list[_Removal] = []

    def record_at(tail: Tail) -> Sequence[NewRecord]:
        planned[:] = [_plan(pk, tail, target)]
        return [_new_record(pk, tail, planned[0].after, by)]

    try:
        stored = append(
            tenant,
            conversation_id,
            record_at,
            expected_seq=expected_seq,
            request=request,
            also=lambda tail: () if tail.rewind else with_first,
        )
    except _NothingToRewindError as nothing:
        return Rewind([], True, nothing.tail, nothing.tail.count - Rewound.at(pk, nothing.tail).count())
    return _result(stored, _plan_of(stored.entry, target) if stored.replayed else planned[0])


@dataclass(frozen=True)
class _Removal:
    """The messages after seq ``after`` that are not taken back yet at a tail, the newest first, as many as are shown.

    ``is_all`` is whether these are all.
    """

    after: int
    tail: Tail
    newest_first: Sequence[PlacedRecord]
    is_all: bool


def _plan(pk: str, tail: Tail, target: RewindTarget) -> _Removal:
    """What a rewind takes back at a tail. Raises _NothingToRewindError, MessageNotFound, InvalidInput."""
    rewound = Rewound.at(pk, tail)
    if target.messages is not None:
        newest = _read_newest(pk, tail, rewound, tail.archived, target.messages)
        removal = _Removal(newest[-1].seq - 1 if newest else 0, tail, newest, is_all=True)
    else:
        after = _seq_of_target(pk, tail, rewound, target)
        newest = _read_newest(pk, tail, rewound, after, MAX_SHOWN + 1)
        removal = _Removal(after, tail, newest[:MAX_SHOWN], len(newest) <= MAX_SHOWN)
    if not newest:
        raise _NothingToRewindError(tail)
    return removal


def _seq_of_target(pk: str, tail: Tail, rewound: Rewound, target: RewindTarget) -> int:
    """The seq after which messages are taken back: of a message with several versions, that of its first one."""
    seq = target.seq or 0
    if target.is_message:
        get_message_record(pk, seq)
        first = min(versions_of(pk, seq))
        if rewound.hides(first):
            raise MessageNotFound(message_id(seq))
        return first
    if seq > tail.seq:
        detail = f"The conversation ends at seq {tail.seq}."
        raise InvalidInput("INVALID_RANGE", detail, field="toSeq")
    return seq


def _read_newest(pk: str, tail: Tail, rewound: Rewound, floor: int, limit: int) -> list[PlacedRecord]:
    """The newest messages after a seq that are not taken back, the newest first; of those archived, none in parts."""
    records = newest_records(tail, rewound, floor=floor, page=limit // 2 + 1)
    return list(islice(newest_versions(pk, records, tail.archived), limit))


def _new_record(pk: str, tail: Tail, after: int, by: str) -> NewRecord:
    """The record that takes back the messages after a seq, at a tail."""
    previous = {"previous": tail.rewind} if tail.rewind else {}
    page = _span_page_after(pk, tail, after)
    return NewRecord(REWIND, dump({"toSeq": after, "by": by, **previous, **span_page_fields(page)}).encode())


def _span_page_after(pk: str, tail: Tail, after: int) -> SpanPage:
    """The page of spans of a rewind: its own, and before it those that end before it begins.

    Those that it reaches, or follows directly, are one span with it. A page that is full is left where it is.
    """
    page = read_span_page(pk, tail.rewind) if tail.rewind else NO_SPANS
    spans = page.spans
    while spans and spans[-1].seq >= after:
        after, spans = min(after, spans[-1].after), spans[:-1]
        if not spans and page.earlier:
            page = read_span_page(pk, page.earlier)
            spans = page.spans
    seq, hidden = tail.seq + 1, (spans[-1].hidden if spans else 0) + tail.count - _count_at(pk, after)
    own = Span(after, seq, hidden)
    if len(spans) < MAX_SPANS:
        return SpanPage(seq, (*spans, own), page.earlier)
    return SpanPage(seq, (own,), page.seq)


def _count_at(pk: str, seq: int) -> int:
    """How many messages a conversation had up to a seq."""
    if not seq:
        return 0
    entry = next(walk(pk, last=seq, newest_first=True, page=1))
    return entry.count - sum(record.kind == MESSAGE and record.seq > seq for record in entry.records)


def _plan_of(entry: Entry, target: RewindTarget) -> _Removal:
    """What a stored rewind took back: what was not taken back before it."""
    (record,) = entry.records
    body = record.json_body() or {}
    before = Tail(
        seq=record.seq - 1,
        count=entry.count,
        state=entry.state,
        at=entry.at,
        hash=entry.prev,
        archived=entry.archived,
        rewind=body.get("previous", 0),
    )
    limit = MAX_SHOWN if target.messages is None else target.messages
    after = body.get("toSeq", 0)
    newest = _read_newest(entry.pk, before, Rewound.at(entry.pk, before), after, limit + 1)
    return _Removal(after, before, newest[:limit], len(newest) <= limit)


def _result(stored: AppendResult, removal: _Removal) -> Rewind:
    room = Room()
    archived = removal.tail.archived
    shown = fitting((present_message(each.record, each.entry, archived) for each in removal.newest_first), room)
    page = span_page_of(stored.entry)
    return Rewind(
        removed=shown[::-1],
        is_all=removal.is_all and not room.is_full,
        at=Tail.of(stored.entry),
        total=stored.entry.count - page.spans[-1].hidden,
        replayed=stored.replayed,
    )
