"""Raw memories: every message is one, without a write of its own. Here it is derived from the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annals.conversations.genesis import AGENT_AGENT, Genesis
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.messages import ANSWERED, MEMORY_FIELD, message_id
from annals.memory.memories.memory_items import StoredMemory
from annals.search.message_documents import SourceConversation, SourceMessage, memory_id
from annals.times import from_rfc3339

DEFAULT_IMPORTANCE = 50


def said_in(record: Record) -> dict[str, Any]:
    """All that a record's body says; nothing where it is redacted, or was when it was imported, or is damaged."""
    said = record.said() or {}
    return {} if said.get("status") == "redacted" else said


def memories_of(entry: Entry, genesis: Genesis) -> list[StoredMemory]:
    """The raw memories that an entry's messages are; a redacted message is none."""
    return [
        raw_memory(record, entry, genesis) for record in entry.records if record.kind == MESSAGE and said_in(record)
    ]


def raw_memory(record: Record, entry: Entry, genesis: Genesis) -> StoredMemory:
    """The raw memory that a message is."""
    said = said_in(record)
    marks = said.get(MEMORY_FIELD, {})
    participants = genesis.participants
    return StoredMemory(
        tenant=genesis.tenant,
        memory_id=memory_id(genesis.conversation_id, record.seq),
        memory_space_id=genesis.memory_space_id or "",
        content=said.get("content", ""),
        source_type=source_type(genesis),
        user_id=said.get("userId") or participants.get("userId"),
        agent_id=participants.get("agentId"),
        participant_id=said.get("participantId") or participants.get("participantId"),
        importance=marks.get("importance", DEFAULT_IMPORTANCE),
        tags=tuple(marks.get("tags", ())),
        metadata=said.get("metadata", {}),
        conversation_id=genesis.conversation_id,
        message_ids=(message_id(record.seq),),
        created_at=from_rfc3339(said["timestamp"]) if "timestamp" in said else entry.at,
        updated_at=entry.at,
    )


def source_type(genesis: Genesis) -> str:
    """Where a conversation's memories come from."""
    return "a2a" if genesis.type == AGENT_AGENT else "conversation"


def to_source_conversation(genesis: Genesis) -> SourceConversation:
    """What the search index has to know of a conversation."""
    said = genesis.participants
    return SourceConversation(
        tenant=genesis.tenant,
        conversation_id=genesis.conversation_id,
        memory_space_id=genesis.memory_space_id or "",
        user_id=said.get("userId"),
        agent_id=said.get("agentId"),
        participant_id=said.get("participantId"),
        source_type=source_type(genesis),
    )


def to_source_messages(entry: Entry) -> Iterator[SourceMessage]:
    """The messages of an entry as the search index takes them."""
    for record in entry.records:
        if record.kind == MESSAGE:
            yield _turn(record, entry)


def _turn(record: Record, entry: Entry) -> SourceMessage:
    said = said_in(record)
    marks = said.get(MEMORY_FIELD, {})
    return SourceMessage(
        seq=record.seq,
        message_id=message_id(record.seq),
        text=said.get("content", ""),
        at=from_rfc3339(said["timestamp"]) if "timestamp" in said else entry.at,
        speaker=said.get("name"),
        sender=said.get("from"),
        role=said.get("role"),
        user_id=said.get("userId"),
        participant_id=said.get("participantId"),
        answers=marks.get(ANSWERED),
        thread_id=said.get("threadId"),
        run_id=said.get("runId"),
        metadata=said.get("metadata", {}),
        importance=marks.get("importance", DEFAULT_IMPORTANCE),
        tags=tuple(marks.get("tags", [])),
        digest=record.digest.hex(),
        redacted=not said,
    )
