"""Reading documents by their addresses. Strongly consistent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from annals.blobs.store import BlobMissing
from annals.database.damage import report_damage
from annals.database.dynamodb import client, to_item
from annals.database.keys import split_item_key
from annals.database.state import find_item, read_items
from annals.database.transactions import condition_failed
from annals.documents.addresses import Address, Owner
from annals.documents.document_items import StoredDocument, from_document_item
from annals.errors import DamagedItem
from annals.settings import settings
from annals.stored_values.values import read_value
from annals.times import now_ms

MAX_READS = 3
"""How often a document is read anew whose value is another one by the time that it is read."""


def find_document(address: Address) -> StoredDocument | None:
    """A document that is there, or None."""
    item = find_item(address.item_key)
    document = from_document_item(address.owner, item) if item else None
    return None if document is None or document.is_over(now_ms()) else document


def find_documents(addresses: Sequence[Address]) -> dict[Address, StoredDocument]:
    """The documents that are there, of some addresses, each of which is named once."""
    now = now_ms()
    return {address: each for address, each in find_items_of(addresses).items() if not each.is_over(now)}


def find_items_of(addresses: Sequence[Address]) -> dict[Address, StoredDocument]:
    """The same, with those that have run out and still have an item."""
    owners: dict[tuple[str, str], Owner] = {(each.pk, each.sk): each.owner for each in addresses}
    items = read_items([each.item_key for each in addresses], consistent=True)
    found = (from_document_item(owners[split_item_key(item)], item) for item in items)
    return {document.address: document for document in found}


def read_document(document: StoredDocument) -> tuple[StoredDocument, Any] | None:
    """A document with its value; a newer version where it was changed meanwhile, or None where it is gone.

    Raises DamagedItem.
    """
    current: StoredDocument | None = document
    for _ in range(MAX_READS):
        if current is None:
            return None
        try:
            return current, json.loads(read_value(current.address.pk, current.address.sk, current.kept))
        except BlobMissing:
            newer = find_document(current.address)
            if newer and newer.write_id == current.write_id:
                break
            current = newer
    raise report_damage(DamagedItem(document.address.pk, document.address.sk, "its value is missing"))


def refresh(document: StoredDocument) -> StoredDocument:
    """A document whose time begins anew, as it does with a read that asks for that."""
    if document.ttl_s is None:
        return document
    until = expiry(document.ttl_s)
    try:
        client().update_item(
            TableName=settings().state_table,
            Key=document.address.item_key,
            UpdateExpression="SET expiresAt = :until",
            ConditionExpression="writeId = :known",
            ExpressionAttributeValues=to_item({":until": until, ":known": document.write_id}),
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        return document
    return replace(document, expires_at=until)


def expiry(ttl_s: int | None) -> int | None:
    """When what is stored now for so many seconds runs out, in Unix seconds."""
    return None if ttl_s is None else -(-now_ms() // 1000) + ttl_s
