"""Conversations, summaries and receipts as the API shows them."""

from __future__ import annotations

from typing import Any, Literal, cast

from annals.conversations.heads import Head
from annals.conversations.models import ReceiptResponse, SummaryResponse
from annals.conversations.receipts import Receipt
from annals.conversations.summary_store import Summary
from annals.times import to_rfc3339


def present_conversation(head: Head) -> dict[str, Any]:
    """The API's conversation."""
    genesis = head.genesis
    return {
        "conversationId": genesis.conversation_id,
        "type": genesis.type,
        "participants": dict(genesis.participants),
        **({} if genesis.session_id is None else {"sessionId": genesis.session_id}),
        "metadata": dict(head.metadata),
        "version": head.version,
        "messageCount": head.message_count,
        "createdAt": to_rfc3339(genesis.created_at),
        "updatedAt": to_rfc3339(head.updated_at),
        "lastMessageAt": to_rfc3339(head.last_message_at) if head.last_message_at else None,
        "status": head.status,
        "headHash": head.hash.hex(),
    }


def present_summary(summary: Summary) -> SummaryResponse:
    """The API's summary."""
    return {
        "summary": summary.summary,
        "topics": list(summary.topics),
        "fromSeq": summary.from_seq,
        "toSeq": summary.to_seq,
        "updatedAt": to_rfc3339(summary.updated_at),
        "model": summary.model,
    }


def present_receipt(receipt: Receipt) -> ReceiptResponse:
    """The API's receipt. Every message was a memory, so as many of these are gone, and those made of messages."""
    response = ReceiptResponse(
        receiptId=receipt.receipt_id,
        conversationId=receipt.conversation_id,
        status="erasing",
        begunAt=to_rfc3339(receipt.begun_at),
    )
    if receipt.reason is not None:
        response["reason"] = cast("Literal['retention']", receipt.reason)
    if receipt.erased_at is None:
        return response
    if receipt.damaged:
        response["damaged"] = receipt.damaged
    return response | ReceiptResponse(  # type: ignore[typeddict-item]
        status="erased",
        erasedAt=to_rfc3339(receipt.erased_at),
        removed={
            "messages": receipt.messages,
            "memories": receipt.messages + receipt.memories,
            "facts": receipt.facts or 0,
        },
        headHash=receipt.head_hash.hex(),
    )
