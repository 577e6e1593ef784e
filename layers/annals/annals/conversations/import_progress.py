"""How far an import got that had no time left: kept for a day, and found again by all that its request says."""

from __future__ import annotations

import os
from collections.abc import Sequence

from annals.access.caller import Caller
from annals.database.dynamodb import client, from_item, to_item
from annals.ledger.idempotency import RETENTION_S, IdempotentRequest
from annals.settings import settings
from annals.times import now_ms

ROUTE = "import progress"

NOT_YET = -1
"""Stands for how many messages a conversation took that was compared, and is not imported yet."""


def read_progress(caller: Caller, request: bytes) -> list[int]:
    """How many messages each conversation took in earlier tries of a request, in their order, as far as these got."""
    marker = _marker(caller, request)
    item = client().get_item(TableName=settings().state_table, Key=marker.marker_key, ConsistentRead=True).get("Item")
    if item is None or int(item["expiresAt"]["N"]) < now_ms() // 1000:
        return []
    values = from_item(item)
    if marker.digest(values["salt"]) != values["digest"]:
        return []
    counts: list[int] = values["taken"]
    return counts


def store_progress(caller: Caller, request: bytes, counts: Sequence[int]) -> None:
    """Keep how far a request got; nothing once it is done. Of two tries at once, what either says is true."""
    marker, salt = _marker(caller, request), os.urandom(16)
    values = {
        "salt": salt,
        "digest": marker.digest(salt),
        "taken": list(counts),
        "expiresAt": now_ms() // 1000 + RETENTION_S,
    }
    client().put_item(TableName=settings().state_table, Item={**marker.marker_key, **to_item(values)})


def _marker(caller: Caller, request: bytes) -> IdempotentRequest:
    """The request as if it had an Idempotency-Key: its length, which tells nothing of what it says."""
    return IdempotentRequest.of(caller.tenant, ROUTE, str(len(request)), request, caller=caller.key_id)
