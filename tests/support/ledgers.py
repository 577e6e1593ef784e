"""Ledgers for tests: chains of items made without a table, and conversations in the tables."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from annals.conversations.create import NewConversation, create
from annals.database.dynamodb import client, from_item, to_item
from annals.ledger.append import AppendResult, NewRecord, append
from annals.ledger.entry import GENESIS, MESSAGE, NO_HASH, OPEN, REDACTION, Entry, Record
from annals.ledger.entry_items import from_ledger_item, to_ledger_item
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.messages import new_message
from annals.ledger.read import walk, walk_checked
from annals.ledger.verify import Checkpoint, Verification, verify
from annals.settings import settings

PK = conversation_pk("acme", "conv-1")


def chain(batches: Sequence[Sequence[bytes]], pk: str = PK, at: int = 1_750_000_000_123) -> list[Entry]:
    """A conversation's entries: its genesis, then one per batch of message bodies, a second apart."""
    entries = [Entry(pk, "0" * 16, (Record.new(0, GENESIS, b"{}"),), 0, OPEN, at, NO_HASH).chained()]
    for bodies in batches:
        entries.append(entry_after(entries[-1], bodies))
    return entries


def entry_after(previous: Entry, bodies: Sequence[bytes]) -> Entry:
    """The entry that appends messages with these bodies to another."""
    records = tuple(Record.new(previous.last_seq + 1 + position, MESSAGE, body) for position, body in enumerate(bodies))
    return Entry(
        previous.pk,
        os.urandom(8).hex(),
        records,
        previous.count + len(records),
        OPEN,
        previous.at + 1000,
        previous.hash,
    ).chained()


def withdrawal_after(previous: Entry, seq: int) -> Entry:
    """The entry that redacts the message of a seq, behind another entry."""
    body = json.dumps({"seq": seq, "reason": "asked for", "by": "key-1"}).encode()
    record = Record.new(previous.last_seq + 1, REDACTION, body)
    return replace(entry_after(previous, [b"{}"]), records=(record,), count=previous.count, hash=b"").chained()


def to_values(entry: Entry) -> dict[str, Any]:
    """The attributes of an entry's item as plain values, to be tampered with."""
    return from_item(to_ledger_item(entry))


def from_values(values: dict[str, Any]) -> Entry:
    """The entry that would be read from an item with these attributes."""
    return from_ledger_item(to_item(values))


def new_conversation(tenant: str, conversation_id: str = "conv-1") -> str:
    """A conversation in the tables; its partition key."""
    participants = {"userId": "user-1", "memorySpaceId": "space-1"}
    create(tenant, NewConversation("user-agent", participants, {"made": "for a test"}, conversation_id), "key-1")
    return conversation_pk(tenant, conversation_id)


def say(tenant: str, *contents: str, conversation_id: str = "conv-1", **how: Any) -> AppendResult:
    """Append user messages to a conversation as one entry."""
    return append(tenant, conversation_id, [user_message(content) for content in contents], **how)


def user_message(content: str) -> NewRecord:
    """The record of a user's message."""
    return new_message({"role": "user", "content": content})


def read_contents(pk: str) -> list[str]:
    """The bodies of a conversation's messages, oldest first, each as text."""
    return [(record.body or b"").decode() for entry in walk(pk) for record in entry.records if record.kind == MESSAGE]


def read_seqs(pk: str) -> list[int]:
    """The seqs of all records, genesis first."""
    return [record.seq for entry in walk(pk) for record in entry.records]


def verify_stored(pk: str, checkpoint: Checkpoint | None = None) -> Verification:
    """Verify a conversation as the ledger's table holds it."""
    return verify(walk_checked(pk), pk, checkpoint)


def tamper(pk: str, seq: int, path: str, value: Any) -> None:
    """Change one attribute of a stored entry behind Annals' back."""
    parts = path.replace("[", ".[").split(".")
    names = {f"#{position}": part for position, part in enumerate(parts) if not part.startswith("[")}
    target = ".".join(part if part.startswith("[") else f"#{position}" for position, part in enumerate(parts))
    client().update_item(
        TableName=settings().ledger_table,
        Key={"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}},
        UpdateExpression=f"SET {target.replace('.[', '[')} = :value",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=to_item({":value": value}),
    )
