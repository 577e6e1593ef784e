"""Storing parts: values for which an entry has no room, and uploads that its messages name.

They are stored before the entry, and before them a marker that has an end. Once that is over, whoever reads the tables'
stream looks whether the entry is there, and deletes the parts of one that never came: after a crash, a lost race that
ended in a refusal, or a retry whose first try had succeeded.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from annals.blobs.adapters import find_store
from annals.blobs.store import MAX_BLOB_BYTES, BlobMissing, BlobStore, NewBlob, UploadTarget
from annals.database.dynamodb import Item, client
from annals.database.item_size import MAX_ENTRY_BYTES
from annals.errors import EntryTooLarge, InvalidInput, RequestTooLarge, Unavailable
from annals.formats.references import FIELD, Reference
from annals.json_text import dump
from annals.ledger.entry import MESSAGE, Entry
from annals.ledger.entry_items import OVERHEAD_BYTES, entry_size
from annals.ledger.keys import split_conversation_pk
from annals.ledger.part_fields import references_of, with_references_of
from annals.ledger.part_keys import marker_key, part_key, upload_key
from annals.ledger.part_selection import MAX_PARTS, move_out
from annals.settings import settings
from annals.times import now_ms

MARKER_S = 24 * 3600
"""After how many seconds it is looked whether an entry whose parts were stored is there."""

UPLOAD_URL_S = 900
"""For how many seconds an upload's URL works. What was uploaded is kept for a day."""

WRITERS = 8
"""How many parts are stored side by side."""


@dataclass(frozen=True)
class Upload:
    """An upload that may begin: the reference that will name it, where it goes, and until when (Unix milliseconds)."""

    reference: Reference
    target: UploadTarget
    expires_at: int


def begin_upload(tenant: str, part: Reference, base_url: str) -> Upload:
    """Let a caller upload a part, which messages can name within a day. Raises RequestTooLarge, Unavailable."""
    if part.size > MAX_BLOB_BYTES:
        detail = f"A part holds up to {MAX_BLOB_BYTES} bytes, and this one has {part.size}."
        raise RequestTooLarge(detail, field="size")
    reference = replace(part, upload=f"upl-{secrets.token_hex(16)}")
    key = upload_key(tenant, part.sha256, reference.upload)
    blob = NewBlob(key, part.size, bytes.fromhex(part.sha256), part.media_type)
    target = get_store().upload_target(blob, UPLOAD_URL_S, base_url)
    return Upload(reference, target, now_ms() + 1000 * UPLOAD_URL_S)


def get_store() -> BlobStore:
    """The place of the parts. Raises Unavailable where the settings name none."""
    store = find_store()
    if store is None:
        raise Unavailable("This installation has no place for parts: neither BLOBS_BUCKET nor BLOBS_FOLDER is set.")
    return store


def require_storable(body: bytes) -> None:
    """Raise EntryTooLarge for a message's body that not even alone fits into an entry, without what can be moved."""
    excess = len(body) - (MAX_ENTRY_BYTES - OVERHEAD_BYTES)
    if excess > 0 and (find_store() is None or move_out([json.loads(body)], excess) is None):
        raise EntryTooLarge(len(body), MAX_ENTRY_BYTES - OVERHEAD_BYTES)


def store_parts(entry: Entry) -> list[bytes] | None:
    """Store what an entry has no room for, and the uploads that its messages name.

    Most entries have neither, which ``may_have_parts`` tells.

    Returns
    -------
    list of bytes or None
        The bodies that its records have instead; None where they stay as they are.

    Raises
    ------
    InvalidInput : PART_NOT_UPLOADED for an upload that is not there, or is another one
    Unavailable : there is no place for parts, and a message names an upload
    """
    excess = max(entry_size(entry) - MAX_ENTRY_BYTES, 0)
    bodies = [json.loads(record.body or b"null") for record in entry.records]
    uploads = [*_uploads(entry, bodies)]
    if uploads:
        # An upload's id means nothing any more once the part has its own place.
        bodies = [with_references_of(body, lambda each: replace(each, upload="").to_json()) for body in bodies]
    moved = move_out(bodies, excess) if excess and all(record.kind == MESSAGE for record in entry.records) else []
    if moved is None or not (uploads or (moved and find_store())):
        return None
    if len(moved) + len(uploads) > MAX_PARTS:
        raise RequestTooLarge(f"The messages of one request can have {MAX_PARTS} parts beside them.", field="parts")
    store = get_store()
    _require_uploaded(store, uploads)
    client().put_item(TableName=settings().state_table, Item=_marker(entry))
    works: list[Callable[[], None]] = [partial(_copy, store, each) for each in uploads]
    for each in moved:
        key = part_key(entry, each.body, each.reference.sha256)
        works.append(partial(store.put, key, each.data, each.reference.media_type))
    _do_side_by_side(works)
    return [dump(body).encode() for body in bodies]


@dataclass(frozen=True)
class _NamedUpload:
    """An upload that a message names: where it is, and where it goes."""

    source: str
    target: str
    reference: Reference


def _uploads(entry: Entry, bodies: Sequence[Any]) -> Iterator[_NamedUpload]:
    """The uploads that an entry's messages name. Raises InvalidInput for a reference that names none."""
    tenant, _ = split_conversation_pk(entry.pk)
    for position, (record, body) in enumerate(zip(entry.records, bodies, strict=True)):
        for reference in references_of(body) if record.kind == MESSAGE else ():
            if not reference.upload:
                raise _not_uploaded(reference)
            source = upload_key(tenant, reference.sha256, reference.upload)
            yield _NamedUpload(source, part_key(entry, position, reference.sha256), reference)


def _require_uploaded(store: BlobStore, uploads: Sequence[_NamedUpload]) -> None:
    for each in uploads:
        if not store.is_intact(each.source, each.reference.size, bytes.fromhex(each.reference.sha256)):
            raise _not_uploaded(each.reference)


def _copy(store: BlobStore, upload: _NamedUpload) -> None:
    try:
        store.copy(upload.source, upload.target, upload.reference.media_type)
    except BlobMissing:
        raise _not_uploaded(upload.reference) from None


def _not_uploaded(reference: Reference) -> InvalidInput:
    detail = (
        f"Part {reference.sha256} of {reference.size} bytes is not uploaded, or no longer: upload it by "
        f"POST /v1/parts, and put the {FIELD} that this answers into the message."
    )
    return InvalidInput("PART_NOT_UPLOADED", detail, field="parts")


def _marker(entry: Entry) -> Item:
    return {**marker_key(entry), "expiresAt": {"N": str(now_ms() // 1000 + MARKER_S)}}


def _do_side_by_side(works: Sequence[Callable[[], None]]) -> None:
    if len(works) == 1:
        works[0]()
        return
    with ThreadPoolExecutor(WRITERS) as writers:
        for done in [writers.submit(work) for work in works]:
            done.result()
