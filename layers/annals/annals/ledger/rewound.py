"""Which messages of a conversation are rewound: taken back by a later record, though the ledger keeps them.

The record of a rewind says so of all messages between a seq and itself. It also holds the spans of the rewinds before
it that still count, as many as keep it small, and where the earlier ones are; so a reader finds all that it needs in
one item, from the tail, which names the last rewind.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annals.database.damage import report_damage
from annals.errors import DamagedEntry
from annals.ledger.entry import MESSAGE, REWIND, Entry, Record, Tail
from annals.ledger.keys import MAX_SEQ, entry_sk
from annals.ledger.read import read_entry, walk, walk_records_from
from annals.ledger.tail import read_tail

MAX_SPANS = 32
"""How many spans the record of a rewind holds: with so many it is still one write unit."""

LONG_SPAN = 8
"""Records of shorter spans are read and passed over: that costs less than another query."""


@dataclass(frozen=True)
class Span:
    """What a rewind takes back: the messages after seq ``after`` and before the rewind itself, at ``seq``.

    ``hidden`` is how many messages are taken back by it and by the spans before it, all versions of one counted.
    """

    after: int
    seq: int
    hidden: int

    @property
    def is_long(self) -> bool:
        return self.seq - self.after > LONG_SPAN


@dataclass(frozen=True)
class SpanPage:
    """Spans that one record holds, the oldest first. ``seq`` is the record's; ``earlier`` that of the page before."""

    seq: int
    spans: tuple[Span, ...]
    earlier: int = 0


NO_SPANS = SpanPage(0, ())


def read_span_page(pk: str, seq: int) -> SpanPage:
    """The page of spans in the record of a rewind. Raises DamagedEntry where it is none."""
    return span_page_of(read_entry(pk, seq))


def span_page_of(entry: Entry) -> SpanPage:
    """The page of spans of an entry that is a rewind. Raises DamagedEntry where it is none."""
    page = find_span_page(entry.records[0])
    if page is None:
        raise report_damage(DamagedEntry(entry.pk, entry_sk(entry.seq), "it is named as a rewind, and is not one"))
    return page


def find_span_page(record: Record) -> SpanPage | None:
    """The page of spans that a record holds, or None where it is no sound record of a rewind."""
    body = record.json_body() if record.kind == REWIND else None
    if body is None:
        return None
    spans, earlier, last = body.get("spans"), body.get("earlier", 0), -1
    if not isinstance(spans, list) or not spans or not _is_number(earlier) or earlier >= record.seq:
        return None
    for each in spans:
        if not isinstance(each, list) or len(each) != 3 or not all(map(_is_number, each)):
            return None
        if not last < each[0] < each[1]:
            return None
        last = each[1]
    return SpanPage(record.seq, tuple(Span(*each) for each in spans), earlier) if last == record.seq else None


def taken_back(record: Record) -> range:
    """The seqs of the messages that a rewind takes back, with what else is among them; of another record, none."""
    body = record.json_body() if find_span_page(record) else None
    return range(body["toSeq"] + 1, record.seq) if body and _is_number(body.get("toSeq")) else range(0)


def span_page_fields(page: SpanPage) -> Mapping[str, Any]:
    """The fields by which the body of a rewind holds a page of spans."""
    spans = [[span.after, span.seq, span.hidden] for span in page.spans]
    return {"spans": spans, **({"earlier": page.earlier} if page.earlier else {})}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class Rewound:
    """The rewound messages of a conversation, read no further back than is asked for.

    Parameters
    ----------
    pk : the conversation's partition key
    rewind : the seq of its last rewind, as its tail names it; 0 where there is none
    """

    def __init__(self, pk: str, rewind: int) -> None:
        self._pk = pk
        self._next_page = rewind
        self._newest_first: list[Span] = []

    @staticmethod
    def at(pk: str, tail: Tail) -> Rewound:
        """What is rewound at a tail."""
        return Rewound(pk, tail.rewind)

    def __bool__(self) -> bool:
        """Whether anything is rewound."""
        return bool(self._newest_first or self._next_page)

    def hides(self, seq: int) -> bool:
        """Whether a message at a seq is rewound."""
        return self.find_span(seq) is not None

    def find_span(self, seq: int) -> Span | None:
        """The span that holds a record, or that ends with it; None for a record outside all spans."""
        self._read_to(seq)
        newer = bisect_right(self._newest_first, -seq, key=lambda span: -span.seq)
        span = self._newest_first[newer - 1] if newer else None
        return span if span and span.after < seq else None

    def count(self) -> int:
        """How many messages are rewound, all versions of one counted."""
        if not self:
            return 0
        self._read_to(MAX_SEQ)
        return self._newest_first[0].hidden

    def count_before(self, seq: int) -> int:
        """The same of those before a seq."""
        self._read_to(seq)
        while self._next_page and self._newest_first[-1].seq >= seq:
            self._read_next_page()
        return next((span.hidden for span in self._newest_first if span.seq < seq), 0)

    def walk_back(self, last: int, *, first: int = 0, page: int | None = None) -> Iterator[Entry]:
        """Walk from seq ``last`` back to ``first`` over a conversation's entries, but for those in long spans."""
        while last >= first:
            span = self.find_span(last)
            if span and span.is_long:
                last = span.after
                continue
            below = self._next_stop(last)
            from_seq = max(first, below.seq + 1) if below else first
            yield from walk(self._pk, first=from_seq, last=last, newest_first=True, page=page)
            if below is None:
                return
            last = below.after

    def walk_on(self, first: int, *, page: int | None = None) -> Iterator[Entry]:
        """Walk from the entry that holds the record ``first`` to the end, but for the entries in long spans."""
        long_spans = [span for span in self._spans_from(first) if span.is_long]
        for span in long_spans:
            if first <= span.after:
                yield from walk_records_from(self._pk, first, last=span.after, page=page)
            first = max(first, span.seq + 1)
        yield from walk_records_from(self._pk, first, page=page)

    def _next_stop(self, last: int) -> Span | None:
        """The next span below a seq that is to be passed over, or before which more spans have to be read."""
        below = [span for span in self._newest_first if span.seq < last]
        stop = next((span for span in below if span.is_long), None)
        return stop or (below[-1] if below and self._next_page else None)

    def _spans_from(self, seq: int) -> list[Span]:
        """The spans that end at a seq or later, the oldest first."""
        self._read_to(seq)
        return [span for span in reversed(self._newest_first) if span.seq >= seq]

    def _read_to(self, seq: int) -> None:
        while self._next_page and (not self._newest_first or self._newest_first[-1].after >= seq):
            self._read_next_page()

    def _read_next_page(self) -> None:
        page = read_span_page(self._pk, self._next_page)
        self._newest_first += reversed(page.spans)
        self._next_page = page.earlier


def read_rewound(pk: str) -> Rewound:
    """What is rewound in a conversation as it is now; nothing where there is none."""
    tail = read_tail(pk)
    return Rewound(pk, tail.rewind if tail else 0)


def newest_records(
    tail: Tail, rewound: Rewound, *, floor: int = 0, page: int | None = None
) -> Iterator[tuple[Record, Entry]]:
    """The message records after seq ``floor`` that are not rewound, the newest first, read lazily."""
    for entry in rewound.walk_back(tail.seq, page=page):
        for record in reversed(entry.records):
            if record.kind == MESSAGE and record.seq > floor and not rewound.hides(record.seq):
                yield record, entry
        if entry.seq <= floor:
            return
