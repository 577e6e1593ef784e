"""The questions of a conversation that streams are answering just now, told by the drafts of those streams.

Beside a conversation stands a pointer to each of its drafts (``memory.streaming.draft_table``). Only what is needed of
a draft is read: who owns it, and whether it has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import item_key, partition_key
from annals.database.state import read_items, read_partition
from annals.ledger.append import find_entry
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.settings import settings
from annals.times import now_ms

HEAD, HEARTBEAT, END = "H", "P", "Z"
"""The sort keys of a draft: itself, its owner's last sign of life (with the owner's name behind it), and its end."""

DRAFT_POINTER = "D#"
"""How the sort keys of what leads from a conversation to its drafts begin."""

CLAIMED_AT = "claimedAt"
"""The field of such a pointer that says when the draft got its owner, in Unix milliseconds."""

MAX_REPLY_MS = 1_000_000
"""How long a reply may take at most: a function runs for fifteen minutes."""

SIGNS = 5
"""How many items, back from the owner's sign of life, are looked at: that, former owners', the draft, and deltas."""


def draft_pk(tenant: str, stream_id: str) -> str:
    """The partition of a draft."""
    return partition_key(tenant, "D", stream_id)


def find_live_questions(tenant: str, conversation_id: str) -> Collection[int]:
    """The seqs of the user's messages that streams are answering: which live, and whose replies are not stored yet."""
    now = now_ms()
    pointers = map(from_item, read_partition(conversation_pk(tenant, conversation_id), DRAFT_POINTER))
    recent = (each for each in pointers if each.get(CLAIMED_AT, now) > now - MAX_REPLY_MS)
    pks = [draft_pk(tenant, _stream_id(each)) for each in recent]
    keys = [item_key(pk, sk) for pk in pks for sk in (HEAD, END)]
    drafts: dict[str, dict[str, Item]] = {}
    for item in map(from_item, read_items(keys, consistent=True)):
        drafts.setdefault(item["pk"], {})[item["sk"]] = item
    heads = [parts[HEAD] for parts in drafts.values() if HEAD in parts and not _has_ended(parts)]
    return [head["seq"] for head in heads if _is_alive(head, now) and find_entry(reply_request(tenant, head)) is None]


def reply_request(tenant: str, head: Item) -> IdempotentRequest:
    """The idempotency of storing the reply, as a draft has it."""
    return IdempotentRequest.of(tenant, head["once"]["route"], head["once"]["key"])


def _stream_id(pointer: Item) -> str:
    stream_id: str = pointer["sk"].removeprefix(DRAFT_POINTER)
    return stream_id


def _has_ended(parts: Mapping[str, Item]) -> bool:
    """Whether a draft has an end that its present owner gave it."""
    return END in parts and bool(parts[END]["owner"] == parts[HEAD]["owner"])


def _is_alive(head: Item, now: int) -> bool:
    """Whether a draft's owner has given a sign of life within the lease: by the draft itself, or later."""
    return head["until"] >= now or any(sign["until"] >= now for sign in _last_signs(head))


def _last_signs(head: Item) -> Iterator[Item]:
    """The owner's own sign of life, and the last deltas."""
    query: Any = {
        "TableName": settings().state_table,
        "KeyConditionExpression": "pk = :pk AND sk <= :sign",
        "ExpressionAttributeValues": to_item({":pk": head["pk"], ":sign": f"{HEARTBEAT}#{head['owner']}"}),
        "ScanIndexForward": False,
        "Limit": SIGNS,
        "ConsistentRead": True,
    }
    items = map(from_item, client().query(**query)["Items"])
    return (item for item in items if item["owner"] == head["owner"])
