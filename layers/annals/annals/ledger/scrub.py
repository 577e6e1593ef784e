"""Scrubbing: taking the words out of an item of the ledger, whatever became of it.

It works on the item and not on the entry, so that no word stays because of damage: what the chain needs is kept where
it is what an append writes, and all else goes. ``redact`` scrubs single records, an erasure whole conversations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.errors import DamagedEntry
from annals.ledger.entry import (
    ARCHIVE,
    ERASED,
    ERASURE,
    GENESIS,
    OPEN,
    PREAMBLE,
    REDACTION,
    REWIND,
    SEAL,
    SEALED,
    Entry,
)
from annals.ledger.entry_items import DAMAGED, check_ledger_item
from annals.ledger.keys import MAX_SEQ, seq_of_sk
from annals.ledger.read import walk_items
from annals.settings import settings

STATES = (OPEN, SEALED, ERASED)

KINDS = (GENESIS, PREAMBLE, ARCHIVE, SEAL, REDACTION, ERASURE, REWIND)
"""The kinds that are stored; a record without one is a message."""

MAX_RECORDS = 10_000
"""No entry is large enough for more records."""

_ENTRY_ID = re.compile(r"[0-9a-f]{16}")


def scrubbed(item: Mapping[str, Any]) -> Item:
    """What is left of an item once its words are erased; the erasure's own entry stays as it is.

    An item that was not as it was appended is marked as damaged, so that a verification still notices it.
    """
    checked = check_ledger_item(item)
    is_damaged = isinstance(checked, DamagedEntry) or not checked.is_intact
    if isinstance(checked, Entry) and not is_damaged and checked.records[0].kind == ERASURE:
        return dict(item)
    values = from_item(item)
    more = {DAMAGED: True} if is_damaged else {"entryId": values["entryId"]}
    return to_item({**_chain_attributes(values), **more})


def is_scrubbed(item: Mapping[str, Any]) -> bool:
    """Whether an item was damaged before it was scrubbed, and holds no words any more."""
    return DAMAGED in item and scrubbed(item) == item


def _chain_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an item that the chain needs, as far as they are what an append writes."""
    sound = {name: value for name, value in values.items() if name in IS_SOUND and IS_SOUND[name](value)}
    if isinstance(records := values.get("records"), list):
        sound["records"] = [_scrubbed_record(record) for record in records]
    return {"pk": values["pk"], "sk": values["sk"], **sound}


def _scrubbed_record(record: Any) -> dict[str, Any]:
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


IS_SOUND: dict[str, Callable[[Any], bool]] = {
    "entryId": _is_entry_id,
    "n": _is_number,
    "count": _is_number,
    "state": lambda value: value in STATES,
    "at": _is_number,
    "prev": _is_hash,
    "hash": _is_hash,
    "preamble": _is_number,
    "archived": _is_number,
    "rewind": _is_number,
    DAMAGED: lambda value: value is True,
}
"""The attributes that stay, each with the test whether it is what an append writes."""


def chain_attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of an item without its words, as plain values, as far as it is what an append writes."""
    return _chain_attributes(from_item(item))


def count_records(item: Mapping[str, Any]) -> int:
    """How many records an item holds, or states that it holds, if that is more; 0 where neither can be told."""
    attributes = chain_attributes(item)
    records, stated = attributes.get("records", []), attributes.get("n", 0)
    return max(len(records), stated if 0 < stated <= MAX_RECORDS else 0)


def scrubbed_positions(item: Mapping[str, Any]) -> list[int]:
    """The positions of the records without words in an item, whatever became of it."""
    records = from_item(item).get("records")
    if not isinstance(records, list):
        return list(range(max(count_records(item), 1)))
    return [position for position, record in enumerate(records) if isinstance(record, Mapping) and "body" not in record]


def scrub_item(item: Item) -> bool:
    """Take all words out of a stored item, whatever became of it, and say whether it was damaged."""
    without_words = scrubbed(item)
    if without_words != item:
        client().put_item(
            TableName=settings().ledger_table, Item=without_words, ConditionExpression="attribute_exists(pk)"
        )
    return DAMAGED in without_words


def scrub_put(item: Item) -> dict[str, Any] | None:
    """The part of a transaction that takes all words out of a damaged item; None where they are gone."""
    without_words = scrubbed(item)
    if without_words == item:
        return None
    return {
        "Put": {
            "TableName": settings().ledger_table,
            "Item": without_words,
            "ConditionExpression": f"attribute_exists(pk) AND attribute_not_exists({DAMAGED})",
        }
    }


def scrubbed_seqs(pk: str, seq: int) -> list[int]:
    """The seqs of the records without words in an entry that cannot be read, and begins at this one."""
    item, *following = islice(walk_items(pk, first=seq, page=2), 2)
    end = (seq_of_sk(following[0]["sk"]["S"]) or MAX_SEQ) if following else MAX_SEQ
    return [seq + position for position in scrubbed_positions(item) if seq + position < end]
