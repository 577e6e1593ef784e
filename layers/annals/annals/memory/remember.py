"""Remember: a turn of a user and an agent as one entry of their conversation, which is made if it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from annals.access.caller import Caller
from annals.conversations.appending import require_fitting, require_participants, require_same_space
from annals.conversations.create import create_with_messages_if_missing
from annals.conversations.genesis import Genesis, get_genesis
from annals.json_text import dump
from annals.ledger.append import AppendResult, NewRecord, append
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import HIDDEN_STATUSES, Message, memory_field, message_id, new_message, salts_of
from annals.memory.facts.extraction import TurnLine
from annals.memory.facts.fact_creation import get_source_messages
from annals.memory.facts.models import RememberFacts
from annals.memory.facts.turn_facts import TurnFacts, TurnSource, require_facts_fit, store_facts
from annals.memory.memories.memory_presenters import present_memory
from annals.memory.memories.raw_memories import DEFAULT_IMPORTANCE, to_raw_memories
from annals.memory.models import NewTurn, Remember, Remembered
from annals.times import from_rfc3339, to_rfc3339


@dataclass(frozen=True)
class StoredTurn:
    """The entry of a turn, or of a part of it, in its conversation, and the turn's facts."""

    genesis: Genesis
    appended: AppendResult
    facts: TurnFacts = field(default_factory=TurnFacts)

    @property
    def source(self) -> TurnSource:
        """Where the turn's facts come from."""
        entry = self.appended.entry
        ids = tuple(message_id(record.seq) for record in entry.records)
        return TurnSource(self.genesis, ids, entry.at, self.appended.replayed)

    def present(self) -> Remembered:
        """As the API shows it."""
        entry = self.appended.entry
        return {
            "conversation": {
                "conversationId": self.genesis.conversation_id,
                "messageIds": [message_id(record.seq) for record in entry.records],
                "messageCount": entry.count,
            },
            "memories": [present_memory(memory) for memory in to_raw_memories(entry, self.genesis)],
            **self.facts.present(),
        }


def remember(caller: Caller, turn: Remember, request: IdempotentRequest | None = None) -> StoredTurn:
    """Store a turn, both messages or neither, then its facts.

    Sent again with its Idempotency-Key, it returns what is stored of it, and stores what is missing.

    Raises
    ------
    RequestTooLarge : its facts
    and what ``store_turn`` raises
    """
    require_facts_fit(turn.facts)
    stored = store_turn(caller, turn, [user_record(turn), reply_record(turn)], request)
    if any(record.body is None for record in stored.appended.entry.records):
        # A retry after a redaction: what was redacted states nothing any more.
        return stored
    user, agent = turn.user_says, turn.agent_response
    lines = [
        TurnLine(user.name or turn.user_id or "user", user.content),
        TurnLine(agent.name or turn.agent_id or "agent", agent.content),
    ]
    return replace(stored, facts=store_facts(stored.source, turn, [line for line in lines if line.text]))


def remember_facts(caller: Caller, turn: RememberFacts) -> TurnFacts:
    """Store the facts of a turn whose messages are stored, once, however often they are sent.

    Raises
    ------
    RequestTooLarge : the facts
    ParticipantMismatch : the conversation is another user's or agent's
    and what ``get_source_messages`` raises
    """
    require_facts_fit(turn.facts)
    messages = get_source_messages(caller, turn.memory_space_id, turn.conversation_id, turn.message_ids)
    require_participants(get_genesis(caller.tenant, turn.conversation_id), turn.user_id, turn.agent_id)
    if any(message.get("status") in HIDDEN_STATUSES for message in messages):
        return TurnFacts()
    source = TurnSource(
        get_genesis(caller.tenant, turn.conversation_id),
        tuple(turn.message_ids),
        from_rfc3339(messages[0]["timestamp"]),
        replayed=True,
        stated=_name_of_facts(caller, turn),
    )
    return store_facts(source, turn, [_line(turn, message) for message in messages if message.get("content")])


def _name_of_facts(caller: Caller, turn: RememberFacts) -> str:
    """The same name for the same facts of a turn, from which nobody can tell them once its messages are redacted."""
    salts = salts_of(conversation_pk(caller.tenant, turn.conversation_id), turn.message_ids)
    return sha256(salts + dump([fact.model_dump() for fact in turn.facts]).encode()).hexdigest()


def _line(turn: RememberFacts, message: Message) -> TurnLine:
    owner = turn.user_id if message["role"] == "user" else turn.agent_id
    return TurnLine(message.get("name") or owner or message["role"], message["content"])


def store_turn(
    caller: Caller, turn: NewTurn, records: Sequence[NewRecord], request: IdempotentRequest | None
) -> StoredTurn:
    """Append messages of a turn to its conversation; one that is missing is made with them, or not at all.

    Raises
    ------
    InvalidInput : OWNER_REQUIRED
    NotFound : the memory space, or the conversation's, is not open to the caller
    MemorySpaceMismatch, ParticipantMismatch : the conversation belongs to another space, user or agent
    and what ``ledger.append`` raises
    """
    turn.require_owner()
    caller.require_space(turn.memory_space_id)
    new, thread_id = turn.to_new_conversation(), turn.thread_id
    created = create_with_messages_if_missing(caller.tenant, new, caller.key_id, records, request, thread_id)
    if created:
        return StoredTurn(*created)
    genesis = get_genesis(caller.tenant, str(turn.conversation_id))
    require_same_space(caller, genesis, turn.memory_space_id)
    require_participants(genesis, turn.user_id, turn.agent_id)
    if turn.conversation and turn.conversation.names_participants:
        require_fitting(caller, genesis, new)
    appended = append(caller.tenant, genesis.conversation_id, records, request=request, thread_id=thread_id)
    return StoredTurn(genesis, appended)


def user_record(turn: NewTurn) -> NewRecord:
    """The record of what the user said."""
    user = {} if turn.user_id is None else {"userId": turn.user_id}
    return new_message({**turn.user_says.stored_fields(), **message_fields(turn), **user})


def reply_record(turn: Remember) -> NewRecord:
    """The record of what the agent answered."""
    return new_message({**turn.agent_response.stored_fields(), **message_fields(turn)})


def message_fields(turn: NewTurn, answers: int | None = None) -> dict[str, Any]:
    """The fields of both messages of a turn, beside role and text; of a reply also the seq that it answers."""
    fields: dict[str, Any] = {
        "participantId": turn.participant_id,
        "threadId": turn.thread_id,
        "runId": turn.run_id,
        "metadata": turn.metadata,
        "timestamp": to_rfc3339(turn.timestamp) if turn.timestamp is not None else None,
    }
    importance = turn.importance if turn.importance != DEFAULT_IMPORTANCE else None
    given = {name: value for name, value in fields.items() if value is not None}
    return {**given, **memory_field(importance, turn.tags, answers)}
