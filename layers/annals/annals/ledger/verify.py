"""Verify: read a conversation's whole chain and say whether it is what was appended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from annals.ledger.entry import ARCHIVE, MESSAGE, NO_HASH, PREAMBLE, Entry, hash_of


@dataclass(frozen=True)
class Checkpoint:
    """A place of the chain that was seen before: the record at ``seq`` ended the entry with this hash."""

    seq: int
    hash: bytes


@dataclass(frozen=True)
class Fault:
    """The first record that is not what was appended, or is missing, and what is wrong with it."""

    seq: int
    reason: str


@dataclass(frozen=True)
class Verification:
    """What verifying found. ``first_bad_seq`` is the first record that is not what was appended, or is missing."""

    message_count: int
    entries: int
    head_hash: bytes
    first_bad_seq: int | None = None
    reason: str | None = field(default=None, compare=False)

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
        fault = _fault(entry, previous, pk, count)
        if fault is None and missing and entry.last_seq >= missing.seq:
            fault = _fault_at(missing, entry)
            missing = None
        if fault:
            return Verification(count, number, entry.hash, fault.seq, fault.reason)
        previous = entry
    end = _fault_of_end(previous, missing)
    return Verification(
        message_count=count,
        entries=number,
        head_hash=previous.hash if previous else NO_HASH,
        first_bad_seq=end.seq if end else None,
        reason=end.reason if end else None,
    )


def _fault_at(checkpoint: Checkpoint, entry: Entry) -> Fault | None:
    """What is wrong where the chain reaches a place that was seen before."""
    if (entry.last_seq, entry.hash) == (checkpoint.seq, checkpoint.hash):
        return None
    return Fault(entry.seq, "the chain was written anew: it no longer has the hash that was seen here")


def _fault_of_end(last: Entry | None, missing: Checkpoint | None) -> Fault | None:
    """What is wrong with where the chain ends."""
    if last is None:
        return Fault(0, "the genesis is missing")
    if missing:
        return Fault(last.last_seq + 1, f"the chain ends before seq {missing.seq}, which was there")
    return None


def _fault(entry: Entry, previous: Entry | None, pk: str, count: int) -> Fault | None:
    """Where an entry departs from its chain, and how, or None where it does not."""
    expected_seq = previous.last_seq + 1 if previous else 0
    if entry.seq != expected_seq:
        return Fault(expected_seq, f"an entry is missing: the next one begins at seq {entry.seq}")
    for place, record in enumerate(entry.records):
        if record.seq != expected_seq + place:
            return Fault(expected_seq + place, "a record is missing from its entry")
        if not record.matches_digest():
            return Fault(record.seq, "its body is not the one that its digest was made of")
        if not record.kind.isalpha():
            return Fault(record.seq, "its kind is not a word")
    reason = _broken_link(entry, previous, pk, count)
    return Fault(entry.seq, reason) if reason else None


def _broken_link(entry: Entry, previous: Entry | None, pk: str, count: int) -> str | None:
    """What is wrong with an entry as a link of the chain, in words."""
    if entry.pk != pk:
        return "it belongs to another conversation"
    if entry.prev != (previous.hash if previous else NO_HASH):
        return "it does not continue the entry in front of it"
    if previous and entry.at < previous.at:
        return "its time is before that of the entry in front of it"
    if entry.count != count:
        return f"it counts {entry.count} messages where there are {count}"
    if hash_of(entry) != entry.hash:
        return "its hash is not that of what it holds"
    return None if _has_right_copies(entry, previous) else "what it copies from its records is not what they say"


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
