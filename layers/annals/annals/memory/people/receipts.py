"""Receipts of persons' erasures: how far each one is, what comes next, and what it took away."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from annals.conversations.receipts import read_receipt_item, receipt_key
from annals.dynamodb import to_item
from annals.errors import Unavailable
from annals.ledger.keys import escape
from annals.state import put_if
from annals.times import to_rfc3339

PERSON = "person"


@dataclass(frozen=True, kw_only=True)
class PersonReceipt:
    """How far the erasure of a person is. Times are Unix milliseconds.

    Parameters
    ----------
    user_id : whose erasure it is; once it is done, not even this is kept
    stage : what is being erased
    pending : what of that stage is counted already and not yet known to be gone
    after : how far the search index was walked through, as time and memory id
    leased_until : until then whoever stored the receipt is at work; then the stream's function goes on
    step : how often the receipt was stored; who finds another one in the table has been overtaken
    conversations, messages, memories, facts : what is gone; messages are those in the conversations of others
    """

    tenant: str
    receipt_id: str
    user_id: str | None
    by: str
    begun_at: int
    stage: str
    pending: tuple[str, ...] = ()
    after: tuple[int, str] | None = None
    leased_until: int = 0
    erased_at: int | None = None
    step: int = 0
    conversations: int = 0
    messages: int = 0
    memories: int = 0
    facts: int = 0


class RemovedOfPerson(TypedDict):
    """What an erasure of a person took away. Messages are those in conversations that stay."""

    conversations: int
    messages: int
    memories: int
    facts: int


class ShownPersonReceipt(TypedDict):
    """How far the erasure of a person is. Once it is done, not even their id is kept."""

    receiptId: str
    userId: NotRequired[str]
    status: Literal["erasing", "erased"]
    begunAt: str
    erasedAt: NotRequired[str]
    removed: RemovedOfPerson


def person_receipt_id(tenant: str, user_id: str) -> str:
    """The id of the receipt of a person's erasure."""
    return f"rcp-{sha256(f'T#{escape(tenant)}#UM#{escape(user_id)}'.encode()).hexdigest()[:20]}"


def find_person_receipt(tenant: str, receipt_id: str) -> PersonReceipt | None:
    """The receipt of a person's erasure; None where there is none, or where it is a conversation's."""
    values = read_receipt_item(tenant, receipt_id)
    if values is None or values.get("kind") != PERSON:
        return None
    kept = {name: values[name] for name in PersonReceipt.__dataclass_fields__ if name in values}
    after = (kept["after"][0], kept["after"][1]) if kept.get("after") else None
    return PersonReceipt(**{"user_id": None, **kept, "pending": tuple(kept["pending"]), "after": after})


def store_person_receipt(receipt: PersonReceipt) -> PersonReceipt:
    """Store the next step of a receipt. Raises Unavailable where another process has gone on with it."""
    stored = replace(receipt, step=receipt.step + 1)
    listed = {"pending": list(stored.pending), "after": list(stored.after) if stored.after else None}
    values = {name: value for name, value in {**asdict(stored), **listed}.items() if value is not None}
    item = {**receipt_key(receipt.tenant, receipt.receipt_id), **to_item({**values, "kind": PERSON})}
    if put_if(item, "attribute_not_exists(pk) OR step = :before", {":before": receipt.step}) is not None:
        raise Unavailable("Another request goes on with this erasure. See its receipt.")
    return stored


def show_person_receipt(receipt: PersonReceipt) -> ShownPersonReceipt:
    """The API's receipt of a person's erasure."""
    shown = ShownPersonReceipt(
        receiptId=receipt.receipt_id,
        status="erasing" if receipt.erased_at is None else "erased",
        begunAt=to_rfc3339(receipt.begun_at),
        removed={
            "conversations": receipt.conversations,
            "messages": receipt.messages,
            "memories": receipt.memories,
            "facts": receipt.facts,
        },
    )
    if receipt.user_id is not None:
        shown["userId"] = receipt.user_id
    if receipt.erased_at is not None:
        shown["erasedAt"] = to_rfc3339(receipt.erased_at)
    return shown
