"""How far an import came that had no time left: kept for a day, and known again by all that its request says."""

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
"""Stands for how many messages a conversation took that was compared, and is not brought in yet."""


def read_progress(caller: Caller, said: bytes) -> list[int]:
    """How many messages the conversations took that earlier tries of a request came to, in their order."""
    request = _request(caller, said)
    item = client().get_item(TableName=settings().state_table, Key=request.marker_key, ConsistentRead=True).get("Item")
    if item is None or int(item["expiresAt"]["N"]) < now_ms() // 1000:
        return []
    values = from_item(item)
    if request.digest(values["salt"]) != values["digest"]:
        return []
    taken: list[int] = values["taken"]
    return taken


def store_progress(caller: Caller, said: bytes, taken: Sequence[int]) -> None:
    """Keep how far a request came; nothing once it is done. Of two tries at once, what either says is true."""
    request, salt = _request(caller, said), os.urandom(16)
    values = {
        "salt": salt,
        "digest": request.digest(salt),
        "taken": list(taken),
        "expiresAt": now_ms() // 1000 + RETENTION_S,
    }
    client().put_item(TableName=settings().state_table, Item={**request.marker_key, **to_item(values)})


def _request(caller: Caller, said: bytes) -> IdempotentRequest:
    """The request as one that has a key: how long it is, which tells nothing of what it says."""
    return IdempotentRequest.of(caller.tenant, ROUTE, str(len(said)), said, caller=caller.key_id)
