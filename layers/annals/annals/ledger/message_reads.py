"""Reads of single messages: by their ids, and by their external ids."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from annals.ledger.entry import MESSAGE, PREAMBLE, Entry, Record, Tail
from annals.ledger.external_ids import find_places
from annals.ledger.message_state import find_successor
from annals.ledger.messages import REWOUND, Message, is_incomplete, message_id, present_message, seq_of
from annals.ledger.read import read_records
from annals.ledger.rewound import Rewound
from annals.ledger.versions import is_rewound


def walk_messages(pk: str, message_ids: Collection[str], tail: Tail | None = None) -> Iterator[Message]:
    """The messages of these ids, in stored order, read lazily; ids of no message are left out.

    ``tail`` is the conversation's, which says what is archived, and what is rewound; without it, nothing is.
    """
    archived, rewound = (tail.archived, Rewound.at(pk, tail)) if tail else (0, Rewound(pk, 0))
    seqs = {seq for message_id in message_ids if (seq := seq_of(message_id)) is not None}
    messages: dict[int, Message] = {}
    for seq in sorted(seqs):
        if seq not in messages:
            messages |= {
                record.seq: _present_version(record, entry, archived, rewound)
                for entry in read_records(pk, seq, seq)
                for record in entry.records
                if record.kind in (MESSAGE, PREAMBLE) and record.seq in seqs
            }
        if message := messages.pop(seq, None):
            yield message


def read_messages(pk: str, message_ids: Collection[str], tail: Tail | None = None) -> list[Message]:
    """The same, all at once."""
    return list(walk_messages(pk, message_ids, tail))


def find_by_external_id(pk: str, external_id: str, tail: Tail, *, with_rewound: bool = False) -> Message | None:
    """The message that has an external id, or None; one that is rewound has none any more, unless it is wanted."""
    place = find_places(pk, [external_id]).get(external_id)
    message = next(walk_messages(pk, [message_id(place.seq)], tail), None) if place else None
    return message if message and (with_rewound or message.get("status") != REWOUND) else None


def _present_version(record: Record, entry: Entry, archived: int, rewound: Rewound) -> Message:
    """A message as the API shows it by its id, with that of the one that supersedes it."""
    is_back = record.kind == MESSAGE and is_rewound(rewound, entry.pk, record)
    message = present_message(record, entry, archived, rewound=is_back)
    if is_incomplete(record) and (successor := find_successor(entry.pk, record.seq)):
        message["supersededBy"] = message_id(successor)
    return message
