"""Events of conversations: one for each entry of the ledger, once the conversation's head includes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from annals.conversations.read import find_conversation_space
from annals.ledger.entry import ARCHIVE, ERASURE, GENESIS, MESSAGE, REDACTION, REWIND, SEAL, Entry
from annals.ledger.keys import split_conversation_pk
from annals.ledger.messages import message_id
from annals.ledger.read import walk_readable
from annals.ledger.rewound import taken_back
from annals.publishing.bus import Event, event_id, publish
from annals.publishing.events import ConversationKind
from annals.times import to_rfc3339

KINDS: dict[str, ConversationKind] = {
    GENESIS: "ConversationCreated",
    MESSAGE: "MessagesAppended",
    REDACTION: "MessageRedacted",
    ARCHIVE: "ConversationArchived",
    REWIND: "ConversationRewound",
    SEAL: "ConversationSealed",
    ERASURE: "ConversationErased",
}
"""The kind of event by the kind of record. Preambles have none."""


def publish_entries(pk: str, seqs: Collection[int]) -> list[int]:
    """Publish the entries at these seqs, as they are now. Returns the seqs of those that the bus did not take."""
    if not seqs:
        return []
    entries = [entry for entry in walk_readable(pk, first=min(seqs), last=max(seqs)) if entry.seq in seqs]
    tenant, conversation_id = split_conversation_pk(pk)
    conversation = {
        "tenant": tenant,
        "conversationId": conversation_id,
        "memorySpaceId": find_conversation_space(tenant, conversation_id),
    }
    events = [
        Event.of(KINDS[entry.records[0].kind], _detail(pk, conversation, entry), entry.seq)
        for entry in entries
        if entry.records[0].kind in KINDS
    ]
    return [event.seq for event in publish(events)]


def _detail(pk: str, conversation: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    return {
        "eventId": event_id(pk, entry.seq, entry.records[0].kind),
        **conversation,
        "fromSeq": entry.seq,
        "toSeq": entry.last_seq,
        "messageCount": entry.count,
        **_message_fields(entry),
        "archivedToSeq": entry.archived if entry.records[0].kind == ARCHIVE else None,
        "rewoundToSeq": taken_back(entry.records[0]).start - 1 if entry.records[0].kind == REWIND else None,
        "at": to_rfc3339(entry.at),
    }


def _message_fields(entry: Entry) -> dict[str, list[str]]:
    """The messages that an entry is about."""
    kind = entry.records[0].kind
    if kind == REDACTION:
        seqs = [(record.json_body() or {}).get("seq") for record in entry.records]
        ids = [message_id(seq) for seq in seqs if isinstance(seq, int)]
        return {"messageIds": ids} if ids else {}
    if kind != MESSAGE:
        return {}
    redacted = [message_id(record.seq) for record in entry.records if record.body is None]
    ids = [message_id(record.seq) for record in entry.records]
    return {"messageIds": ids, "redacted": redacted} if redacted else {"messageIds": ids}
