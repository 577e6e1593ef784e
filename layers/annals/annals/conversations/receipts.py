"""Receipts of erasures, as the API shows them."""

from __future__ import annotations

from annals.conversations.erase import Receipt
from annals.conversations.models import ShownReceipt
from annals.times import to_rfc3339


def show_receipt(receipt: Receipt) -> ShownReceipt:
    """The API's receipt. Every message was a memory, so as many of these are gone."""
    shown = ShownReceipt(
        receiptId=receipt.receipt_id,
        conversationId=receipt.conversation_id,
        status="erasing",
        begunAt=to_rfc3339(receipt.begun_at),
    )
    if receipt.erased_at is None:
        return shown
    return shown | ShownReceipt(  # type: ignore[typeddict-item]
        status="erased",
        erasedAt=to_rfc3339(receipt.erased_at),
        removed={"messages": receipt.messages, "memories": receipt.messages},
        headHash=receipt.head_hash.hex(),
    )
