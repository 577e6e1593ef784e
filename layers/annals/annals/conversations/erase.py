"""Erasure: everything that was said in a conversation goes; its chain and its id stay, so that nobody reuses it.

The erasure's record comes first, and with it a receipt: from then on the conversation is gone for everyone. Then the
head and every entry are scrubbed. Each step can be done again, so whoever finds an erasure unfinished finishes it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import islice

from annals.conversations.genesis import read_genesis
from annals.conversations.heads import drop_state
from annals.conversations.holders import release_holder
from annals.conversations.lists import Selection, every_match
from annals.dynamodb import Item, client, from_item, to_item
from annals.errors import (
    ConversationErased,
    ConversationNotFound,
    DeleteManyThresholdExceeded,
    InvalidInput,
    ReceiptNotFound,
)
from annals.json_text import dump
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE
from annals.ledger.keys import conversation_pk, escape
from annals.ledger.read import walk
from annals.ledger.redact import scrub_entry
from annals.ledger.tail import read_tail
from annals.settings import settings
from annals.times import now_ms

UNCONFIRMED = 10
"""How many conversations one request may erase without being told to twice."""

MAX_MANY = 1_000
"""How many conversations one request may erase at all."""

WRITERS = 8
"""How many entries are scrubbed side by side."""

BATCH = 200
"""How many entries are scrubbed between two looks at the clock."""


@dataclass(frozen=True)
class Receipt:
    """How far an erasure is. Times are Unix milliseconds; ``handed_over`` asks the stream's function to go on."""

    tenant: str
    receipt_id: str
    conversation_id: str
    by: str
    begun_at: int
    next_seq: int = 0
    handed_over: bool = False
    erased_at: int | None = None
    messages: int = 0
    head_hash: bytes = b""


def erase(tenant: str, conversation_id: str, by: str, budget_s: float) -> Receipt:
    """Erase a conversation, as far as the time goes; what is left over is handed to the stream's function.

    Erasing it again goes on where the last try ended, or returns its receipt. Raises ConversationNotFound.
    """
    pk = conversation_pk(tenant, conversation_id)
    receipt = Receipt(tenant, receipt_id(pk), conversation_id, by, now_ms())
    body = dump({"by": by}).encode()
    also = [{"Put": {"TableName": settings().state_table, "Item": _to_receipt_item(receipt)}}]
    try:
        append(tenant, conversation_id, [NewRecord(ERASURE, body)], state=ERASED, also=also)
    except ConversationErased:
        receipt = read_receipt(tenant, receipt.receipt_id)
    return proceed(receipt, budget_s)


def erase_many(chosen: Selection, by: str, *, dry_run: bool, confirmed: bool) -> list[str]:
    """Erase every conversation of a selection, and return their ids; a dry run only returns them.

    Raises
    ------
    DeleteManyThresholdExceeded : more than ten match, and that was not confirmed
    InvalidInput : TOO_MANY_MATCHES for one request
    """
    ids = [head.genesis.conversation_id for head in islice(every_match(chosen), MAX_MANY + 1)]
    if len(ids) > MAX_MANY:
        detail = f"More than {MAX_MANY} conversations match; filter further."
        raise InvalidInput("TOO_MANY_MATCHES", detail, field="filter")
    if dry_run:
        return ids
    if len(ids) > UNCONFIRMED and not confirmed:
        raise DeleteManyThresholdExceeded(len(ids), UNCONFIRMED)
    deadline = time.monotonic() + settings().erase_budget_s
    for conversation_id in ids:
        erase(chosen.tenant, conversation_id, by, max(deadline - time.monotonic(), 0))
    return ids


def proceed(receipt: Receipt, budget_s: float) -> Receipt:
    """Go on with an erasure for some seconds, and store how far it came."""
    if receipt.erased_at is not None:
        return receipt
    deadline = time.monotonic() + budget_s
    pk = conversation_pk(receipt.tenant, receipt.conversation_id)
    _forget_state(receipt)
    # The genesis comes last: until then it tells whoever goes on what else has to be forgotten.
    entries = walk(pk, first=max(receipt.next_seq, 1))
    with ThreadPoolExecutor(WRITERS) as writers:
        while batch := list(islice(entries, BATCH)):
            list(writers.map(scrub_entry, batch))
            receipt = replace(receipt, next_seq=batch[-1].last_seq + 1)
            if time.monotonic() > deadline:
                return _store(replace(receipt, handed_over=True))
    scrub_entry(next(walk(pk, last=0)))
    return _finish(receipt, pk)


def read_receipt(tenant: str, receipt_id: str) -> Receipt:
    """An erasure's receipt. Raises ReceiptNotFound."""
    key = _receipt_key(tenant, receipt_id)
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        raise ReceiptNotFound(f"There is no receipt {receipt_id!r}.")
    values = from_item(item)
    return Receipt(**{name: values[name] for name in Receipt.__dataclass_fields__ if name in values})


def receipt_id(pk: str) -> str:
    """The id of the receipt of a conversation's erasure."""
    return f"rcp-{sha256(pk.encode()).hexdigest()[:20]}"


def _forget_state(receipt: Receipt) -> None:
    """Take the conversation out of the lists, and out of what finds it by its participants."""
    pk = conversation_pk(receipt.tenant, receipt.conversation_id)
    drop_state(pk)
    with suppress(ConversationNotFound):
        release_holder(read_genesis(receipt.tenant, receipt.conversation_id))


def _finish(receipt: Receipt, pk: str) -> Receipt:
    tail = read_tail(pk)
    if tail is None:
        raise ConversationNotFound(receipt.conversation_id)
    return _store(replace(receipt, erased_at=now_ms(), handed_over=False, messages=tail.count, head_hash=tail.hash))


def _store(receipt: Receipt) -> Receipt:
    client().put_item(TableName=settings().state_table, Item=_to_receipt_item(receipt))
    return receipt


def _to_receipt_item(receipt: Receipt) -> Item:
    values = {name: value for name, value in asdict(receipt).items() if value is not None}
    return {**_receipt_key(receipt.tenant, receipt.receipt_id), **to_item(values)}


def _receipt_key(tenant: str, receipt_id: str) -> Item:
    return {"pk": {"S": f"T#{escape(tenant)}#R#{escape(receipt_id)}"}, "sk": {"S": "RECEIPT"}}
