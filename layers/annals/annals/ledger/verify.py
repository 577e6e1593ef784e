"""Verify: read a conversation's whole chain and say whether it is what was appended.

The API verifies what the table holds, and ``annals verify`` what was exported of it: both by this one function.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from annals.errors import DamagedEntry
from annals.ledger.entry import (
    ARCHIVE,
    ERASED,
    ERASURE,
    GENESIS,
    MESSAGE,
    NO_HASH,
    OPEN,
    PREAMBLE,
    REDACTION,
    REWIND,
    SEAL,
    SEALED,
    Entry,
    Record,
    hash_of,
)
from annals.times import from_rfc3339


@dataclass(frozen=True)
class Checkpoint:
    """A point of the chain that was known before: the record at ``seq`` ended the entry with this hash."""

    seq: int
    hash: bytes


@dataclass(frozen=True)
class Fault:
    """The first record that is not what was appended, or is missing, and what is wrong with it."""

    seq: int
    reason: str


@dataclass(frozen=True)
class Verification:
    """The result of verifying. ``first_bad_seq`` is the first record that is not what was appended, or is missing.

    ``redacted`` is how many records have no body any more, ``parts`` how many parts beside the ledger were checked.
    """

    message_count: int
    entries: int
    head_hash: bytes
    first_bad_seq: int | None = None
    reason: str | None = field(default=None, compare=False)
    redacted: int = field(default=0, compare=False)
    parts: int = field(default=0, compare=False)

    @property
    def valid(self) -> bool:
        return self.first_bad_seq is None


def verify(
    stored: Iterable[Entry | DamagedEntry],
    pk: str,
    *checkpoints: Checkpoint | None,
    settled: int | None = None,
) -> Verification:
    """Check every link from the genesis to the tail, and that every body that is gone was redacted.

    Parameters
    ----------
    stored : all that is stored of the conversation, oldest first
    pk : the conversation's partition key, which every entry's hash covers
    checkpoints : points that the chain must still have; without one, entries removed from its end go unnoticed
    settled : the tail's seq before the reading began; what was redacted later may have been read before it was
    """
    chain = _Chain(pk, [each for each in checkpoints if each is not None])
    for each in stored:
        chain.entries += 1
        fault = chain.take(each)
        if fault:
            return chain.verification(fault)
    return chain.verification(chain.fault_of_end() or chain.fault_of_redactions(settled))


@dataclass
class _Chain:
    """The chain so far: what each further entry has to continue."""

    pk: str
    checkpoints: list[Checkpoint]
    entries: int = 0
    count: int = 0
    last: Entry | None = None
    head_hash: bytes = NO_HASH
    bare: set[int] = field(default_factory=set)
    redacted: dict[int, int] = field(default_factory=dict)
    """The records without a body, and those that redactions name, each with the seq of its redaction."""

    @property
    def next_seq(self) -> int:
        return self.last.last_seq + 1 if self.last else 0

    def take(self, entry: Entry | DamagedEntry) -> Fault | None:
        """Take the next entry; what is wrong with it, if anything is."""
        if isinstance(entry, DamagedEntry):
            return Fault(self.next_seq, entry.reason)
        self.count += sum(record.kind == MESSAGE for record in entry.records)
        self.head_hash = entry.hash
        fault = _find_fault(entry, self.last, self.pk, self.count) or self._fault_at_checkpoints(entry)
        if fault is None:
            self._note_redactions(entry)
            self.last = entry
        return fault

    def fault_of_end(self) -> Fault | None:
        """What is wrong with where the chain ends."""
        if self.last is None:
            return Fault(0, "the genesis is missing")
        if self.checkpoints:
            missing = max(each.seq for each in self.checkpoints)
            return Fault(self.next_seq, f"the chain ends before seq {missing}, which was there")
        return None

    def fault_of_redactions(self, settled: int | None) -> Fault | None:
        """The first record whose body is gone though nothing redacted it, or is there though it was redacted."""
        if self.last is None or self.last.state == ERASED:
            return None
        faults = [Fault(seq, "its body is gone, and no redaction names it") for seq in self.bare - set(self.redacted)]
        for seq, by in self.redacted.items():
            if seq >= by:
                faults.append(Fault(by, "it redacts a message that was not there"))
            elif seq not in self.bare and (settled is None or by <= settled):
                faults.append(Fault(seq, f"its body is there, though the redaction at seq {by} took it away"))
        return min(faults, key=lambda fault: fault.seq, default=None)

    def verification(self, fault: Fault | None) -> Verification:
        """The result of verifying, with this fault."""
        seq, reason = (fault.seq, fault.reason) if fault else (None, None)
        return Verification(self.count, self.entries, self.head_hash, seq, reason, len(self.bare))

    def _fault_at_checkpoints(self, entry: Entry) -> Fault | None:
        """What is wrong where the chain reaches checkpoints."""
        reached = [each for each in self.checkpoints if entry.last_seq >= each.seq]
        self.checkpoints = [each for each in self.checkpoints if entry.last_seq < each.seq]
        if all((entry.last_seq, entry.hash) == (each.seq, each.hash) for each in reached):
            return None
        return Fault(entry.seq, "the chain was written anew: it no longer has the hash that was known here")

    def _note_redactions(self, entry: Entry) -> None:
        self.bare |= {record.seq for record in entry.records if record.body is None}
        for record in entry.records:
            redacted_seq = (record.json_body() or {}).get("seq") if record.kind == REDACTION else None
            if isinstance(redacted_seq, int):
                self.redacted.setdefault(redacted_seq, record.seq)


def _find_fault(entry: Entry, previous: Entry | None, pk: str, count: int) -> Fault | None:
    """Where an entry does not continue its chain, and why; None where it does."""
    expected_seq = previous.last_seq + 1 if previous else 0
    if entry.seq != expected_seq:
        return Fault(expected_seq, f"an entry is missing: the next one begins at seq {entry.seq}")
    for seq, record in enumerate(entry.records, start=expected_seq):
        if record.seq != seq:
            return Fault(seq, "a record is missing from its entry")
        if not record.matches_digest():
            return Fault(record.seq, "its body is not the one that its digest was made of")
        if not record.kind.isalpha():
            return Fault(record.seq, "its kind is not a word")
    reason = _broken_link(entry, previous, pk, count) or _wrong_order(entry, previous)
    return Fault(entry.seq, reason) if reason else None


def _broken_link(entry: Entry, previous: Entry | None, pk: str, count: int) -> str | None:
    """What is wrong with an entry as a link of the chain, in words."""
    if entry.pk != pk:
        return "it belongs to another conversation"
    if entry.prev != (previous.hash if previous else NO_HASH):
        return "it does not continue the entry before it"
    if previous and entry.at < previous.at:
        return "its time is before that of the entry before it"
    if entry.count != count:
        return f"it counts {entry.count} messages where there are {count}"
    if hash_of(entry) != entry.hash:
        return "its hash is not that of what it holds"
    return None if _has_right_copies(entry, previous) else "what it copies from its records is not what they say"


def _wrong_order(entry: Entry, previous: Entry | None) -> str | None:
    """What an entry holds that may not come at this point of the chain, in words."""
    kinds = [record.kind for record in entry.records]
    if previous is None:
        return None if kinds == [GENESIS] else "the chain does not begin with a genesis"
    if GENESIS in kinds:
        return "a genesis comes after another one"
    if previous.state == ERASED:
        return "it comes after the erasure"
    if previous.state == SEALED and (MESSAGE in kinds or REWIND in kinds):
        return f"a {MESSAGE if MESSAGE in kinds else REWIND} comes after the seal"
    return None


def _has_right_copies(entry: Entry, previous: Entry | None) -> bool:
    """Whether what an entry holds outside its hash, for readers of the tail, follows from the records."""
    preamble, archived, rewind = (previous.preamble, previous.archived, previous.rewind) if previous else (0, 0, 0)
    return (
        entry.n in (None, len(entry.records))
        and entry.state == _state_after(entry, previous)
        and entry.preamble == _last_seq_of(PREAMBLE, entry, preamble)
        and entry.rewind == _last_seq_of(REWIND, entry, rewind)
        and _has_right_archived(entry, archived)
        and _has_right_said(entry, previous)
    )


def _last_seq_of(kind: str, entry: Entry, before: int) -> int:
    """The seq of the last record of a kind, up to and including an entry."""
    return max((record.seq for record in entry.records if record.kind == kind), default=before)


def _state_after(entry: Entry, previous: Entry | None) -> str:
    kinds = {record.kind for record in entry.records}
    if ERASURE in kinds:
        return ERASED
    return SEALED if SEAL in kinds else previous.state if previous else OPEN


def _has_right_archived(entry: Entry, before: int) -> bool:
    """Whether messages are archived up to where the entry's records say; once the body of one is gone, or further."""
    archives = [record for record in entry.records if record.kind == ARCHIVE]
    limits = [(record.json_body() or {}).get("upTo") for record in archives]
    expected = max([before, *(each for each in limits if isinstance(each, int))])
    return entry.archived == expected or (None in limits and entry.archived > before)


def _has_right_said(entry: Entry, previous: Entry | None) -> bool:
    """Whether an entry that says when the latest message was said has it from its messages, or from those before.

    Where a body is gone, so is when that message was said; and an entry that says nothing may be one of the first,
    which never did.
    """
    if entry.said is None:
        return True
    before = _said_before(previous)
    own = [_said_at(record, entry) for record in entry.records if record.kind == MESSAGE]
    if not _has_bodies(entry):
        return (before or 0) <= entry.said <= entry.at
    return entry.said == max([*own, *([] if before is None else [before])], default=entry.said)


def _said_before(previous: Entry | None) -> int | None:
    """What the next entry copies; None after an entry that may have been erased, which takes its ``said`` as well."""
    if previous is None or (previous.said is None and all(record.body is None for record in previous.records)):
        return None
    return previous.last_message_at


def _has_bodies(entry: Entry) -> bool:
    return all(record.body is not None for record in entry.records)


def _said_at(record: Record, entry: Entry) -> int:
    """When a message was said, as its body tells; what is no time there tells nothing."""
    said = (record.json_body() or {}).get("timestamp")
    with suppress(ValueError, TypeError):
        return min(from_rfc3339(said or ""), entry.at)
    return entry.at
