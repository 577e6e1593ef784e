"""Freed external ids: those of rewound messages, which other messages may have.

The pointer of such an id stays as it is until another message takes it over: a message that is rewound once stays so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from annals.ledger.entry import Entry, Record, Tail
from annals.ledger.external_ids import MessagePlace, find_places
from annals.ledger.read import read_entry
from annals.ledger.rewound import Rewound, read_rewound
from annals.ledger.versions import is_rewound


def find_held_places(pk: str, external_ids: Sequence[str]) -> dict[str, MessagePlace]:
    """Where the messages of these external ids are, by the ids; without those of no message, or of a rewound one."""
    places = find_places(pk, external_ids)
    if not places:
        return places
    rewound = read_rewound(pk)
    return {name: place for name, place in places.items() if not _is_freed(rewound, pk, place)}


def with_freed_ids(entry: Entry, tail: Tail) -> Entry:
    """A new entry whose messages may have the external ids of those that are rewound at a tail."""
    names = [record.external_id for record in entry.records if record.external_id is not None]
    if not names or not tail.rewind:
        return entry
    rewound = Rewound.at(entry.pk, tail)
    places = find_places(entry.pk, names)
    freed = {name: place.seq for name, place in places.items() if _is_freed(rewound, entry.pk, place)}
    return replace(entry, records=tuple(_with_freed(record, freed) for record in entry.records))


def _with_freed(record: Record, freed: Mapping[str, int]) -> Record:
    return record if record.external_id is None else replace(record, freed=freed.get(record.external_id))


def _is_freed(rewound: Rewound, pk: str, place: MessagePlace) -> bool:
    if not rewound.hides(place.seq):
        return False
    entry = read_entry(pk, place.entry_seq)
    return is_rewound(rewound, pk, entry.records[place.seq - entry.seq])
