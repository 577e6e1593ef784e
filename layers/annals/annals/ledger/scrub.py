"""Scrubbing: taking the words out of an item of the ledger, whatever became of it.

It goes by the item and not by the entry, so that damage keeps no word: what the chain needs stays where it is what an
append writes, and all else goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from annals.database.dynamodb import Item, from_item, to_item
from annals.errors import DamagedEntry
from annals.ledger.entry import (
    ARCHIVE,
    ERASED,
    ERASURE,
    GENESIS,
    OPEN,
    PREAMBLE,
    REDACTION,
    SEAL,
    SEALED,
    Entry,
)
from annals.ledger.entry_items import DAMAGED, check_ledger_item

STATES = (OPEN, SEALED, ERASED)

KINDS = (GENESIS, PREAMBLE, ARCHIVE, SEAL, REDACTION, ERASURE)
"""The kinds that a record names; that of a message is not stored."""

MAX_RECORDS = 10_000
"""No entry has room for more records."""

_ENTRY_ID = re.compile(r"[0-9a-f]{16}")


def scrubbed(item: Mapping[str, Any]) -> Item:
    """What is left of an item once its words are erased; the erasure's own entry stays as it is.

    One that was not as it was appended says so from then on, so that a verification still finds it.
    """
    found = check_ledger_item(item)
    is_damaged = isinstance(found, DamagedEntry) or not found.is_intact
    if isinstance(found, Entry) and not is_damaged and found.records[0].kind == ERASURE:
        return dict(item)
    values = from_item(item)
    beside = {DAMAGED: True} if is_damaged else {"entryId": values["entryId"]}
    return to_item({**_bare(values), **beside})


def is_scrubbed(item: Mapping[str, Any]) -> bool:
    """Whether an item was damaged, and holds no words any more."""
    return DAMAGED in item and scrubbed(item) == item


def _bare(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of an item's attributes those that hold no words, and that a chain needs."""
    kept = {name: value for name, value in values.items() if name in KEPT and KEPT[name](value)}
    if isinstance(records := values.get("records"), list):
        kept["records"] = [_bare_record(record) for record in records]
    return {"pk": values["pk"], "sk": values["sk"], **kept}


def _bare_record(record: Any) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        return {}
    digest, kind = record.get("digest"), record.get("kind")
    return {**({"digest": digest} if _is_hash(digest) else {}), **({"kind": kind} if kind in KINDS else {})}


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == sha256().digest_size


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_entry_id(value: Any) -> bool:
    return isinstance(value, str) and _ENTRY_ID.fullmatch(value) is not None


KEPT: dict[str, Callable[[Any], bool]] = {
    "entryId": _is_entry_id,
    "n": _is_number,
    "count": _is_number,
    "state": lambda value: value in STATES,
    "at": _is_number,
    "prev": _is_hash,
    "hash": _is_hash,
    "preamble": _is_number,
    "archived": _is_number,
    DAMAGED: lambda value: value is True,
}
"""The attributes that stay, each if it is what an append writes."""


def chain_attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """What of an item is what an append writes, as plain values, without its words."""
    return _bare(from_item(item))


def count_records(item: Mapping[str, Any]) -> int:
    """How many records an item holds, or says that it holds; 0 where neither can be told."""
    kept = chain_attributes(item)
    records = kept.get("records", [])
    said = kept.get("n", 0)
    return max(len(records), said if 0 < said <= MAX_RECORDS else 0)


def bare_places(item: Mapping[str, Any]) -> list[int]:
    """At which places of an item, whatever became of it, there is a record without words."""
    records = from_item(item).get("records")
    if not isinstance(records, list):
        return list(range(max(count_records(item), 1)))
    return [place for place, record in enumerate(records) if isinstance(record, Mapping) and "body" not in record]
