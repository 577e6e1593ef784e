"""Reading parts: which a message has, where they are, and whether they are what was appended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from annals.answers import sent_bytes
from annals.blobs.adapters import find_store
from annals.blobs.store import BlobMissing, BlobStore
from annals.errors import MessageNotFound, PartNotFound
from annals.formats.references import Reference, restore
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.part_fields import CONTENT, MARK, WHOLE_CONTENT, parts_url, with_references_of
from annals.ledger.part_keys import part_key
from annals.ledger.part_storing import get_store
from annals.ledger.part_watch import StoredPart, parts_of
from annals.ledger.read import read_records
from annals.settings import settings
from annals.times import now_ms

READERS = 8
"""How many parts are checked side by side."""

MAX_INLINE_BYTES = 50_000_000
"""How many bytes of parts an export puts into one message, which is held in memory as a whole."""

BATCH = 64
"""How many parts are checked before the clock is read again."""


@dataclass(frozen=True)
class PartUrl:
    """Where a part can be read, and until when (Unix milliseconds)."""

    part: StoredPart
    url: str
    expires_at: int


def with_stored_parts(
    message: dict[str, Any], record: Record, entry: Entry, max_bytes: int | None = None
) -> dict[str, Any]:
    """A message as it was sent, with its parts in their places. What is gone, or has no room, stays a reference."""
    if record.body is None or MARK not in record.body:
        return message
    left, base = MAX_INLINE_BYTES if max_bytes is None else max_bytes, parts_url(entry.pk, message["messageId"])

    def value(reference: Reference) -> Any:
        nonlocal left
        if reference.size <= left:
            try:
                key = part_key(entry, record.seq - entry.seq, reference.sha256)
                found = restore(reference, b"".join(get_store().read(key)))
            except (BlobMissing, ValueError):
                return reference.to_json(url=base + reference.sha256)
            left -= reference.size
            return found
        return reference.to_json(url=base + reference.sha256)

    whole = with_references_of(message, value)
    if isinstance(whole.get(WHOLE_CONTENT), str):
        whole[CONTENT] = whole.pop(WHOLE_CONTENT)
    return whole


def with_inline_parts(pk: str, message: dict[str, Any]) -> dict[str, Any]:
    """A message that is shown, with its parts in their places, if an answer has room for all that it then holds."""
    most = settings().max_page_bytes
    for entry in read_records(pk, message["seq"], message["seq"]):
        record = entry.records[message["seq"] - entry.seq]
        whole = with_stored_parts(message, record, entry, most)
        if sent_bytes(whole) <= most:
            return whole
    return message


def get_part_url(pk: str, message_id: str, seq: int | None, part_sha256: str, base_url: str) -> PartUrl:
    """Where a part of a message can be read for a short time.

    Raises
    ------
    MessageNotFound : there is no such message
    PartNotFound : it has no such part, or no longer
    """
    entry = next(read_records(pk, seq, seq), None) if seq else None
    if entry is None or not any(record.seq == seq and record.kind == MESSAGE for record in entry.records):
        raise MessageNotFound(message_id)
    found = (each for each in parts_of(entry) if (each.seq, each.reference.sha256) == (seq, part_sha256))
    part, store = next(found, None), get_store()
    if part is None or store.find(part.key) is None:
        raise PartNotFound(message_id, part_sha256)
    lifetime_s = settings().blobs_url_s
    url = store.download_url(part.key, part.reference.media_type, lifetime_s, base_url)
    return PartUrl(part, url, now_ms() + 1000 * lifetime_s)


@dataclass(frozen=True)
class PartCheck:
    """How many parts were checked, for how many there was no time, and the first that is not what was appended."""

    checked: int
    unchecked: int
    bad: StoredPart | None = None


def check_parts(parts: Iterable[StoredPart], budget_s: float) -> PartCheck:
    """Check that the bytes of parts are those that their messages name, as far as the time goes."""
    deadline, left, checked = time.monotonic() + budget_s, iter(parts), 0
    store = find_store()
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(left, BATCH)):
            if checked and time.monotonic() > deadline:
                return PartCheck(checked, len(batch) + sum(1 for _ in left))
            intact = readers.map(lambda each: store is not None and _is_intact(store, each), batch)
            for each, is_intact in zip(batch, intact, strict=True):
                if not is_intact:
                    return PartCheck(checked, 0, each)
                checked += 1
    return PartCheck(checked, 0)


def _is_intact(store: BlobStore, part: StoredPart) -> bool:
    return store.is_intact(part.key, part.reference.size, bytes.fromhex(part.reference.sha256))
