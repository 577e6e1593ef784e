"""What callers say of facts, as the domain takes it."""

from __future__ import annotations

from annals.access.caller import Caller
from annals.conversations.genesis import read_genesis
from annals.conversations.read import demand_space, demand_tail
from annals.errors import MemorySpaceMismatch, MessageNotFound
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import read_messages
from annals.memory.facts.items import StoredFact
from annals.memory.facts.store import new_fact_id
from annals.memory.models import CreateFact, NewConversationRef
from annals.times import now_ms


def new_fact(caller: Caller, said: CreateFact) -> StoredFact:
    """A new fact of the caller's tenant.

    Raises
    ------
    NotFound : the memory space is not open to the caller
    ConversationNotFound, ConversationErased, MemorySpaceMismatch, MessageNotFound : the source that it names
    """
    caller.demand_space(said.memory_space_id)
    source = said.source_ref
    if source:
        _demand_source(caller, said.memory_space_id, source)
    at = now_ms()
    return StoredFact(
        tenant=caller.tenant,
        fact_id=new_fact_id(),
        memory_space_id=said.memory_space_id,
        fact=said.fact,
        fact_type=said.fact_type,
        confidence=said.confidence,
        subject=said.subject,
        predicate=said.predicate,
        object=said.object,
        valid_from=at if said.valid_from is None else said.valid_from,
        created_at=at,
        user_id=said.user_id,
        participant_id=said.participant_id,
        tags=tuple(said.tags),
        metadata=said.metadata,
        conversation_id=source.conversation_id if source else None,
        message_ids=tuple(source.message_ids) if source else (),
    )


def _demand_source(caller: Caller, space: str, source: NewConversationRef) -> None:
    """Refuse a source that is not there, or belongs to another space."""
    demand_space(caller.tenant, source.conversation_id, caller.spaces)
    demand_tail(caller.tenant, source.conversation_id)
    if read_genesis(caller.tenant, source.conversation_id).memory_space_id != space:
        raise MemorySpaceMismatch(source.conversation_id)
    pk = conversation_pk(caller.tenant, source.conversation_id)
    found = {message["messageId"] for message in read_messages(pk, source.message_ids)}
    for message_id in source.message_ids:
        if message_id not in found:
            raise MessageNotFound(message_id)
