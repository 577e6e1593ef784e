"""Verify an exported ledger from its file alone: no table, no network, no AWS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from annals.errors import DamagedEntry
from annals.ledger.entry import Entry
from annals.ledger.export_lines import DamagedLine, Header, read_line
from annals.ledger.verify import Verification, verify


@dataclass(frozen=True)
class VerifiedConversation:
    """What verifying one conversation of a file found."""

    header: Header
    found: Verification


def verify_lines(lines: Iterable[bytes], noted: bytes | None = None) -> Iterator[VerifiedConversation]:
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
        entries = (line for line in said if not isinstance(line, Header))
        places = (header.checkpoint, header.known)
        yield VerifiedConversation(
            header, verify(watch.pass_on(entries), header.pk, *places, settled=header.checkpoint.seq)
        )
        is_noted_there = is_noted_there or watch.has_noted
    if noted is not None and not is_noted_there:
        raise DamagedLine(f"no entry has the hash {noted.hex()}, which was noted")


@dataclass
class _Watch:
    """Whether an entry with the noted hash was seen in its place."""

    noted: bytes | None
    has_noted: bool = False

    def pass_on(self, entries: Iterable[Entry | DamagedEntry]) -> Iterator[Entry | DamagedEntry]:
        """Pass entries on; each is looked at when the next one is asked for, since then it was in order."""
        for entry in entries:
            yield entry
            self.has_noted = self.has_noted or (isinstance(entry, Entry) and entry.hash == self.noted)


def _sections(lines: Iterable[bytes]) -> Iterator[tuple[int, Header | Entry | DamagedEntry]]:
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
