"""Documents as items of the state table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annals.database.damage import AttributeTypes, decode_item, find_mismatch
from annals.database.dynamodb import from_item
from annals.database.item_size import item_size
from annals.documents.addresses import CUT, Address, Owner, split_sk
from annals.errors import DamagedItem
from annals.json_text import dump

DOCUMENT: AttributeTypes = {"version": int, "createdAt": int, "updatedAt": int, "writeId": str}
OPTIONAL: AttributeTypes = {
    "value": (str, bytes), "blob": str, "expiresAt": int, "ttlSeconds": int, "userId": str, "address": str,
}  # fmt: skip
"""The attributes of a document's item, with their types: those that are always there, and those that may be."""

WITHOUT_VALUE = ("pk", "sk", *DOCUMENT, *(OPTIONAL.keys() - {"value"}))
"""The attributes that say all of a document but its value; that of its blob is among them."""


@dataclass(frozen=True)
class StoredDocument:
    """A document as it is stored. Times are Unix milliseconds, but for ``expires_at``, in seconds as DynamoDB has it.

    Parameters
    ----------
    address : where it is
    version : 1 for the first one, and one more with each change
    write_id : tells the write that made this version
    ttl_s : for how many seconds it is there after its last change; None for ever
    user_id : whose data it is, beside its owner
    kept : the attributes that hold its value, or name the blob that does; empty where they were not read
    """

    address: Address
    version: int
    created_at: int
    updated_at: int
    write_id: str
    expires_at: int | None
    ttl_s: int | None
    user_id: str | None
    kept: Mapping[str, Any]

    def is_over(self, now: int) -> bool:
        """Whether it has run out at a time; it is not there any more then, though its item may be."""
        return self.expires_at is not None and self.expires_at * 1000 <= now


def from_document_item(owner: Owner, item: Mapping[str, Any]) -> StoredDocument:
    """The document of an item, one of an owner's. Raises DamagedItem."""
    return decode_item(item, lambda stored: _read(owner, from_item(stored)))


def _read(owner: Owner, values: Mapping[str, Any]) -> StoredDocument:
    if reason := find_mismatch(values, DOCUMENT, OPTIONAL):
        raise DamagedItem(values["pk"], values["sk"], reason)
    if CUT in values["sk"]:
        collection, namespace, key = json.loads(values["address"])
    else:
        collection, namespace, key = split_sk(values["sk"])
    return StoredDocument(
        address=Address(owner, collection, tuple(namespace), key),
        version=values["version"],
        created_at=values["createdAt"],
        updated_at=values["updatedAt"],
        write_id=values["writeId"],
        expires_at=values.get("expiresAt"),
        ttl_s=values.get("ttlSeconds"),
        user_id=values.get("userId"),
        kept={name: values[name] for name in ("value", "blob") if name in values},
    )


def to_attributes(document: StoredDocument) -> dict[str, Any]:
    """The attributes of a document's item, beside its key."""
    values = {
        "version": document.version,
        "createdAt": document.created_at,
        "updatedAt": document.updated_at,
        "writeId": document.write_id,
        "expiresAt": document.expires_at,
        "ttlSeconds": document.ttl_s,
        "userId": document.user_id,
        "address": dump(document.address.to_text_parts()) if document.address.is_cut else None,
        **document.kept,
    }
    return {name: value for name, value in values.items() if value is not None}


def base_bytes(document: StoredDocument) -> int:
    """What a document's item weighs without its value."""
    key = {"pk": document.address.pk, "sk": document.address.sk}
    return item_size({**key, **to_attributes(document)})
