"""Creating facts, with all references to them, on the condition that the words they come from are still there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis
from annals.conversations.read import open_conversation
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.errors import MemorySpaceMismatch, MessageNotFound, MessageRedacted
from annals.ledger.entry import SALT_BYTES
from annals.ledger.idempotency import IdempotentRequest, marker_put
from annals.ledger.message_reads import read_messages
from annals.ledger.messages import Message
from annals.memory.facts.fact_items import FACT_PREFIX, DatedFact, StoredFact, batch_key, items_of
from annals.memory.facts.fact_reads import get_dated_fact, read_facts
from annals.memory.facts.models import CreateFact
from annals.memory.sources import Source, write_with_source
from annals.memory.user_traces import trace_keys, trace_puts
from annals.settings import settings
from annals.times import SaidTime, now_ms


def new_fact_id() -> str:
    """A new fact's id."""
    return f"{FACT_PREFIX}{secrets.token_hex(10)}"


def new_fact(caller: Caller, body: CreateFact) -> StoredFact:
    """A new fact of the caller's tenant, not stored yet.

    Raises
    ------
    NotFound : the memory space is not open to the caller
    ConversationNotFound, ConversationErased, MemorySpaceMismatch, MessageNotFound, MessageRedacted : its source
    """
    caller.require_space(body.memory_space_id)
    source = body.source_ref
    if source:
        for message in get_source_messages(caller, body.memory_space_id, source.conversation_id, source.message_ids):
            if message.get("status") == "redacted":
                raise MessageRedacted(message["messageId"])
    at = now_ms()
    since = body.valid_from or SaidTime(at)
    return StoredFact(
        tenant=caller.tenant,
        fact_id=new_fact_id(),
        memory_space_id=body.memory_space_id,
        fact=body.fact,
        fact_type=body.fact_type,
        confidence=body.confidence,
        subject=body.subject,
        predicate=body.predicate,
        object=body.object,
        valid_from=since.ms,
        local_time=since.local,
        created_at=at,
        user_id=body.user_id,
        participant_id=body.participant_id,
        tags=tuple(body.tags),
        metadata=body.metadata,
        conversation_id=source.conversation_id if source else None,
        message_ids=tuple(source.message_ids) if source else (),
    )


def get_source_messages(
    caller: Caller, memory_space_id: str, conversation_id: str, message_ids: Sequence[str]
) -> list[Message]:
    """The messages that facts come from, in stored order.

    Raises
    ------
    ConversationNotFound, ConversationErased, MessageNotFound
    MemorySpaceMismatch : the conversation belongs to another space
    """
    conversation = open_conversation(caller, conversation_id)
    if get_genesis(caller.tenant, conversation_id).memory_space_id != memory_space_id:
        raise MemorySpaceMismatch(conversation_id)
    messages = read_messages(conversation.pk, message_ids)
    for message_id in message_ids:
        if message_id not in {message["messageId"] for message in messages}:
            raise MessageNotFound(message_id)
    return messages


def create_fact(fact: StoredFact, request: IdempotentRequest | None = None) -> tuple[DatedFact, bool]:
    """Store a fact, and return with it whether an earlier try of the request had stored it.

    Raises
    ------
    ConversationErased, MessageRedacted : what it comes from is removed
    RequestTooLarge, IdempotencyKeyReused, WriteConflict
    """
    marker = None
    if request:
        # The digest of the request is salted with what the fact alone has: once it is gone, nobody can guess at it.
        salt = os.urandom(SALT_BYTES)
        fact, marker = replace(fact, salt=salt.hex()), marker_put(request, {"factId": fact.fact_id}, salt)
    source = Source(fact.tenant, fact.conversation_id, fact.message_ids) if fact.conversation_id else None
    earlier = _write([fact], source, guard=marker, subject=f"fact {fact.fact_id!r}")
    if request and earlier:
        dated = get_dated_fact(fact.tenant, request.read_result(earlier)["factId"])
        request.read_result(earlier, bytes.fromhex(dated.fact.salt or ""))
        return dated, True
    return get_dated_fact(fact.tenant, fact.fact_id), False


def create_batch(source: Source, batch: str, facts: Sequence[StoredFact]) -> list[DatedFact]:
    """Store facts of a turn together, once; where that was done already, those of them that are there are the answer.

    Parameters
    ----------
    source : the turn's messages
    batch : the name under which it is stored which facts these are
    facts : up to 25 of the conversation; that there are none is stored, too

    Raises
    ------
    ConversationErased, MessageRedacted, WriteConflict
    """
    tenant = source.tenant
    batch_put = {
        "TableName": settings().state_table,
        "Item": {
            **batch_key(tenant, source.conversation_id, batch),
            **to_item({"factIds": [fact.fact_id for fact in facts]}),
        },
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    subject = f"the facts of conversation {source.conversation_id!r}"
    earlier = _write(facts, source, guard={"Put": batch_put}, subject=subject)
    fact_ids = from_item(earlier)["factIds"] if earlier else [fact.fact_id for fact in facts]
    return list(read_facts(tenant, fact_ids))


def put_fact_traces(fact: StoredFact) -> None:
    """Write the traces from a user to a fact of theirs, of which a former version may have written none."""
    for put in trace_puts(_trace_keys(fact)):
        client().put_item(**put["Put"])


def _trace_keys(fact: StoredFact) -> list[Item]:
    return trace_keys(fact.tenant, fact.user_id, fact.fact_id, fact.conversation_id)


def _write(
    facts: Sequence[StoredFact], source: Source | None, *, guard: Mapping[str, Any] | None, subject: str
) -> Item | None:
    """Write facts together with the put ``guard``, and return what that found, as ``write_with_source`` does."""
    puts = [_put(item) for fact in facts for item in items_of(fact)]
    traces = trace_puts([key for fact in facts for key in _trace_keys(fact)])
    writes = [*([guard] if guard else []), *puts, *traces]
    return write_with_source(source, writes, guards=[0] if guard else [], subject=subject).get(0)


def _put(item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": settings().state_table, "Item": item}}
