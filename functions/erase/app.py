"""Redact a message, erase a conversation or a user, and show the receipts."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.cursors import invalid_cursor
from annals.api.fields import PathId
from annals.conversations.filter_parsing import filter_from_json
from annals.conversations.lists import Selection
from annals.conversations.models import DeletedMany, DeleteMany, ReceiptResponse, Redact
from annals.conversations.presenters import present_receipt
from annals.conversations.read import require_conversation_access
from annals.conversations.receipts import get_conversation_receipt
from annals.errors import InvalidInput, ReceiptNotFound
from annals.http.app import Api, respond
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import Message
from annals.ledger.redact import present_redacted
from annals.memory.erasure import conversation_erasure
from annals.memory.erasure.message_redaction import redact_with_derived
from annals.memory.erasure.models import UserReceiptResponse
from annals.memory.erasure.user_receipts import UserReceipt, find_user_receipt, present_user_receipt
from annals.settings import settings

app = Api()
handler = app.handler


@app.post("/v1/conversations/<conversation_id>/messages/<message_id>/redact", tags=["Messages"])
def redact_message(conversation_id: PathId, message_id: PathId, body: Redact) -> Message:
    """Redact a message: its content goes, and a summary of the conversation. Seq, digest and chain stay."""
    caller = app.caller.require_scope("erase")
    require_conversation_access(caller, conversation_id)
    redact_with_derived(caller.tenant, conversation_id, message_id, body.reason, caller.key_id)
    return present_redacted(conversation_pk(caller.tenant, conversation_id), message_id)


@app.delete("/v1/conversations/<conversation_id>", tags=["Conversations"])
def erase_conversation(conversation_id: PathId) -> Response[ReceiptResponse]:
    """Erase a conversation: 200 with the receipt, or 202 where it goes on after the answer."""
    caller = app.caller.require_scope("erase")
    app.require_known_query()
    require_conversation_access(caller, conversation_id)
    budget_s = settings().erase_budget_s
    receipt = conversation_erasure.erase_conversation(caller.tenant, conversation_id, caller.key_id, budget_s)
    return respond(present_receipt(receipt), 202 if receipt.erased_at is None else 200)


@app.post("/v1/conversations/delete-many", tags=["Conversations"])
def erase_conversations(body: DeleteMany) -> DeletedMany:
    """Erase all conversations that a filter matches; more than ten only where that is confirmed."""
    caller = app.caller.require_scope("erase")
    if not body.filter:
        raise InvalidInput("MISSING_REQUIRED_FIELD", "filter must name what to erase.", field="filter")
    selection = Selection(caller.tenant, caller.spaces, filter_from_json(body.filter))
    ids = conversation_erasure.erase_conversations(
        selection, caller.key_id, dry_run=body.dry_run, confirmed=body.confirm
    )
    return {"count": len(ids), "conversationIds": ids, "dryRun": body.dry_run}


@app.get("/v1/receipts/<receipt_id>", tags=["Conversations"])
def get_receipt(
    receipt_id: PathId, cursor: Annotated[str | None, Query()] = None
) -> ReceiptResponse | UserReceiptResponse:
    """An erasure's receipt. That of a user names their conversations, in pages."""
    caller = app.caller.require_scope("read")
    app.require_known_query("cursor")
    if caller.spaces is None and (user_receipt := find_user_receipt(caller.tenant, receipt_id)):
        return _present_user_receipt(user_receipt, cursor)
    receipt = get_conversation_receipt(caller.tenant, receipt_id)
    if not caller.may_see(receipt.space):
        raise ReceiptNotFound(f"There is no receipt {receipt_id!r}.")
    if cursor is not None:
        raise invalid_cursor()
    return present_receipt(receipt)


@app.delete("/v1/users/<user_id>", tags=["Users"])
def erase_user(user_id: PathId) -> Response[UserReceiptResponse]:
    """Erase a user: 200 with the receipt, or 202 where it goes on after the answer.

    Gone are the conversations of which they are the user, all memories and facts of theirs, the content of their
    messages in other conversations, by ``userId``, and their places in memory spaces. Where there was nothing of them,
    the receipt says so.
    """
    from annals.memory.erasure import user_erasure  # what a user's erasure needs, no other route does

    caller = app.caller.require_scope("erase")
    app.require_known_query()
    receipt = user_erasure.erase_user(caller, user_id, settings().erase_budget_s)
    return respond(_present_user_receipt(receipt), 202 if receipt.erased_at is None else 200)


def _present_user_receipt(receipt: UserReceipt, cursor: str | None = None) -> UserReceiptResponse:
    cursors = app.cursors("receipt", receipt.receipt_id)
    response, last = present_user_receipt(receipt, cursors.read(cursor)[0] if cursor else None)
    return {**response, **(cursors.next(last) if last else {})}  # type: ignore[typeddict-item]
