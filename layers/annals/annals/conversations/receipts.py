"""Receipts of conversations' erasures: how far each one is, and what it removed. They stay when all else is gone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import item_key, partition_key
from annals.database.state import put_if
from annals.errors import ReceiptNotFound
from annals.ledger.keys import conversation_pk
from annals.settings import settings
from annals.times import now_ms

RECEIPT = "RECEIPT"
"""The sort key of a receipt."""

LEASE_MARGIN_MS = 5_000
"""By how much a lease is longer than the time for which its holder works."""


@dataclass(frozen=True)
class Receipt:
    """How far an erasure is. Times are Unix milliseconds.

    Each receipt that is stored reaches the stream's function, which goes on with the erasure where that is not done by
    ``leased_until``: until then whoever stored it works on it. ``facts`` and ``memories`` are how many facts and
    memories go with the conversation, since they were made of its messages; ``facts`` is None until both are counted.
    ``space`` is the memory space that the conversation was in: a caller who may not see it sees no receipt. ``reason``
    is there where the erasure was not requested. ``damaged`` is how many items of the ledger were not as they had been
    written.
    """

    tenant: str
    receipt_id: str
    conversation_id: str
    by: str
    begun_at: int
    space: str | None = None
    reason: str | None = None
    next_seq: int = 0
    leased_until: int = 0
    erased_at: int | None = None
    messages: int = 0
    facts: int | None = None
    memories: int = 0
    damaged: int = 0
    head_hash: bytes = b""


def lease_end(budget_s: float) -> int:
    """Until when an erasure is left to whoever works on it for so many seconds from now, in Unix milliseconds."""
    return now_ms() + round(1000 * budget_s) + LEASE_MARGIN_MS


def receipt_id(pk: str) -> str:
    """The id of the receipt of a conversation's erasure."""
    return f"rcp-{sha256(pk.encode()).hexdigest()[:20]}"


def find_receipt(tenant: str, receipt_id: str) -> Receipt | None:
    """The receipt of a conversation's erasure, or None."""
    values = find_receipt_item(tenant, receipt_id)
    return None if values is None or "conversation_id" not in values else _of_values(values)


def find_receipt_item(tenant: str, receipt_id: str) -> Item | None:
    """The item of a receipt, a conversation's or a person's, as plain values; or None."""
    key = receipt_key(tenant, receipt_id)
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return from_item(item) if item else None


def get_conversation_receipt(tenant: str, receipt_id: str) -> Receipt:
    """An erasure's receipt. Raises ReceiptNotFound."""
    receipt = find_receipt(tenant, receipt_id)
    if receipt is None:
        raise ReceiptNotFound(f"There is no receipt {receipt_id!r}.")
    return receipt


def receipt_put(receipt: Receipt) -> dict[str, object]:
    """The part of a transaction that writes a receipt."""
    return {"Put": {"TableName": settings().state_table, "Item": _to_receipt_item(receipt)}}


def not_erased_check(tenant: str, conversation_id: str) -> dict[str, object]:
    """The part of a transaction that requires that no erasure of a conversation has begun."""
    return {
        "ConditionCheck": {
            "TableName": settings().state_table,
            "Key": receipt_key(tenant, receipt_id(conversation_pk(tenant, conversation_id))),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }


def store_counts(receipt: Receipt) -> Receipt:
    """Store how many facts and memories go with a conversation; the first count stays: later ones find fewer."""
    return _store(receipt, "attribute_not_exists(facts)")


def store_receipt(receipt: Receipt) -> Receipt:
    """Store how far an erasure is; once one says that it is done, it stays, and is returned instead."""
    return _store(receipt, "attribute_not_exists(erased_at)")


def _store(receipt: Receipt, condition: str) -> Receipt:
    """Store a receipt on a condition; where it does not hold, the stored one is returned instead."""
    current = put_if(_to_receipt_item(receipt), condition)
    return receipt if current is None else _of_values(from_item(current))


def _of_values(values: Item) -> Receipt:
    return Receipt(**{name: values[name] for name in Receipt.__dataclass_fields__ if name in values})


def _to_receipt_item(receipt: Receipt) -> Item:
    values = {name: value for name, value in asdict(receipt).items() if value is not None}
    return {**receipt_key(receipt.tenant, receipt.receipt_id), **to_item(values)}


def receipt_key(tenant: str, receipt_id: str) -> Item:
    """The key of a receipt, a conversation's or a person's."""
    return item_key(partition_key(tenant, "R", receipt_id), RECEIPT)
