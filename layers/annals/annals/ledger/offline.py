"""Verify an exported ledger from its file alone: no table, no network, no AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

from annals.errors import DamagedEntry
from annals.formats.references import Reference
from annals.ledger.entry import Entry
from annals.ledger.export_lines import DamagedLine, Header, read_line
from annals.ledger.part_watch import PartWatch
from annals.ledger.verify import Verification, verify


@dataclass(frozen=True)
class VerifiedConversation:
    """One conversation of a file, and the result of verifying it."""

    header: Header
    verification: Verification


def verify_lines(
    lines: Iterable[bytes], noted: bytes | None = None, has_part: Callable[[Reference], bool] | None = None
) -> Iterator[VerifiedConversation]:
    """Verify each conversation of an exported ledger, reading its lines lazily.

    Parameters
    ----------
    noted : a hash that was noted elsewhere, which one of the file's entries must have: a whole file can be written
        anew with a chain that fits, and nothing within it tells
    has_part : whether the bytes of a part are at hand, and the right ones; without it, no parts are checked

    Raises
    ------
    DamagedLine : a line does not belong to an exported ledger, or no entry has the noted hash
    """
    has_noted = noted is None
    for _, section in groupby(_sections(lines), key=itemgetter(0)):
        lines_of_section = (line for _, line in section)
        header = next(lines_of_section)
        if not isinstance(header, Header):
            raise DamagedLine("the file does not begin with the header of a ledger")
        hash_watch = _HashWatch(noted)
        entries = (line for line in lines_of_section if not isinstance(line, Header))
        checkpoints = (header.checkpoint, header.known)
        part_watch = PartWatch()
        watched = part_watch.pass_on(entries) if has_part else entries
        verification = verify(hash_watch.pass_on(watched), header.pk, *checkpoints, settled=header.checkpoint.seq)
        if has_part and verification.valid:
            verification = _with_parts(verification, part_watch, has_part)
        yield VerifiedConversation(header, verification)
        has_noted = has_noted or hash_watch.has_noted
    if noted is not None and not has_noted:
        raise DamagedLine(f"no entry has the hash {noted.hex()}, which was noted")


def _with_parts(verification: Verification, watch: PartWatch, has_part: Callable[[Reference], bool]) -> Verification:
    """The result for a chain that holds, with that for its parts."""
    bad = next((part for part in watch.parts if not has_part(part.reference)), None)
    if bad is None:
        return replace(verification, parts=len(watch.parts))
    return replace(
        verification, first_bad_seq=bad.seq, reason=f"its part {bad.reference.sha256} is not what was appended"
    )


@dataclass
class _HashWatch:
    """Whether an entry with the noted hash has passed, in its place of a chain that holds."""

    noted: bytes | None
    has_noted: bool = False

    def pass_on(self, entries: Iterable[Entry | DamagedEntry]) -> Iterator[Entry | DamagedEntry]:
        """Pass entries on; each is looked at when the next one is taken, since then it was in order."""
        for entry in entries:
            yield entry
            self.has_noted = self.has_noted or (isinstance(entry, Entry) and entry.hash == self.noted)


def _sections(lines: Iterable[bytes]) -> Iterator[tuple[int, Header | Entry | DamagedEntry]]:
    """What the lines hold, each with the number of its conversation."""
    section = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = read_line(line)
        except DamagedLine as error:
            raise DamagedLine(f"line {number}: {error}") from None
        section += isinstance(value, Header)
        yield section, value
    if not section:
        raise DamagedLine("the file holds no ledger")
