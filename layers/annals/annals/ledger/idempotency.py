"""Idempotency: what a request with an Idempotency-Key leaves behind, so that its retry stores nothing again.

A marker is written in the transaction of the write that it stands for, so there is never one without the other. What
it keeps of the request is a salted digest. Where the write is an entry of the ledger, that digest is the entry's, and
the salts of its records are its salt: once one of them is redacted or erased, nothing can be told from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import escape, partition_key
from annals.errors import IdempotencyKeyReused
from annals.ledger.entry import IDEMPOTENCY_BYTES, SALT_BYTES, Entry, Idempotency
from annals.settings import settings
from annals.times import now_ms

RETENTION_S = 24 * 3600

MAX_KEY_CHARS = 255
"""How long an Idempotency-Key may be."""


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that came with an Idempotency-Key: keys are told apart by tenant, route and caller.

    ``said`` is a digest of all that, sent again under the same key, must be the same; it is never stored as it is.
    ``caller`` is whoever the key is from, and empty where it is Annals' own. ``retention_s`` is for how long the key
    is known. ``beside`` is the partition of what the request changes, and its name there, where the marker stands
    beside that and goes with it: then keys are told apart by what is changed, too.
    """

    tenant: str
    route: str
    key: str
    said: bytes
    caller: str = ""
    retention_s: int = RETENTION_S
    beside: tuple[str, str] | None = None

    @staticmethod
    def of(tenant: str, route: str, key: str, *said: bytes, caller: str = "") -> IdempotentRequest:
        """The request that says ``said``: all that, sent again under the same key, must be the same."""
        return IdempotentRequest(tenant, route, key, sha256(b"\0".join(said)).digest(), caller)

    @property
    def id(self) -> bytes:
        """What tells the request from all others of the tenant."""
        named = "#".join(map(escape, (self.route, self.caller, self.key)))
        return sha256(named.encode()).digest()[:IDEMPOTENCY_BYTES]

    @property
    def pk(self) -> str:
        """The partition of the request's marker."""
        return partition_key(self.tenant, "I", self.id.hex())

    def with_marker_in(self, pk: str, name: str) -> IdempotentRequest:
        """The same request, with a marker beside what it changes, in that one's partition."""
        return replace(self, beside=(pk, name))

    @property
    def marker_key(self) -> Item:
        """The key of the request's marker."""
        if self.beside is None:
            return to_item({"pk": self.pk, "sk": "I"})
        pk, name = self.beside
        return to_item({"pk": pk, "sk": f"{marker_prefix(name)}{self.id.hex()}"})

    def digest(self, salt: bytes) -> bytes:
        """What is stored of what the request says."""
        return sha256(salt + self.said).digest()[:IDEMPOTENCY_BYTES]

    def marked(self, entry: Entry) -> Entry:
        """An entry that says whose request it stores."""
        return replace(entry, idem=Idempotency(self.id, self.digest(entry.salts)))

    def require_same(self, entry: Entry) -> None:
        """Raise IdempotencyKeyReused if an entry stores another request under this one's key.

        Of an entry whose words are gone, nobody can tell any more.
        """
        if entry.idem and entry.idem.digest and all(record.salt for record in entry.records):
            self.require_digest(entry.salts, entry.idem.digest)

    def require_digest(self, salt: bytes, digest: bytes) -> None:
        """Raise IdempotencyKeyReused if a digest with this salt is another request's."""
        if digest != self.digest(salt):
            raise IdempotencyKeyReused

    def read_result(self, marker: Mapping[str, Any], salt: bytes | None = None) -> dict[str, Any]:
        """The result that a marker item holds.

        Parameters
        ----------
        marker : the item
        salt : the salt, where it is not in the marker; None where it is gone: then nobody can tell requests apart

        Raises
        ------
        IdempotencyKeyReused : the marker's request said something else
        """
        values = from_item(marker)
        salt = values.get("salt", salt)
        if salt and "digest" in values:
            self.require_digest(salt, values["digest"])
        result: dict[str, Any] = values["result"]
        return result


def marker_prefix(name: str) -> str:
    """How the sort keys of all markers begin that stand beside what has a name in its partition."""
    return f"I#{name}#"


def marker_put(request: IdempotentRequest, result: Mapping[str, Any], salt: bytes | None = None) -> dict[str, Any]:
    """The part of a transaction that writes the marker, on condition that no live one exists.

    Without a ``salt`` that is kept with what the request stores, and goes with it, one is kept in the marker.
    """
    own = os.urandom(SALT_BYTES) if salt is None else None
    kept = {} if own is None else {"salt": own}
    return _put(request, {"result": dict(result), "digest": request.digest(own or salt or b""), **kept})


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
    """The marker of a request with this key, while the key is known."""
    key = request.marker_key
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return None if item is None or int(item["expiresAt"]["N"]) < now_ms() // 1000 else item


def find_result(request: IdempotentRequest) -> dict[str, Any] | None:
    """The result of a request with this key, while it is known. Raises IdempotencyKeyReused if it differs."""
    marker = find_marker(request)
    return request.read_result(marker) if marker else None
