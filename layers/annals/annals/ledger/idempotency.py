"""Idempotency: what a request with an Idempotency-Key leaves behind, so that its retry stores nothing again.

A marker is written in the transaction of the write that it stands for, so there is never one without the other. It
holds the result of the request, and a salted digest of its content. Where the write is an entry of the ledger, the
digest is in that entry, salted with its records' salts: once one of them is redacted or erased, the digest tells
nothing any more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import escape, item_key, partition_key
from annals.errors import IdempotencyKeyReused
from annals.ledger.entry import IDEMPOTENCY_BYTES, SALT_BYTES, Entry, Idempotency
from annals.settings import settings
from annals.times import now_ms

RETENTION_S = 24 * 3600
"""For how many seconds a key is known."""

MAX_KEY_CHARS = 255
"""How long an Idempotency-Key may be."""


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that came with an Idempotency-Key. The same key of another tenant, route or caller is another one.

    ``content`` is a digest of all that must be the same when the request is sent again; it is never stored unsalted.
    ``caller`` is who sent the key, and empty where it is Annals' own. ``retention_s`` is for how many seconds the key
    is known. ``target`` is the partition and the name of what the request changes, where the marker stands beside
    that, so that it is deleted with it: then the same key for another target is another one, too.
    """

    tenant: str
    route: str
    key: str
    content: bytes
    caller: str = ""
    retention_s: int = RETENTION_S
    target: tuple[str, str] | None = None

    @staticmethod
    def of(tenant: str, route: str, key: str, *content: bytes, caller: str = "") -> IdempotentRequest:
        """A request of this content, all of which must be the same when it is sent again with the same key."""
        return IdempotentRequest(tenant, route, key, sha256(b"\0".join(content)).digest(), caller)

    @property
    def id(self) -> bytes:
        """The id of the request among all of the tenant: a digest of its route, caller and key."""
        parts = "#".join(map(escape, (self.route, self.caller, self.key)))
        return sha256(parts.encode()).digest()[:IDEMPOTENCY_BYTES]

    @property
    def pk(self) -> str:
        """The partition of the request's marker, where it has no target."""
        return partition_key(self.tenant, "I", self.id.hex())

    def with_marker_in(self, pk: str, name: str) -> IdempotentRequest:
        """The same request, with its marker in the partition of what it changes, beside that."""
        return replace(self, target=(pk, name))

    @property
    def marker_key(self) -> Item:
        """The key of the request's marker."""
        if self.target is None:
            return item_key(self.pk, "I")
        pk, name = self.target
        return item_key(pk, f"{marker_prefix(name)}{self.id.hex()}")

    def digest(self, salt: bytes) -> bytes:
        """What is stored of the request's content."""
        return sha256(salt + self.content).digest()[:IDEMPOTENCY_BYTES]

    def sign(self, entry: Entry) -> Entry:
        """The same entry, with the id and the digest of the request that it stores."""
        return replace(entry, idem=Idempotency(self.id, self.digest(entry.salts)))

    def require_same(self, entry: Entry) -> Entry:
        """The entry that an earlier try stored. Raises IdempotencyKeyReused if it stores another request of this key.

        Once its words are gone, nobody can tell any more.
        """
        if entry.idem and entry.idem.digest and all(record.salt for record in entry.records):
            self.require_digest(entry.salts, entry.idem.digest)
        return entry

    def require_digest(self, salt: bytes, digest: bytes) -> None:
        """Raise IdempotencyKeyReused if a digest with this salt is that of another content."""
        if digest != self.digest(salt):
            raise IdempotencyKeyReused

    def read_result(self, marker: Mapping[str, Any], salt: bytes | None = None) -> dict[str, Any]:
        """The result in a marker.

        Parameters
        ----------
        marker : the item
        salt : the salt, where it is not in the marker; None where it is gone: then nobody can tell contents apart

        Raises
        ------
        IdempotencyKeyReused : the marker's request had another content
        """
        values = from_item(marker)
        salt = values.get("salt", salt)
        if salt and "digest" in values:
            self.require_digest(salt, values["digest"])
        result: dict[str, Any] = values["result"]
        return result


def marker_prefix(name: str) -> str:
    """How the sort keys of all markers begin that stand beside what has this name in its partition."""
    return f"I#{name}#"


def marker_put(request: IdempotentRequest, result: Mapping[str, Any], salt: bytes | None = None) -> dict[str, Any]:
    """The part of a transaction that writes the marker, on condition that no live one exists.

    ``salt`` is one that is stored with what the request makes, and goes with it; without one, the marker has its own.
    """
    own = os.urandom(SALT_BYTES) if salt is None else None
    own_salt = {} if own is None else {"salt": own}
    return _put(request, {"result": dict(result), "digest": request.digest(own or salt or b""), **own_salt})


def entry_marker_put(request: IdempotentRequest, entry: Entry) -> dict[str, Any]:
    """The part of a transaction that writes the marker of an entry, on condition that no live one exists."""
    return _put(request, {"result": {"pk": entry.pk, "seq": entry.seq, "entryId": entry.entry_id}})


def _put(request: IdempotentRequest, values: Mapping[str, Any]) -> dict[str, Any]:
    now_s = now_ms() // 1000
    item = to_item({**values, "expiresAt": now_s + request.retention_s})
    return {
        "Put": {
            "TableName": settings().state_table,
            "Item": {**request.marker_key, **item},
            "ConditionExpression": "attribute_not_exists(pk) OR expiresAt < :now",
            "ExpressionAttributeValues": {":now": {"N": str(now_s)}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def find_marker(request: IdempotentRequest) -> Item | None:
    """The marker of an earlier try of a request, within the key's retention."""
    key = request.marker_key
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return None if item is None or int(item["expiresAt"]["N"]) < now_ms() // 1000 else item


def find_result(request: IdempotentRequest) -> dict[str, Any] | None:
    """The result of an earlier try of a request. Raises IdempotencyKeyReused if that was another request."""
    marker = find_marker(request)
    return request.read_result(marker) if marker else None
