"""The parts that entries refer to, noted while their chain is verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from annals.errors import DamagedEntry
from annals.formats.references import Reference
from annals.ledger.entry import MESSAGE, Entry
from annals.ledger.part_fields import MARK, references_of
from annals.ledger.part_keys import part_key


@dataclass(frozen=True)
class StoredPart:
    """A part that a message refers to: of the record with this seq, and under this key."""

    seq: int
    key: str
    reference: Reference


def parts_of(entry: Entry) -> Iterator[StoredPart]:
    """The parts that an entry's messages refer to, as far as their words are still there."""
    for position, record in enumerate(entry.records):
        body = record.json_body() if record.kind == MESSAGE and MARK in (record.body or b"") else None
        for reference in references_of(body) if body else ():
            yield StoredPart(record.seq, part_key(entry, position, reference.sha256), reference)


@dataclass
class PartWatch:
    """Notes the parts of the entries that pass, to check them when it is known that the chain holds."""

    parts: list[StoredPart] = field(default_factory=list)

    def pass_on(self, entries: Iterable[Entry | DamagedEntry]) -> Iterator[Entry | DamagedEntry]:
        """Pass entries on."""
        for each in entries:
            if isinstance(each, Entry):
                self.parts += parts_of(each)
            yield each
