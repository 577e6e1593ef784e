"""What callers say of facts, as the domain takes it."""

from __future__ import annotations

from collections.abc import Sequence

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis
from annals.conversations.read import open_conversation
from annals.errors import MemorySpaceMismatch, MessageNotFound, MessageRedacted
from annals.ledger.messages import Message, read_messages
from annals.memory.facts.fact_items import StoredFact
from annals.memory.facts.models import CreateFact
from annals.memory.facts.store import new_fact_id
from annals.times import now_ms


def new_fact(caller: Caller, said: CreateFact) -> StoredFact:
    """A new fact of the caller's tenant.

    Raises
    ------
    NotFound : the memory space is not open to the caller
    ConversationNotFound, ConversationErased, MemorySpaceMismatch, MessageNotFound, MessageRedacted : its source
    """
    caller.require_space(said.memory_space_id)
    source = said.source_ref
    if source:
        for message in require_source(caller, said.memory_space_id, source.conversation_id, source.message_ids):
            if message.get("status") == "redacted":
                raise MessageRedacted(message["messageId"])
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


def require_source(caller: Caller, space: str, conversation_id: str, message_ids: Sequence[str]) -> list[Message]:
    """The messages that facts come from, in stored order.

    Raises
    ------
    ConversationNotFound, ConversationErased, MessageNotFound
    MemorySpaceMismatch : the conversation belongs to another space
    """
    conversation = open_conversation(caller, conversation_id)
    if get_genesis(caller.tenant, conversation_id).memory_space_id != space:
        raise MemorySpaceMismatch(conversation_id)
    messages = read_messages(conversation.pk, message_ids)
    for message_id in message_ids:
        if message_id not in {message["messageId"] for message in messages}:
            raise MessageNotFound(message_id)
    return messages
