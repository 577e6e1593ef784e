"""Keeping a JSON value with an item of the state table, and reading it back.

A small value is an attribute of the item: ``value``, as text, or as bytes where deflating saves a write unit. One for
which no item has room is a blob, and the item's attribute ``blob`` names it. A blob is never changed: another value is
another blob. It is stored before the item that names it, and before it a marker, which stands beside the item and has
an end. What comes then is in ``blob_markers``.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from annals.blobs.adapters import find_store
from annals.blobs.store import BINARY, BlobStore, delete_under
from annals.database.damage import report_damage
from annals.database.dynamodb import Item, client, to_item
from annals.database.item_size import MAX_ITEM_BYTES, write_units
from annals.database.keys import item_key
from annals.errors import DamagedItem, RequestTooLarge, Unavailable
from annals.settings import settings
from annals.times import now_ms

VALUE, BLOB = "value", "blob"
"""The attributes of an item that hold its value, or name its blob. There is one of them."""

MAX_VALUE_BYTES = 4_000_000
"""The most that a value may take as JSON."""

BLOB_ID_CHARS = 32

MARKER_PREFIX = "BLOB#"
"""How the sort keys of the markers of blobs begin."""

MARKER_KEY_BYTES = len(MARKER_PREFIX) + BLOB_ID_CHARS + 1
"""What a marker's sort key takes beside the one of its item, of the 1,024 bytes that DynamoDB takes."""

MARKER_S = 24 * 3600
"""After how many seconds it is looked whether the item that names a blob is there."""


def keep_value(pk: str, sk: str, text: str, base_bytes: int, *, field: str = VALUE) -> dict[str, Any]:
    """The attributes of an item that hold a JSON text. A blob that this takes is stored when this returns.

    Parameters
    ----------
    pk, sk : the item's key
    text : the value as JSON
    base_bytes : what the item weighs without the value, its key and names with it
    field : the API's name of the value, for a refusal

    Raises
    ------
    RequestTooLarge : the value takes more than ``MAX_VALUE_BYTES``, or more than an item holds where there is no place
        for blobs
    """
    plain = text.encode()
    if len(plain) > MAX_VALUE_BYTES:
        detail = f"{field} takes {len(plain)} bytes as JSON, and at most {MAX_VALUE_BYTES} are stored."
        raise RequestTooLarge(detail, field=field)
    room = MAX_ITEM_BYTES - base_bytes - len(VALUE)
    if write_units(base_bytes + len(VALUE) + len(plain)) == 1:
        return {VALUE: text}
    deflated = _deflate(plain)
    if len(deflated) > room:
        return {BLOB: _store_blob(pk, sk, deflated, field)}
    saves = write_units(base_bytes + len(VALUE) + len(deflated)) < write_units(base_bytes + len(VALUE) + len(plain))
    return {VALUE: deflated if saves or len(plain) > room else text}


def read_value(pk: str, sk: str, values: Mapping[str, Any]) -> str:
    """The JSON text that an item's attributes hold or name.

    Raises
    ------
    BlobMissing : its blob is gone, as where the item was changed since it was read
    DamagedItem : it is none that ``keep_value`` wrote
    """
    kept = values.get(VALUE)
    if isinstance(kept, str):
        return kept
    if kept is None and isinstance(values.get(BLOB), str):
        kept = b"".join(get_store().read(blob_key(pk, values[BLOB])))
    try:
        return _inflate(kept).decode()
    except (TypeError, ValueError, zlib.error):
        raise report_damage(DamagedItem(pk, sk, "its value is not one that was stored")) from None


def delete_value(pk: str, sk: str, values: Mapping[str, Any]) -> None:
    """Delete the blob that an item's attributes name, if they name one, once no item names it any more."""
    blob_id = values.get(BLOB)
    if blob_id is None:
        return
    get_store().delete([blob_key(pk, blob_id)])
    client().delete_item(TableName=settings().state_table, Key=marker_key(pk, sk, blob_id))


def delete_values_of(pk: str) -> None:
    """Delete the blobs of all items of a partition, which are deleted already."""
    if store := find_store():
        delete_under(store, _blobs_prefix(pk))


def get_store() -> BlobStore:
    """The place for blobs. Raises Unavailable where the settings name none."""
    store = find_store()
    if store is None:
        raise Unavailable("This installation has no place for blobs: neither BLOBS_BUCKET nor BLOBS_FOLDER is set.")
    return store


def blob_key(pk: str, blob_id: str) -> str:
    """The key of the blob of an item in a partition."""
    return _blobs_prefix(pk) + blob_id


def marker_key(pk: str, sk: str, blob_id: str) -> Item:
    """The key of a blob's marker, beside the item that is to name the blob.

    All that has to be known is in the key, since a stream carries no more of an item that ran out.
    """
    return item_key(pk, f"{MARKER_PREFIX}{blob_id}#{sk}")


def put_marker(pk: str, sk: str, blob_id: str, expires_at: int) -> None:
    """Write a blob's marker, which ends at a time in Unix seconds."""
    item = {**marker_key(pk, sk, blob_id), **to_item({"expiresAt": expires_at})}
    client().put_item(TableName=settings().state_table, Item=item)


def _store_blob(pk: str, sk: str, deflated: bytes, field: str) -> str:
    store = find_store()
    if store is None:
        detail = f"{field} is larger than the {MAX_ITEM_BYTES} bytes of an item, and there is no place for blobs here."
        raise RequestTooLarge(detail, field=field)
    blob_id = secrets.token_hex(BLOB_ID_CHARS // 2)
    put_marker(pk, sk, blob_id, now_ms() // 1000 + MARKER_S)
    store.put(blob_key(pk, blob_id), deflated, BINARY)
    return blob_id


def _blobs_prefix(pk: str) -> str:
    return f"values/{sha256(pk.encode()).hexdigest()}/"


def _deflate(plain: bytes) -> bytes:
    deflater = zlib.compressobj(level=6, wbits=-15)
    return deflater.compress(plain) + deflater.flush()


def _inflate(deflated: Any) -> bytes:
    inflater = zlib.decompressobj(wbits=-15)
    plain = inflater.decompress(deflated) + inflater.flush()
    if not inflater.eof:
        raise ValueError("it ends too early")
    return plain
