"""Raw memories: every message is one, without a write of its own.

Here they are derived from the ledger, as memories and as what the search index takes of a conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from annals.conversations.genesis import AGENT_AGENT, Genesis
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.messages import ANSWERED, EMBEDDING, MEMORY_FIELD, message_id
from annals.ledger.versions import superseded_seq
from annals.memory.memories.memory_items import StoredMemory
from annals.packed_vectors import unpack
from annals.search.message_documents import SourceConversation, SourceMessage, memory_id
from annals.times import from_rfc3339

DEFAULT_IMPORTANCE = 50


def message_body(record: Record) -> dict[str, Any]:
    """The body of a record; empty where it is redacted, or was when it was imported, or is damaged."""
    body = record.json_body() or {}
    return {} if body.get("status") == "redacted" else body


def to_raw_memories(entry: Entry, genesis: Genesis) -> list[StoredMemory]:
    """The raw memories that an entry's messages are; a redacted message is none."""
    return [
        to_raw_memory(record, entry, genesis)
        for record in entry.records
        if record.kind == MESSAGE and message_body(record)
    ]


def to_raw_memory(record: Record, entry: Entry, genesis: Genesis) -> StoredMemory:
    """The raw memory that a message is."""
    body = message_body(record)
    memory = body.get(MEMORY_FIELD, {})
    participants = genesis.participants
    return StoredMemory(
        tenant=genesis.tenant,
        memory_id=memory_id(genesis.conversation_id, record.seq),
        memory_space_id=genesis.memory_space_id or "",
        content=body.get("content", ""),
        source_type=source_type(genesis),
        user_id=body.get("userId") or participants.get("userId"),
        agent_id=participants.get("agentId"),
        participant_id=body.get("participantId") or participants.get("participantId"),
        importance=memory.get("importance", DEFAULT_IMPORTANCE),
        tags=tuple(memory.get("tags", ())),
        metadata=body.get("metadata", {}),
        conversation_id=genesis.conversation_id,
        message_ids=(message_id(record.seq),),
        created_at=from_rfc3339(body["timestamp"]) if "timestamp" in body else entry.at,
        local_time=body.get("localTime"),
        updated_at=entry.at,
        embedding=body.get(EMBEDDING),
    )


def source_type(genesis: Genesis) -> str:
    """Where a conversation's memories come from."""
    return "a2a" if genesis.type == AGENT_AGENT else "conversation"


def to_source_conversation(genesis: Genesis) -> SourceConversation:
    """What the search index has to know of a conversation."""
    participants = genesis.participants
    return SourceConversation(
        tenant=genesis.tenant,
        conversation_id=genesis.conversation_id,
        memory_space_id=genesis.memory_space_id or "",
        user_id=participants.get("userId"),
        agent_id=participants.get("agentId"),
        participant_id=participants.get("participantId"),
        source_type=source_type(genesis),
    )


def to_source_messages(entry: Entry) -> Iterator[SourceMessage]:
    """The messages of an entry as the search index takes them."""
    for record in entry.records:
        if record.kind == MESSAGE:
            yield _to_source_message(record, entry)


def _to_source_message(record: Record, entry: Entry) -> SourceMessage:
    body = message_body(record)
    memory = body.get(MEMORY_FIELD, {})
    return SourceMessage(
        seq=record.seq,
        message_id=message_id(record.seq),
        text=body.get("content", ""),
        at=from_rfc3339(body["timestamp"]) if "timestamp" in body else entry.at,
        local_time=body.get("localTime"),
        speaker=body.get("name"),
        sender=body.get("from"),
        role=body.get("role"),
        user_id=body.get("userId"),
        participant_id=body.get("participantId"),
        answers=memory.get(ANSWERED),
        supersedes=superseded_seq(record),
        thread_id=body.get("threadId"),
        run_id=body.get("runId"),
        metadata=body.get("metadata", {}),
        importance=memory.get("importance", DEFAULT_IMPORTANCE),
        tags=tuple(memory.get("tags", [])),
        digest=record.digest.hex(),
        given_vector=unpack(body[EMBEDDING]) if EMBEDDING in body else None,
        redacted=not body,
    )


def seq_ranges(seqs: Sequence[int], max_gap: int) -> Iterator[tuple[int, int]]:
    """The first and the last of seqs, which ascend, that are read together: those without a longer gap between them."""
    start = 0
    for index, seq in enumerate(seqs):
        if index + 1 == len(seqs) or seqs[index + 1] - seq > max_gap:
            yield seqs[start], seq
            start = index + 1
