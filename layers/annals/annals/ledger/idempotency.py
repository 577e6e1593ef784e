"""Idempotency markers: what a request with an Idempotency-Key left behind, so that its retry stores nothing again.

A marker is written in the transaction of the write that it stands for, so there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from annals.dynamodb import client, from_item, to_item
from annals.errors import IdempotencyKeyReused
from annals.ledger.entry import Idempotency
from annals.ledger.keys import escape
from annals.settings import settings
from annals.times import now_ms

RETENTION_S = 24 * 3600


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that came with an Idempotency-Key: keys are told apart by tenant and route.

    ``retention_s`` is for how long the key is known.
    """

    tenant: str
    route: str
    key: str
    digest: bytes
    retention_s: int = RETENTION_S

    @staticmethod
    def of(tenant: str, route: str, key: str, *said: bytes) -> IdempotentRequest:
        """The request that says ``said``: all that, sent again under the same key, must be the same."""
        return IdempotentRequest(tenant, route, key, sha256(b"\0".join(said)).digest())

    @property
    def pk(self) -> str:
        return f"T#{escape(self.tenant)}#I#{escape(self.route)}#{escape(self.key)}"

    @property
    def mark(self) -> Idempotency:
        """What an entry keeps of the request where its place in the ledger is the marker (If-Match)."""
        return Idempotency(self.key, self.digest)


def marker_put(request: IdempotentRequest, result: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a transaction that writes the marker, on condition that no live one exists."""
    now_s = now_ms() // 1000
    item = {
        "pk": request.pk,
        "sk": "I",
        "digest": request.digest,
        "result": dict(result),
        "expiresAt": now_s + request.retention_s,
    }
    return {
        "Put": {
            "TableName": settings().state_table,
            "Item": to_item(item),
            "ConditionExpression": "attribute_not_exists(pk) OR expiresAt < :now",
            "ExpressionAttributeValues": {":now": {"N": str(now_s)}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def find_result(request: IdempotentRequest) -> dict[str, Any] | None:
    """The result of a request with this key in the last 24 h. Raises IdempotencyKeyReused if it said something else."""
    key = {"pk": {"S": request.pk}, "sk": {"S": "I"}}
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    if item is None or int(item["expiresAt"]["N"]) < now_ms() // 1000:
        return None
    return result_of(request, item)


def result_of(request: IdempotentRequest, marker: Mapping[str, Any]) -> dict[str, Any]:
    """The result that a marker item holds. Raises IdempotencyKeyReused if its request said something else."""
    values = from_item(marker)
    if values["digest"] != request.digest:
        raise IdempotencyKeyReused
    result: dict[str, Any] = values["result"]
    return result
