"""Versions of a message: what was stored incomplete, and the later message that says the whole of it.

The ledger keeps both, each in its place. Readers get the newest version, in the place of the first: only an incomplete
message can be superseded, so that nothing has to be looked up for any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from annals.errors import (
    DamagedEntry,
    InvalidInput,
    MessageCompleted,
    MessageNotFound,
    MessageRedacted,
    MessageSuperseded,
)
from annals.ledger.append import NewRecord
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.message_state import find_predecessor, find_successor
from annals.ledger.messages import SUPERSEDES, Message, is_incomplete, message_id, present_message, seq_of
from annals.ledger.read import read_records
from annals.ledger.rewound import Rewound, read_rewound

MAX_VERSIONS = 20
"""How many versions a message may have: all of them are redacted in one transaction."""


@dataclass(frozen=True)
class PlacedRecord:
    """A message's record as a reader gets it: ``seq`` is that of its place, which is an earlier version's."""

    seq: int
    record: Record
    entry: Entry


def superseded_seq(record: Record) -> int | None:
    """The seq of the message that a message supersedes, or None."""
    if record.body is None or SUPERSEDES.encode() not in record.body:
        return None
    seq = (record.json_body() or {}).get(SUPERSEDES)
    return seq_of(seq) if isinstance(seq, str) else None


def newest_versions(pk: str, records: Iterator[tuple[Record, Entry]], after: int = 0) -> Iterator[PlacedRecord]:
    """The messages of a range of the ledger, each once, in its newest version and in the place of its first.

    Parameters
    ----------
    records : messages in either order
    after : the seq after which the range begins; of a message whose first version is before it, the place is that of
        the first version in the range
    """
    for record, entry in records:
        earlier = superseded_seq(record)
        if earlier is None or earlier <= after:
            yield PlacedRecord(record.seq, *(newest_version(pk, record, entry)))


def newest_version(pk: str, record: Record, entry: Entry) -> tuple[Record, Entry]:
    """The newest version of a message, which may be itself."""
    while is_incomplete(record) and (seq := find_successor(pk, record.seq)):
        record, entry = get_message_record(pk, seq)
    return record, entry


def is_rewound(rewound: Rewound, pk: str, record: Record) -> bool:
    """Whether a message is rewound: it is in the place of its first version, which may be before a rewind's reach."""
    if not rewound.hides(record.seq):
        return False
    earlier = superseded_seq(record)
    return earlier is None or is_rewound(rewound, pk, get_message_record(pk, earlier)[0])


def is_rewound_at(rewound: Rewound, pk: str, seq: int) -> bool:
    """The same of the message at a seq, which is read only where it may be."""
    return rewound.hides(seq) and is_rewound(rewound, pk, get_message_record(pk, seq)[0])


def is_superseded(pk: str, record: Record) -> bool:
    """Whether another message supersedes one."""
    return is_incomplete(record) and find_successor(pk, record.seq) is not None


def current_messages(pk: str, entry: Entry, rewound: Rewound) -> Iterator[Message]:
    """The messages of an entry that no other message supersedes, and that are not rewound, in order."""
    return (
        present_message(record, entry)
        for record in entry.records
        if record.kind == MESSAGE and not is_rewound(rewound, pk, record) and not is_superseded(pk, record)
    )


def get_message_record(pk: str, seq: int) -> tuple[Record, Entry]:
    """The record of a message, and its entry. Raises MessageNotFound."""
    for entry in read_records(pk, seq, seq):
        for record in entry.records:
            if record.seq == seq and record.kind == MESSAGE:
                return record, entry
    raise MessageNotFound(message_id(seq))


def require_supersedable(pk: str, new: NewRecord) -> None:
    """Require that the message which a new one says it supersedes is incomplete, and the newest version.

    Raises
    ------
    MessageNotFound : there is none, or it is rewound
    MessageRedacted : it is redacted
    MessageCompleted, MessageSuperseded : it is complete, or another one supersedes it
    InvalidInput : its role is another one, or it has too many versions
    """
    body = json.loads(new.body)
    name, seq = body[SUPERSEDES], new.supersedes
    if not seq:
        raise MessageNotFound(name)
    record, _ = get_message_record(pk, seq)
    if is_rewound(read_rewound(pk), pk, record):
        raise MessageNotFound(name)
    earlier = record.json_body()
    if earlier is None:
        raise MessageRedacted(name)
    if not is_incomplete(record):
        raise MessageCompleted(name)
    if later := find_successor(pk, seq):
        raise MessageSuperseded(name, message_id(later))
    if earlier.get("role") != body["role"]:
        raise InvalidInput("INVALID_ROLE", f"The role of {name} is {earlier.get('role')!r}.", field="role")
    if len(versions_of(pk, seq)) >= MAX_VERSIONS:
        detail = f"A message has at most {MAX_VERSIONS} versions, and {name} has as many."
        raise InvalidInput("INVALID_RANGE", detail, field=SUPERSEDES)


def versions_of(pk: str, seq: int) -> dict[int, int | None]:
    """All versions of a message: the seq of each, and of the one that supersedes it, from the first to the newest."""
    first = seq
    while earlier := _superseded_by(pk, first):
        first = earlier
    seqs = [first]
    while later := find_successor(pk, seqs[-1]):
        seqs.append(later)
    # The links of a message that is redacted are gone.
    return dict(zip(seqs, [*seqs[1:], None], strict=True)) if seq in seqs else {seq: None}


def _superseded_by(pk: str, seq: int) -> int | None:
    try:
        return superseded_seq(get_message_record(pk, seq)[0])
    except MessageNotFound:
        return None
    except DamagedEntry:
        return find_predecessor(pk, seq)
