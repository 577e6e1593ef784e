"""Verify an exported ledger from its file alone: no table, no network, no AWS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter

from annals.ledger.entry import ERASED, REDACTION, Entry
from annals.ledger.lines import DamagedLine, Header, read_line
from annals.ledger.verify import Verification, verify


@dataclass(frozen=True)
class Checked:
    """What verifying one conversation of a file found; ``redacted`` counts its records that were withdrawn."""

    header: Header
    found: Verification
    redacted: int


def verify_lines(lines: Iterable[bytes], noted: bytes | None = None) -> Iterator[Checked]:
    """Verify each conversation of an exported ledger, reading its lines as they are needed.

    Parameters
    ----------
    noted : a hash that was noted before, which one of the file's entries must have; a file can be written anew as a
        whole, and only what is kept elsewhere tells

    Raises
    ------
    DamagedLine : a line is none of an exported ledger, or none of its entries has the noted hash
    """
    is_noted_there = noted is None
    for _, section in groupby(_sections(lines), key=itemgetter(0)):
        said = (line for _, line in section)
        header = next(said)
        if not isinstance(header, Header):
            raise DamagedLine("the file does not begin with the header of a ledger")
        watch = _Watch(noted)
        yield _verify(header, watch, (line for line in said if isinstance(line, Entry)))
        is_noted_there = is_noted_there or watch.has_noted
    if noted is not None and not is_noted_there:
        raise DamagedLine(f"no entry has the hash {noted.hex()}, which was noted")


def _verify(header: Header, watch: _Watch, entries: Iterator[Entry]) -> Checked:
    found = verify(watch.pass_on(entries), header.pk, header.checkpoint)
    if found.valid and watch.unexplained:
        reason = "its body is gone, and no redaction withdrew it"
        found = replace(found, first_bad_seq=min(watch.unexplained), reason=reason)
    return Checked(header, found, len(watch.bare))


@dataclass
class _Watch:
    """What is seen beside the chain: which records have no body, of which a redaction says so, and the noted hash."""

    noted: bytes | None
    has_noted: bool = False
    bare: set[int] = field(default_factory=set)
    explained: set[int | None] = field(default_factory=set)
    erased: bool = False

    def pass_on(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Pass entries on; each is looked at when the next one is asked for, since then it was in order."""
        for entry in entries:
            yield entry
            self.has_noted = self.has_noted or entry.hash == self.noted
            self.erased = entry.state == ERASED
            self.bare |= {record.seq for record in entry.records if record.body is None}
            self.explained |= {_withdrawn(record.body) for record in entry.records if record.kind == REDACTION}

    @property
    def unexplained(self) -> set[int]:
        return set() if self.erased else self.bare - self.explained


def _withdrawn(body: bytes | None) -> int | None:
    """The seq that a redaction's body names."""
    try:
        said = json.loads(body or b"null")
    except ValueError:
        return None
    seq = said.get("seq") if isinstance(said, dict) else None
    return seq if isinstance(seq, int) else None


def _sections(lines: Iterable[bytes]) -> Iterator[tuple[int, Header | Entry]]:
    """What the lines say, each with the number of its conversation."""
    section = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            said = read_line(line)
        except DamagedLine as error:
            raise DamagedLine(f"line {number}: {error}") from None
        section += isinstance(said, Header)
        yield section, said
    if not section:
        raise DamagedLine("the file holds no ledger")
