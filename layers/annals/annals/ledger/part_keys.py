"""The keys of parts: blobs beside the ledger, uploads that wait to be named, and the markers of both.

A blob's key holds the digest of its conversation's key, the entry's id and the record's position, and at last the
SHA-256 of its bytes. So no two messages share a blob, whatever is in it, and none tells whose it is.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from annals.database.keys import item_key, partition_key, split_partition_key
from annals.ledger.entry import Entry
from annals.ledger.keys import conversation_pk, split_conversation_pk

if TYPE_CHECKING:
    from annals.database.dynamodb import Item  # not at runtime: an exported ledger is verified without AWS's library

MARKER = "PARTS#"
"""How the sort keys of markers begin."""


def conversation_prefix(pk: str) -> str:
    """How the keys of all blobs of a conversation begin."""
    return f"parts/{_digest(pk)}/"


def entry_prefix(pk: str, entry_id: str) -> str:
    """How the keys of the blobs of an entry begin."""
    return f"{conversation_prefix(pk)}{entry_id}/"


def record_prefix(pk: str, entry_id: str, position: int) -> str:
    """How the keys of the blobs of an entry's record begin."""
    return f"{entry_prefix(pk, entry_id)}{position}/"


def part_key(entry: Entry, position: int, part_sha256: str) -> str:
    """The key of a part of the message that has this position in its entry."""
    return record_prefix(entry.pk, entry.entry_id, position) + part_sha256


def split_part_key(key: str) -> tuple[str, int, str]:
    """The entry's id, the record's position and the SHA-256 in the key of a part."""
    *_, entry_id, position, part_sha256 = key.split("/")
    return entry_id, int(position), part_sha256


def tenant_uploads_prefix(tenant: str) -> str:
    """How the keys of a tenant's uploads begin."""
    return f"uploads/{_digest(partition_key(tenant, 'B'))}/"


def uploads_prefix(tenant: str, part_sha256: str) -> str:
    """How the keys of a tenant's uploads of the same bytes begin."""
    return f"{tenant_uploads_prefix(tenant)}{part_sha256}/"


def upload_key(tenant: str, part_sha256: str, upload_id: str) -> str:
    """The key of an upload. Whoever knows its id, which nobody can guess, may name it."""
    return uploads_prefix(tenant, part_sha256) + upload_id


def marker_key(entry: Entry) -> Item:
    """The key of the marker of an entry whose parts are about to be stored.

    All that has to be known of the entry is in the key, since a stream carries no more of an item that ran out. The
    marker is in a partition of its own, so that it outlives a conversation that is erased meanwhile.
    """
    tenant, conversation_id = split_conversation_pk(entry.pk)
    return item_key(markers_pk(tenant, conversation_id), f"{MARKER}{entry.entry_id}#{entry.seq:012d}#{entry.at}")


def markers_pk(tenant: str, conversation_id: str) -> str:
    """The partition of a conversation's markers."""
    return partition_key(tenant, "B", conversation_id)


def is_marker_key(pk: str, sk: str) -> bool:
    """Whether a key is that of a marker."""
    return sk.startswith(MARKER) and split_partition_key(pk)[1] == "B"


def split_marker_key(pk: str, sk: str) -> tuple[str, str, int, int]:
    """The conversation's partition key, the entry's id, the first seq that it tried, and when that was."""
    tenant, _, [conversation_id] = split_partition_key(pk)
    entry_id, seq, at = sk.removeprefix(MARKER).split("#")
    return conversation_pk(tenant, conversation_id), entry_id, int(seq), int(at)


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
