"""Storing events, each once: one that comes again, however often, finds what the first one stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from annals.access.caller import Caller
from annals.conversations.appending import append_for
from annals.conversations.create import (
    NewConversation,
    append_or_create,
    create_if_missing,
    get_or_create,
)
from annals.conversations.genesis import get_genesis
from annals.errors import ConversationAlreadyExists
from annals.ingest.envelope import Envelope, MessagesEnvelope, parse_envelope
from annals.ingest.tenants import get_tenant
from annals.json_text import canonical_text, parse
from annals.ledger.append import NewRecord, find_entry
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.messages import new_message
from annals.memory.remember import remember

RETENTION_S = 15 * 24 * 3600
"""How long an event's key is known: a day longer than a queue keeps a message."""

KEY_ID = "ingest"
"""The creator of conversations that no API key created."""


@dataclass(frozen=True)
class IncomingEvent:
    """An event: the ARN that it came through, its id there, and its text."""

    source: str
    event_id: str
    text: str | bytes

    @property
    def key(self) -> str:
        """The idempotency key, where the event has none of its own."""
        return sha256(f"{self.source}\0{self.event_id}".encode()).hexdigest()


def store(event: IncomingEvent) -> None:
    """Store an event.

    Raises
    ------
    AnnalsError : it cannot be stored; with ``retry_after_s`` it may be later, without it never as it is
    """
    payload = parse(event.text)
    caller = ingest_caller(event.source)
    store_envelope(caller, parse_envelope(payload), ingest_request(caller, event.key, payload))


def ingest_caller(source: str) -> Caller:
    """The caller that stands for a source of events. Raises ConfigurationError."""
    return Caller(get_tenant(source), KEY_ID, frozenset({"write"}))


def ingest_request(caller: Caller, key: str, payload: Any) -> IdempotentRequest:
    """The idempotency of an event: by the key in its payload, if there is one, or else by the one that is passed."""
    own = payload.get("idempotencyKey") if isinstance(payload, dict) else None
    request = IdempotentRequest.of(
        caller.tenant, KEY_ID, str(own or key), canonical_text(payload).encode(), caller=caller.key_id
    )
    return replace(request, retention_s=RETENTION_S)


def store_envelope(caller: Caller, envelope: Envelope, request: IdempotentRequest) -> None:
    """Store the messages or the turn of an envelope."""
    if isinstance(envelope, MessagesEnvelope):
        records = [new_message(message.stored_fields()) for message in envelope.messages]
        store_records(caller, envelope.conversation.target, records, envelope.messages[0].thread_id, request)
    else:
        remember(caller, envelope.turn, request)


def store_records(
    caller: Caller,
    target: str | NewConversation,
    records: Sequence[NewRecord],
    thread_id: str | None,
    request: IdempotentRequest,
) -> None:
    """Append records to a conversation, unless an earlier try of the request did; create it if it is missing."""
    if find_entry(request) is not None:
        return
    if any(record.dimensions for record in records):
        from annals.memory.caller_vectors import require_appendable

        named, new = (target, None) if isinstance(target, str) else ("", target)
        require_appendable(caller, named, new, records)
    if isinstance(target, str):
        append_for(caller, target, records, request=request, thread_id=thread_id)
    elif target.conversation_id is None:
        append_or_create(caller.tenant, target, caller.key_id, records, request, thread_id)
    else:
        append_for(caller, target.conversation_id, records, new=target, request=request, thread_id=thread_id)


def find_or_create(caller: Caller, new: NewConversation) -> str:
    """The id of a conversation that is there, or was created now.

    Raises ConversationAlreadyExists where its id is that of a conversation of another type or of others.
    """
    if new.conversation_id is None:
        return get_or_create(caller.tenant, new, caller.key_id).head.genesis.conversation_id
    created = create_if_missing(caller.tenant, new, caller.key_id)
    genesis = created or get_genesis(caller.tenant, new.conversation_id)
    if not genesis.is_of(new.type, new.participants):
        raise ConversationAlreadyExists(new.conversation_id)
    return new.conversation_id
