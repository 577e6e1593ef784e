"""Making conversations: genesis, head, first messages and markers in one transaction, never one without the others."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annals import telemetry
from annals.conversations.genesis import Genesis, genesis_entry, get_genesis, get_genesis_entry
from annals.conversations.heads import Head, initial_head, to_head_item
from annals.conversations.participant_locks import find_locked_conversation, lock_pk, lock_put
from annals.conversations.read import get_head
from annals.database.dynamodb import Item
from annals.database.retries import tries
from annals.database.transactions import transact, try_transaction
from annals.errors import ConversationAlreadyExists, ConversationErased, WriteConflict
from annals.ledger.append import (
    AppendResult,
    NewRecord,
    append,
    entry_put,
    next_entry,
    replay_marker,
)
from annals.ledger.entry import ERASED, NO_HASH, OPEN, Entry, Tail
from annals.ledger.idempotency import IdempotentRequest, entry_marker_put, find_marker, marker_put
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.tail import read_tail, tails
from annals.settings import settings
from annals.times import now_ms


@dataclass(frozen=True)
class NewConversation:
    """What a caller says of a conversation to be made; without an id it gets one."""

    type: str
    participants: Mapping[str, str]
    metadata: Mapping[str, Any]
    conversation_id: str | None = None


@dataclass(frozen=True)
class CreateResult:
    """A conversation and whether it was made now; ``replayed`` if an earlier try of this request had made it."""

    head: Head
    created: bool = True
    replayed: bool = False


def new_conversation_id() -> str:
    """A new id."""
    return f"conv-{secrets.token_hex(10)}"


def create(
    tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None
) -> CreateResult:
    """Make a conversation.

    Raises
    ------
    ConversationAlreadyExists, ConversationErased : the id is taken
    IdempotencyKeyReused : the request's key came with another request before
    ConversationErased : an earlier try of this request had made it, and it was erased since
    """
    genesis, entry = _genesis(tenant, new, created_by, request)
    found = _write([entry], genesis, _marker(request, entry))
    if request and (marker := found.get(MARKER)):
        earlier = replay_marker(request, marker, entry).entry
        return CreateResult(_made(earlier.pk), replayed=True)
    return CreateResult(initial_head(genesis, Tail.of(entry)))


def create_with_messages(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
) -> tuple[Genesis, AppendResult]:
    """Make a conversation with its first messages, or neither. An earlier try of the request is the answer.

    Raises
    ------
    ConversationAlreadyExists, ConversationErased : the id is taken
    EntryTooLarge, and what ``ledger.append`` raises of the request
    """
    genesis, entries = _begun(tenant, new, created_by, records, request, thread_id)
    found = _write(entries, genesis, _marker(request, entries[1]))
    return _answer(genesis, entries[1], request, found)


def get_or_create(
    tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None
) -> CreateResult:
    """The conversation of these participants, made if there is none; however many ask at once, it is one.

    Raises IdempotencyKeyReused, and ConversationErased where an earlier try of the request found what was erased since.
    """
    pk = lock_pk(tenant, new.type, new.participants)
    for _ in tries(settings().append_patience_s):
        if request and (found := find_marker(request)):
            return _asked_before(tenant, request, found)
        held, erased = _read_held(tenant, pk)
        if held:
            head = get_head(tenant, held)
            if not request or try_transaction([_told_put(request, head.pk)]):
                return CreateResult(head, created=False)
            continue
        genesis, entry = _genesis(tenant, new, created_by)
        guards = {HOLDER: lock_put(pk, genesis.conversation_id, erased)}
        if request:
            told = {"conversationId": genesis.conversation_id, "created": True}
            guards[MARKER] = marker_put(request, told, entry.salts)
        if not _write([entry], genesis, guards):
            return CreateResult(initial_head(genesis, Tail.of(entry)))
    raise WriteConflict("the conversation of these participants")


def _told_put(request: IdempotentRequest, pk: str) -> dict[str, Any]:
    """The marker of a request that found a conversation."""
    genesis, entry = get_genesis_entry(pk)
    return marker_put(request, {"conversationId": genesis.conversation_id, "created": False}, entry.salts)


def _asked_before(tenant: str, request: IdempotentRequest, marker: Item) -> CreateResult:
    """What an earlier try of the request was told. Raises IdempotencyKeyReused and ConversationErased."""
    told = request.read_result(marker)
    head = get_head(tenant, told["conversationId"])
    _, entry = get_genesis_entry(head.pk)
    request.read_result(marker, entry.salts)
    return CreateResult(_made(head.pk) if told["created"] else head, told["created"], replayed=True)


def append_or_create(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
) -> tuple[Genesis, AppendResult]:
    """Append to the conversation of these participants; if there is none, it is made with what is appended.

    Raises what ``ledger.append`` raises; then no conversation was made.
    """
    pk = lock_pk(tenant, new.type, new.participants)
    for _ in tries(settings().append_patience_s):
        held, erased = _read_held(tenant, pk)
        if held:
            stored = append(tenant, held, records, request=request, thread_id=thread_id)
            return get_genesis(*split_conversation_pk(stored.entry.pk)), stored
        genesis, entries = _begun(tenant, new, created_by, records, request, thread_id)
        holder = {HOLDER: lock_put(pk, genesis.conversation_id, erased)}
        found = _write(entries, genesis, {**_marker(request, entries[1]), **holder})
        if MARKER in found or not found:
            return _answer(genesis, entries[1], request, found)
    raise WriteConflict("the conversation of these participants")


MARKER, HOLDER = "marker", "holder"
"""The guards of a new conversation, whose places in the state table must be free."""


def _made(pk: str) -> Head:
    """A conversation as it was made."""
    genesis, entry = get_genesis_entry(pk)
    return initial_head(genesis, Tail.of(entry))


def _read_held(tenant: str, pk: str) -> tuple[str | None, str | None]:
    """The conversation that participants share, and the one that they shared until it was erased."""
    holder = find_locked_conversation(pk)
    tail = read_tail(conversation_pk(tenant, holder)) if holder else None
    return (None, holder) if tail and tail.state == ERASED else (holder, None)


def _genesis(
    tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None
) -> tuple[Genesis, Entry]:
    genesis = Genesis(
        tenant=tenant,
        conversation_id=new.conversation_id or new_conversation_id(),
        type=new.type,
        participants=new.participants,
        metadata=new.metadata,
        created_by=created_by,
        created_at=now_ms(),
    )
    entry = genesis_entry(genesis, secrets.token_hex(8))
    return genesis, request.marked(entry) if request else entry


def _begun(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None,
    thread_id: str | None,
) -> tuple[Genesis, list[Entry]]:
    """A new conversation's genesis, and its first two entries."""
    genesis, entry = _genesis(tenant, new, created_by)
    first = next_entry(entry.pk, Tail.of(entry), secrets.token_hex(8), records, thread_id=thread_id)
    return genesis, [entry, request.marked(first) if request else first]


def _marker(request: IdempotentRequest | None, entry: Entry) -> dict[str, Mapping[str, Any]]:
    return {MARKER: entry_marker_put(request, entry)} if request else {}


def _answer(
    genesis: Genesis, entry: Entry, request: IdempotentRequest | None, found: Mapping[str, Item]
) -> tuple[Genesis, AppendResult]:
    """What was stored: by this request, or by an earlier try of it."""
    if request is None or not found:
        telemetry.count("Appends")
        return genesis, AppendResult(entry)
    earlier = replay_marker(request, found[MARKER], entry)
    return get_genesis(*split_conversation_pk(earlier.entry.pk)), earlier


def _write(entries: Sequence[Entry], genesis: Genesis, guards: Mapping[str, Mapping[str, Any]]) -> dict[str, Item]:
    """Write a conversation's first entries and its head, with guards whose places in the state table must be free.

    Returns
    -------
    dict of str to Item
        What stood in the places of guards already: then nothing was written.
    """
    # The head's item first: what it has no room for is said by its field.
    head = to_head_item(initial_head(genesis, Tail.of(entries[0])))
    puts: list[Any] = [
        *({"Put": entry_put(entry)} for entry in entries),
        {"Put": {"TableName": settings().state_table, "Item": head}},
        *guards.values(),
    ]
    for _ in tries(settings().append_patience_s):
        cancelled = transact(puts)
        if cancelled is None or cancelled.item(0).get("entryId") == {"S": entries[0].entry_id}:
            break  # the latter is our own: the reply to an earlier try was lost
        positions = enumerate(guards, start=len(entries) + 1)
        if taken := {name: cancelled.item(position) for position, name in positions if cancelled.failed(position)}:
            return taken
        if cancelled.failed(0):
            raise _taken(genesis)
        cancelled.require_retryable()
    else:
        raise WriteConflict(f"conversation {genesis.conversation_id!r}")
    tails.put(entries[0].pk, _tail_of(entries))
    return {}


def _tail_of(entries: Sequence[Entry]) -> Tail:
    tail = Tail.of(entries[0], _NOTHING)
    for entry in entries[1:]:
        tail = Tail.of(entry, tail)
    return tail


_NOTHING = Tail(-1, 0, OPEN, 0, NO_HASH, recent=())
"""What is in front of a genesis."""


def _taken(genesis: Genesis) -> ConversationErased | ConversationAlreadyExists:
    """The refusal of an id that another conversation has, or had."""
    tail = read_tail(conversation_pk(genesis.tenant, genesis.conversation_id))
    if tail and tail.state == ERASED:
        return ConversationErased(genesis.conversation_id)
    return ConversationAlreadyExists(genesis.conversation_id)
