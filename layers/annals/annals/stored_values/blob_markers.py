"""Markers of values' blobs: what is done when the stream says that one is gone.

A marker goes when its time is over, or with its blob. If the item names the blob then, the marker is written anew; else
the blob is deleted: its item was never written, or names another one by now, or ran out.
"""

from __future__ import annotations

from annals.database.keys import item_key
from annals.database.state import delete_if, find_item
from annals.stored_values.values import BLOB, BLOB_ID_CHARS, MARKER_PREFIX, blob_key, get_store, put_marker
from annals.times import now_ms

AGAIN_S = 30 * 24 * 3600
"""After how many seconds a blob that is named is looked at again."""


def is_blob_marker_sk(sk: str) -> bool:
    """Whether a sort key is that of a blob's marker."""
    return sk.startswith(MARKER_PREFIX)


def look_after_blob(pk: str, marker_sk: str) -> None:
    """Keep or delete the blob whose marker is gone. It can be done again."""
    blob_id, _, sk = marker_sk.removeprefix(MARKER_PREFIX).partition("#")
    if len(blob_id) == BLOB_ID_CHARS and _is_named(pk, sk, blob_id):
        put_marker(pk, sk, blob_id, now_ms() // 1000 + AGAIN_S)
    else:
        get_store().delete([blob_key(pk, blob_id)])


def _is_named(pk: str, sk: str, blob_id: str) -> bool:
    """Whether an item names a blob. One that has run out is deleted first."""
    key = item_key(pk, sk)
    item = find_item(key)
    if item is None or item.get(BLOB, {}).get("S") != blob_id:
        return False
    until = int(item["expiresAt"]["N"]) if "expiresAt" in item else None
    if until is None or until * 1000 > now_ms():
        return True
    return not delete_if(key, "expiresAt = :until", {":until": until})
