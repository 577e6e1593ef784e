"""Remember: a turn of a user and an agent in their conversation, which is made if it is missing.

A turn is one entry. Where the reply comes later, such as one that is streamed, its user's message is an entry of its
own, and the reply another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from annals.access.caller import Caller
from annals.conversations.appending import require_fitting, require_participants, require_same_space
from annals.conversations.create import create_with_messages_if_missing
from annals.conversations.genesis import Genesis, get_genesis
from annals.database.transactions import Cancellation
from annals.errors import InvalidInput, MessageRedacted
from annals.json_text import dump
from annals.ledger.append import AppendResult, NewRecord, append
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import HIDDEN_STATUSES, Message, memory_field, message_id, new_message, salts_of
from annals.ledger.read import read_records
from annals.memory.facts.extraction import TurnLine
from annals.memory.facts.fact_creation import get_source_messages
from annals.memory.facts.models import NewTurnFacts, RememberFacts
from annals.memory.facts.turn_facts import EXTRACTED, STATED, TurnFacts, TurnSource, require_facts_fit, store_facts
from annals.memory.memories.memory_presenters import present_memory
from annals.memory.memories.raw_memories import DEFAULT_IMPORTANCE, message_body, to_raw_memories, to_raw_memory
from annals.memory.models import NewTurn, Remember, Remembered, RememberReply, ReplyText, TurnFields
from annals.memory.sources import not_redacted_check
from annals.times import from_rfc3339


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
    """Store a turn, both messages or neither, then its facts; or its user's message alone.

    Sent again with its Idempotency-Key, it returns what is stored of it, and stores what is missing.

    Raises
    ------
    RequestTooLarge : its facts
    and what ``store_turn`` raises
    """
    require_facts_fit(turn.facts)
    reply = turn.agent_response
    records = [user_record(turn), *([reply_record(turn, reply)] if reply else [])]
    stored = store_turn(caller, turn, records, request)
    if any(record.body is None for record in stored.appended.entry.records):
        # A retry after a redaction: what was redacted states nothing any more.
        return stored
    user = turn.user_says
    lines = [TurnLine(user.name or turn.user_id or "user", user.content), *_reply_lines(turn, reply)]
    return replace(stored, facts=_store_facts(stored.source, turn, reply, lines))


def remember_reply(
    caller: Caller, turn: RememberReply, request: IdempotentRequest | None = None
) -> tuple[Remembered, bool]:
    """Store the reply of a turn whose user's message is stored, then the turn's facts.

    Returns what is stored of the whole turn, and whether an earlier try of the request had stored the reply.

    Raises
    ------
    InvalidInput : OWNER_REQUIRED; INVALID_ROLE where the message that is answered is no user's
    MessageRedacted : the message that is answered was redacted
    ParticipantMismatch, RequestTooLarge
    and what ``get_source_messages`` and ``ledger.append`` raise
    """
    require_facts_fit(turn.facts)
    turn.require_owner()
    caller.require_space(turn.memory_space_id)
    conversation_id, question_id = turn.conversation_id, turn.user_message_id
    (question,) = get_source_messages(caller, turn.memory_space_id, conversation_id, [question_id])
    genesis = get_genesis(caller.tenant, conversation_id)
    require_participants(genesis, turn.user_id, turn.agent_id)
    is_hidden = question.get("status") in HIDDEN_STATUSES  # then only a reply that is stored already is returned
    if not is_hidden and question.get("role") != "user":
        raise InvalidInput("INVALID_ROLE", f"{question_id} is no message of a user's.", field="userMessageId")
    seq = question["seq"]
    record = reply_record(turn, turn.agent_response, seq)
    _require_vectors_fit(caller, turn, [record])
    stored = append_reply(caller.tenant, conversation_id, record, seq, request, turn.thread_id)
    remembered = present_turn(genesis, seq, stored)
    reply_id = message_id(stored.entry.seq)
    if is_hidden or stored.entry.records[0].body is None:
        return remembered, stored.replayed
    source = TurnSource(
        genesis,
        (question_id, reply_id),
        stored.entry.at,
        stored.replayed,
        stated=f"{STATED} {reply_id}",
        extracted=f"{EXTRACTED} {reply_id}",
    )
    lines = [_line(turn, question), *_reply_lines(turn, turn.agent_response)]
    facts = _store_facts(source, turn, turn.agent_response, lines)
    return {**remembered, **facts.present()}, stored.replayed


def _reply_lines(turn: TurnFields, reply: ReplyText | None) -> list[TurnLine]:
    return [TurnLine(reply.name or turn.agent_id or "agent", reply.content)] if reply else []


def _store_facts(source: TurnSource, turn: TurnFields, reply: ReplyText | None, lines: Sequence[TurnLine]) -> TurnFacts:
    """Store a turn's facts; of a reply that broke off, none are extracted."""
    if reply and reply.status == "incomplete":
        turn = turn.model_copy(update={"extract_facts": False})
    return store_facts(source, turn, [line for line in lines if line.text])


def append_reply(
    tenant: str,
    conversation_id: str,
    record: NewRecord,
    answered_seq: int,
    request: IdempotentRequest | None,
    thread_id: str | None,
) -> AppendResult:
    """Append the reply to a user's message, on the condition that this one was not redacted.

    Raises MessageRedacted, and what ``ledger.append`` raises.
    """
    check = not_redacted_check(tenant, conversation_id, answered_seq)
    try:
        return append(tenant, conversation_id, [record], request=request, thread_id=thread_id, also=[check])
    except ClientError as error:
        if not Cancellation.of(error).failed(-1):
            raise
        raise MessageRedacted(message_id(answered_seq)) from None


def present_turn(genesis: Genesis, question_seq: int, reply: AppendResult) -> Remembered:
    """What is stored of a turn whose messages are entries of their own, without its facts."""
    pk = conversation_pk(genesis.tenant, genesis.conversation_id)
    question = [
        to_raw_memory(record, entry, genesis)
        for entry in read_records(pk, question_seq, question_seq)
        for record in entry.records
        if record.seq == question_seq and message_body(record)
    ]
    answer = StoredTurn(genesis, reply).present()
    message_ids = [message_id(question_seq), *answer["conversation"]["messageIds"]]
    return {
        "conversation": {**answer["conversation"], "messageIds": message_ids},
        "memories": [*map(present_memory, question), *answer["memories"]],
        "facts": [],
    }


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
        local_time=messages[0].get("localTime"),
        stated=_name_of_facts(caller, turn),
    )
    return store_facts(source, turn, [_line(turn, message) for message in messages if message.get("content")])


def _name_of_facts(caller: Caller, turn: RememberFacts) -> str:
    """The same name for the same facts of a turn, from which nobody can tell them once its messages are redacted."""
    salts = salts_of(conversation_pk(caller.tenant, turn.conversation_id), turn.message_ids)
    return sha256(salts + dump([fact.model_dump() for fact in turn.facts]).encode()).hexdigest()


def _line(turn: NewTurnFacts, message: Message) -> TurnLine:
    owner = turn.user_id if message["role"] == "user" else turn.agent_id
    return TurnLine(message.get("name") or owner or message["role"], message.get("content", ""))


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
    _require_vectors_fit(caller, turn, records)
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


def _require_vectors_fit(caller: Caller, turn: TurnFields, records: Sequence[NewRecord]) -> None:
    """Raise InvalidInput INVALID_EMBEDDING for a vector that the turn's memory space does not take."""
    if lengths := [record.dimensions for record in records if record.dimensions]:
        from annals.memory.caller_vectors import require_vectors_fit

        require_vectors_fit(caller.tenant, turn.memory_space_id, lengths)


def user_record(turn: NewTurn) -> NewRecord:
    """The record of what the user said."""
    user = {} if turn.user_id is None else {"userId": turn.user_id}
    return new_message({**turn.user_says.stored_fields(), **message_fields(turn), **user})


def reply_record(turn: TurnFields, reply: ReplyText, answers: int | None = None) -> NewRecord:
    """The record of what the agent answered; ``answers`` is as in ``reply_fields``."""
    return new_message({**reply.stored_fields(), **reply_fields(turn, answers)})


def reply_fields(turn: TurnFields, answers: int | None = None) -> dict[str, Any]:
    """The fields of a turn's reply, beside role and text: those of both messages, and who answers.

    ``answers`` is the seq of the message that it answers, where the two are no entry together.
    """
    participant = {} if turn.participant_id is None else {"participantId": turn.participant_id}
    return {**message_fields(turn, answers), **participant}


def message_fields(turn: TurnFields, answers: int | None = None) -> dict[str, Any]:
    """The fields of both messages of a turn, beside role and text."""
    fields: dict[str, Any] = {
        "threadId": turn.thread_id,
        "runId": turn.run_id,
        "metadata": turn.metadata,
        **(turn.timestamp.fields() if turn.timestamp else {}),
    }
    importance = turn.importance if turn.importance != DEFAULT_IMPORTANCE else None
    given = {name: value for name, value in fields.items() if value is not None}
    return {**given, **memory_field(importance, turn.tags, answers)}
