"""Verify: read a conversation's whole chain and say whether it is what was appended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from annals.ledger.entry import ARCHIVE, MESSAGE, NO_HASH, PREAMBLE, Entry, hash_of


@dataclass(frozen=True)
class Checkpoint:
    """A place of the chain that was seen before: the record at ``seq`` ended the entry with this hash."""

    seq: int
    hash: bytes


@dataclass(frozen=True)
class Verification:
    """What verifying found. ``first_bad_seq`` is the first record that is not what was appended, or is missing."""

    message_count: int
    entries: int
    head_hash: bytes
    first_bad_seq: int | None = None

    @property
    def valid(self) -> bool:
        return self.first_bad_seq is None


def verify(entries: Iterable[Entry], pk: str, checkpoint: Checkpoint | None = None) -> Verification:
    """Check every link from the genesis to the tail.

    Parameters
    ----------
    entries : all entries of the conversation, oldest first
    pk : the conversation's partition key, which every entry's hash covers
    checkpoint : a place that the chain must still hold; without one, entries removed from its end go unseen
    """
    previous: Entry | None = None
    number = count = 0
    missing = checkpoint
    for number, entry in enumerate(entries, start=1):
        count += sum(record.kind == MESSAGE for record in entry.records)
        bad = _first_bad_seq(entry, previous, pk, count)
        if bad is None and missing and entry.last_seq >= missing.seq:
            bad = None if (entry.last_seq, entry.hash) == (missing.seq, missing.hash) else entry.seq
            missing = None
        if bad is not None:
            return Verification(count, number, entry.hash, bad)
        previous = entry
    gone = previous.last_seq + 1 if previous else 0
    return Verification(
        message_count=count,
        entries=number,
        head_hash=previous.hash if previous else NO_HASH,
        first_bad_seq=gone if missing or previous is None else None,
    )


def _first_bad_seq(entry: Entry, previous: Entry | None, pk: str, count: int) -> int | None:
    """The seq at which an entry departs from its chain, or None where it does not."""
    expected_seq = previous.last_seq + 1 if previous else 0
    if entry.seq != expected_seq:
        return expected_seq
    for record in entry.records:
        if not (record.matches_digest() and record.kind.isalpha()):
            return record.seq
    linked = entry.pk == pk and entry.prev == (previous.hash if previous else NO_HASH)
    in_order = previous is None or entry.at >= previous.at
    intact = entry.count == count and hash_of(entry) == entry.hash
    return None if linked and in_order and intact and _has_right_copies(entry, previous) else entry.seq


def _has_right_copies(entry: Entry, previous: Entry | None) -> bool:
    """Whether what an entry says beside its chain, for readers of the tail, follows from its records."""
    preamble, archived = (previous.preamble, previous.archived) if previous else (0, 0)
    preamble = max((record.seq for record in entry.records if record.kind == PREAMBLE), default=preamble)
    archives = any(record.kind == ARCHIVE for record in entry.records)
    return (
        entry.n in (None, len(entry.records))
        and entry.preamble == preamble
        and (entry.archived == archived or (archives and entry.archived > archived))
    )
