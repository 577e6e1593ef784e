"""Making conversations: genesis, head and markers in one transaction, so that there is never one without the others."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from annals.conversations.genesis import Genesis, genesis_entry, read_genesis_entry
from annals.conversations.heads import Head, first_head, to_head_item
from annals.conversations.holders import holder_pk, holder_put, read_holder
from annals.conversations.read import demand_tail, read_conversation
from annals.dynamodb import Item, client
from annals.errors import AppendConflict, ConversationAlreadyExists, ConversationErased
from annals.ledger.append import RETRIED_REASONS
from annals.ledger.entry import ERASED, Tail
from annals.ledger.idempotency import IdempotentRequest, marker_put, result_of
from annals.ledger.items import to_ledger_item
from annals.ledger.keys import conversation_pk
from annals.ledger.retry import tries
from annals.ledger.tail import read_tail, tails
from annals.settings import settings
from annals.state import cancellation_reasons
from annals.times import now_ms


@dataclass(frozen=True)
class NewConversation:
    """What a caller says of a conversation to be made; without an id it gets one."""

    type: str
    participants: Mapping[str, str]
    metadata: Mapping[str, Any]
    conversation_id: str | None = None


@dataclass(frozen=True)
class Made:
    """A conversation and whether it was made now; ``replayed`` if an earlier try of this request had made it."""

    head: Head
    created: bool = True
    replayed: bool = False


def new_conversation_id(request: IdempotentRequest | None = None) -> str:
    """A new id; the same one again for the same idempotent request."""
    name = sha256(request.pk.encode()).hexdigest()[:20] if request else secrets.token_hex(10)
    return f"conv-{name}"


def create(tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None) -> Made:
    """Make a conversation.

    Raises
    ------
    ConversationAlreadyExists, ConversationErased : the id is taken
    IdempotencyKeyReused : the request's key came with another request before
    ConversationErased : an earlier try of this request had made it, and it was erased since
    """
    genesis = _genesis(tenant, new, created_by)
    marker = marker_put(request, {"conversationId": genesis.conversation_id}) if request else None
    head, earlier_marker = _write(genesis, marker)
    if request is None or earlier_marker is None:
        return Made(head)
    earlier = result_of(request, earlier_marker)["conversationId"]
    demand_tail(tenant, earlier)
    made, entry = read_genesis_entry(conversation_pk(tenant, earlier))
    return Made(first_head(made, Tail.of(entry)), replayed=True)


def get_or_create(tenant: str, new: NewConversation, created_by: str) -> Made:
    """The conversation of these participants, made if there is none; however many ask at once, it is one."""
    pk = holder_pk(tenant, new.type, new.participants)
    erased = None
    for _ in tries(settings().append_patience_s):
        holder = read_holder(pk)
        if holder and holder != erased:
            tail = read_tail(conversation_pk(tenant, holder))
            if tail is None or tail.state != ERASED:
                return Made(read_conversation(tenant, holder), created=False)
            erased = holder
        genesis = _genesis(tenant, new, created_by)
        head, faster = _write(genesis, holder_put(pk, genesis.conversation_id, erased))
        if faster is None:
            return Made(head)
    raise AppendConflict(new.conversation_id or pk)


def _genesis(tenant: str, new: NewConversation, created_by: str) -> Genesis:
    return Genesis(
        tenant=tenant,
        conversation_id=new.conversation_id or new_conversation_id(),
        type=new.type,
        participants=new.participants,
        metadata=new.metadata,
        created_by=created_by,
        created_at=now_ms(),
    )


def _write(genesis: Genesis, guard: Mapping[str, Any] | None) -> tuple[Head, Item | None]:
    """Write genesis and head, with a guard whose place in the state table must be free.

    Returns
    -------
    Head and Item or None
        The head, and what stood in the guard's place already: then nothing was written.
    """
    entry = genesis_entry(genesis, secrets.token_hex(8))
    head = first_head(genesis, Tail.of(entry))
    # The head's item first: what it has no room for is said by its field.
    head_put = {"TableName": settings().state_table, "Item": to_head_item(head)}
    puts: list[Any] = [
        {"Put": _entry_put(to_ledger_item(entry))},
        {"Put": head_put},
        *([guard] if guard else []),
    ]
    for _ in tries(settings().append_patience_s):
        try:
            client().transact_write_items(TransactItems=puts)
        except ClientError as error:
            reasons = cancellation_reasons(error)
            if reasons[0].get("Item", {}).get("entryId") == {"S": entry.entry_id}:
                return head, None  # our own: the reply to an earlier try was lost
            if guard and reasons[-1]["Code"] == "ConditionalCheckFailed":
                return head, reasons[-1]["Item"]
            _demand_free(genesis, reasons[0])
            if not {reason["Code"] for reason in reasons} <= RETRIED_REASONS:
                raise
        else:
            tails.put(entry.pk, Tail.of(entry))
            return head, None
    raise AppendConflict(genesis.conversation_id)


def _demand_free(genesis: Genesis, reason: Mapping[str, Any]) -> None:
    if reason["Code"] != "ConditionalCheckFailed":
        return
    tail = read_tail(conversation_pk(genesis.tenant, genesis.conversation_id))
    if tail and tail.state == ERASED:
        raise ConversationErased(genesis.conversation_id)
    raise ConversationAlreadyExists(genesis.conversation_id)


def _entry_put(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "TableName": settings().ledger_table,
        "Item": item,
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
