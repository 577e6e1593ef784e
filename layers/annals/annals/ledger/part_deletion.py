"""Deleting parts: with the message that is redacted, the conversation that is erased, and the entry that never came.

Each of these can be done again, and then finishes. What is uploaded of the same bytes, and waits to be named, goes as
well: nothing of what is erased stays for the rest of its day.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from annals.blobs.adapters import find_store
from annals.blobs.store import BlobStore, delete_under
from annals.database.dynamodb import Item
from annals.database.state import read_partition
from annals.ledger.entry import Entry
from annals.ledger.entry_items import check_ledger_item
from annals.ledger.keys import seq_of_sk, split_conversation_pk
from annals.ledger.part_keys import (
    conversation_prefix,
    entry_prefix,
    markers_pk,
    record_prefix,
    split_marker_key,
    split_part_key,
    tenant_uploads_prefix,
    uploads_prefix,
)
from annals.ledger.read import walk_items
from annals.ledger.scrub import chain_attributes, count_records, scrubbed_positions

PAGE = 25
"""How many entries one round trip reads when that of a marker is looked for, which mostly is the first."""

BATCH = 1_000
"""How many parts are deleted together."""

FEW = 20
"""For how many parts their uploads are looked for one by one; for more, all of the tenant's are looked through."""

LONGEST_TRY_MS = 3_600_000
"""For how long an entry whose parts were stored may have been tried: longer than any function works."""

MOST_LOST_RACES = 2_000
"""How many other entries may have come before it meanwhile, whatever their writers' clocks said."""


def delete_parts_of_message(pk: str, seq: int) -> None:
    """Delete the parts of a message whose words are gone."""
    store = find_store()
    if store is None:
        return
    item = next((each for each in walk_items(pk, last=seq, newest_first=True, page=2) if _begins(each)), None)
    if item and (entry_id := chain_attributes(item).get("entryId")):
        position = seq - (seq_of_sk(item["sk"]["S"]) or 0)
        _delete(store, pk, store.keys(record_prefix(pk, entry_id, position)))
    if item is None or not _is_intact(item):
        # Its id may be another one by now than that under which its parts are.
        _delete(store, pk, _keys_of_no_entry(store, pk))


def delete_parts_of_conversation(pk: str) -> None:
    """Delete the parts of a conversation that is erased."""
    if store := find_store():
        _delete(store, pk, store.keys(conversation_prefix(pk)))


def delete_orphaned_parts(marker_pk: str, marker_sk: str) -> None:
    """Delete the parts that were stored for an entry, except those that the entry has, if it ever came."""
    store = find_store()
    if store is None:
        return
    pk, entry_id, first_seq, at = split_marker_key(marker_pk, marker_sk)
    keys = list(store.keys(entry_prefix(pk, entry_id)))
    if not keys:
        return
    kept = _positions_with_words(pk, entry_id, first_seq, at + LONGEST_TRY_MS)
    if kept is not None:
        _delete(store, pk, (key for key in keys if split_part_key(key)[1] not in kept))


def _delete(store: BlobStore, pk: str, keys: Iterable[str]) -> None:
    """Delete parts of a conversation, and first what is uploaded of the same bytes, so that each try gets further."""
    tenant, _ = split_conversation_pk(pk)
    left = iter(keys)
    while batch := list(islice(left, BATCH)):
        part_sha256s = {split_part_key(key)[2] for key in batch}
        if len(part_sha256s) > FEW:
            uploads = store.keys(tenant_uploads_prefix(tenant))
            store.delete(key for key in uploads if key.split("/")[-2] in part_sha256s)
        else:
            for part_sha256 in part_sha256s:
                delete_under(store, uploads_prefix(tenant, part_sha256))
        store.delete(batch)


def _positions_with_words(pk: str, entry_id: str, first_seq: int, until: int) -> set[int] | None:
    """The positions of the records of an entry whose words are there; none where there is no such entry.

    None where nobody can tell, since an entry that may be this one is damaged.

    Parameters
    ----------
    first_seq : the first seq that it tried
    until : when it was tried for the last time at the latest (Unix milliseconds)
    """
    for passed, item in enumerate(walk_items(pk, first=first_seq, page=PAGE)):
        attributes = chain_attributes(item)
        with_words = set(range(count_records(item))) - set(scrubbed_positions(item))
        if attributes.get("entryId") == entry_id:
            return with_words
        if "entryId" not in attributes and with_words:
            return None
        if passed > MOST_LOST_RACES and attributes.get("at", 0) > until:
            break
    return set()


def _keys_of_no_entry(store: BlobStore, pk: str) -> list[str]:
    """The keys of the parts of entries whose ids are damaged: of none that is there, or may still come."""
    known = {chain_attributes(item).get("entryId") for item in walk_items(pk)}
    tenant, conversation_id = split_conversation_pk(pk)
    for marker in read_partition(markers_pk(tenant, conversation_id), ProjectionExpression="pk, sk"):
        known.add(split_marker_key(marker["pk"]["S"], marker["sk"]["S"])[1])
    return [key for key in store.keys(conversation_prefix(pk)) if split_part_key(key)[0] not in known]


def _is_intact(item: Item) -> bool:
    """Whether an item is an entry as it was appended, as far as it is still there."""
    checked = check_ledger_item(item)
    return isinstance(checked, Entry) and checked.is_intact


def _begins(item: Item) -> bool:
    """Whether a stored item has the key of an entry."""
    return seq_of_sk(item["sk"]["S"]) is not None
