"""Entries as DynamoDB items: written, read, and checked for all that an append writes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from annals.database.damage import AttributeTypes, find_mismatch
from annals.database.dynamodb import Item, from_item, to_item
from annals.database.item_size import MAX_ENTRY_BYTES, WRITE_UNIT_BYTES, item_size, write_units
from annals.errors import DamagedEntry, EntryTooLarge
from annals.ledger.dictionary import DICTIONARY
from annals.ledger.entry import IDEMPOTENCY_BYTES, MESSAGE, Entry, Idempotency, Record
from annals.ledger.keys import entry_sk, seq_of_sk, split_conversation_pk, thread_key, thread_of

ENTRY: AttributeTypes = {
    "pk": str, "sk": str, "records": list, "entryId": str, "n": int, "count": int, "state": str, "at": int,
    "prev": bytes, "hash": bytes,
}  # fmt: skip
OPTIONAL: AttributeTypes = {"preamble": int, "archived": int, "rewind": int, "said": int, "idem": object, "thread": str}
RECORD: AttributeTypes = {"digest": bytes}
RECORD_OPTIONAL: AttributeTypes = {"kind": str, "body": (str, bytes), "salt": bytes}
"""The attributes of an entry and of its records with their types: first those that are always there, then those that
may be. ``idem`` is outside the chain, and may be anything: the first entries had a map there."""

NO_TEXT = b"\xff"
"""What is put before a stored body that is no deflated text: no JSON begins so, so no digest is made of it."""

DAMAGED = "damaged"
"""The attribute of an item that was damaged when its words were erased: nothing else tells that any more."""

OVERHEAD_BYTES = 1024
"""What an entry's own attributes take at most, except with the longest ids."""


def to_ledger_item(entry: Entry) -> Item:
    """The item of an entry, deflated where that saves a write unit. Raises EntryTooLarge."""
    plain = _attributes(entry, deflate=False)
    size = item_size(plain)
    if size > MAX_ENTRY_BYTES:
        raise EntryTooLarge(size, MAX_ENTRY_BYTES)
    if size <= WRITE_UNIT_BYTES:
        return to_item(plain)
    deflated = _attributes(entry, deflate=True)
    return to_item(deflated if write_units(item_size(deflated)) < write_units(size) else plain)


def entry_size(entry: Entry) -> int:
    """What an entry weighs before deflating."""
    return item_size(_attributes(entry, deflate=False))


def require_size(body: bytes) -> None:
    """Raise EntryTooLarge for a record's body that does not fit into an entry even alone."""
    if len(body) > MAX_ENTRY_BYTES - OVERHEAD_BYTES:
        raise EntryTooLarge(len(body), MAX_ENTRY_BYTES - OVERHEAD_BYTES)


def from_ledger_item(item: Mapping[str, Any]) -> Entry:
    """The entry of a stored item. Raises DamagedEntry where it is none."""
    return _entry(from_item(item))


def check_ledger_item(item: Mapping[str, Any]) -> Entry | DamagedEntry:
    """The entry of an item, or what keeps the item from being exactly what an append writes.

    It looks at what the chain does not cover, too: attributes that no entry has, the number of records, the thread.
    """
    values = from_item(item)
    if DAMAGED in values:
        return DamagedEntry(values["pk"], values["sk"], "it was damaged when its words were erased")
    try:
        entry = _entry(values)
    except DamagedEntry as damaged:
        return damaged
    reason = _find_deviation(values, entry)
    return DamagedEntry(entry.pk, values["sk"], reason) if reason else entry


def _find_deviation(values: Mapping[str, Any], entry: Entry) -> str | None:
    """What an item that can be read holds otherwise than an append writes it, in words; None for nothing."""
    parts = [(values, ENTRY | OPTIONAL), *((record, RECORD | RECORD_OPTIONAL) for record in values["records"])]
    for part, types in parts:
        if unknown := part.keys() - types.keys():
            return f"it has an attribute that no entry has, {min(unknown)}"
    if entry.n != len(entry.records):
        return f"it says that it holds {entry.n} records, and holds {len(entry.records)}"
    return None if _has_right_thread(entry) else "its thread is not the one that its messages name"


def _has_right_thread(entry: Entry) -> bool:
    """Whether an entry is in the thread that its messages name, as far as their words are still there."""
    messages = [record for record in entry.records if record.kind == MESSAGE]
    thread_ids = {body.get("threadId") for record in messages if (body := record.json_body()) is not None}
    return thread_ids <= {entry.thread_id} if messages else entry.thread_id is None


def _entry(values: Mapping[str, Any]) -> Entry:
    reason = find_mismatch(values, ENTRY, OPTIONAL) or _find_mismatch_within(values)
    first = seq_of_sk(values["sk"])
    if reason or first is None:
        raise DamagedEntry(values["pk"], values["sk"], reason or "its key is none of an entry")
    records = tuple(_record(seq, record) for seq, record in enumerate(values["records"], start=first))
    thread = values.get("thread")
    return Entry(
        pk=values["pk"],
        entry_id=values["entryId"],
        records=records,
        count=values["count"],
        state=values["state"],
        at=values["at"],
        prev=values["prev"],
        hash=values["hash"],
        idem=idempotency_of(values.get("idem")),
        thread_id=thread_of(thread) if thread else None,
        preamble=values.get("preamble", 0),
        archived=values.get("archived", 0),
        rewind=values.get("rewind", 0),
        said=values.get("said"),
        n=values["n"],
    )


def idempotency_of(stored: Any) -> Idempotency | None:
    """Which request an entry stores. The first entries have a map here, whose request nobody sends any more."""
    if isinstance(stored, bytes):
        return Idempotency(stored[:IDEMPOTENCY_BYTES], stored[IDEMPOTENCY_BYTES:])
    digest = stored.get("digest") if isinstance(stored, dict) else None
    return Idempotency(b"", digest) if isinstance(digest, bytes) else None


def _find_mismatch_within(values: Mapping[str, Any]) -> str | None:
    if not values["records"]:
        return "it has no records"
    if "thread" in values and not values["thread"].startswith(f"{values['pk']}#H#"):
        return "its thread is another conversation's"
    return next(
        (reason for each in values["records"] if (reason := find_mismatch(each, RECORD, RECORD_OPTIONAL))), None
    )


def _attributes(entry: Entry, *, deflate: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "pk": entry.pk,
        "sk": entry_sk(entry.seq),
        "records": [record_attributes(record, deflate=deflate) for record in entry.records],
        "entryId": entry.entry_id,
        "n": len(entry.records),
        "count": entry.count,
        "state": entry.state,
        "at": entry.at,
        "prev": entry.prev,
        "hash": entry.hash,
    }
    if entry.idem:
        values["idem"] = entry.idem.id + entry.idem.digest
    if entry.preamble:
        values["preamble"] = entry.preamble
    if entry.archived:
        values["archived"] = entry.archived
    if entry.rewind:
        values["rewind"] = entry.rewind
    if entry.said is not None:
        values["said"] = entry.said
    if entry.thread_id is not None:
        values["thread"] = thread_key(*split_conversation_pk(entry.pk), entry.thread_id)
    return values


def record_attributes(record: Record, *, deflate: bool = False) -> dict[str, Any]:
    """A record as it is stored. Its seq follows from its position, and its kind is left out where it is a message."""
    values: dict[str, Any] = {"digest": record.digest}
    if record.kind != MESSAGE:
        values["kind"] = record.kind
    if record.body is not None:
        values["body"] = _deflate(record.body) if deflate else record.body.decode()
        values["salt"] = record.salt
    return values


def _record(seq: int, values: Mapping[str, Any]) -> Record:
    body = values.get("body")
    if isinstance(body, str):
        body = body.encode()
    elif body is not None:
        body = inflate(body)
    return Record(seq, values.get("kind", MESSAGE), values["digest"], body, values.get("salt"))


def _deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(level=9, wbits=-15, memLevel=9, zdict=DICTIONARY)
    return deflater.compress(body) + deflater.flush()


def inflate(deflated: bytes) -> bytes:
    """The text of a stored body; bytes that are no deflated text get NO_TEXT before them, and match no digest."""
    inflater = zlib.decompressobj(wbits=-15, zdict=DICTIONARY)
    try:
        body = inflater.decompress(deflated) + inflater.flush()
    except zlib.error:
        return NO_TEXT + deflated
    return body if inflater.eof and not inflater.unused_data else NO_TEXT + deflated
