"""Creating conversations: by their id, by their participants, as a session, or with their first messages.

Genesis, head, first messages, the lock of the participants or of the session, and the marker of an Idempotency-Key are
written in one transaction, so that none of them is ever there without the others.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from annals import telemetry
from annals.conversations.genesis import Genesis, find_genesis, genesis_entry, get_genesis, get_genesis_entry
from annals.conversations.heads import Head, initial_head, to_head_item
from annals.conversations.locks import find_locked_conversation, lock_pk, lock_put, session_lock_pk
from annals.conversations.read import get_head
from annals.database.dynamodb import Item
from annals.database.transactions import transact, try_transaction
from annals.errors import (
    ConversationAlreadyExists,
    ConversationErased,
    SessionAlreadyExists,
    SessionNotFound,
    WriteConflict,
)
from annals.ledger.append import (
    AppendResult,
    NewRecord,
    entry_put,
    next_entry,
    replay_marker,
    with_parts,
)
from annals.ledger.entry import ERASED, NO_HASH, OPEN, Entry, Tail
from annals.ledger.external_ids import pointer_puts
from annals.ledger.idempotency import IdempotentRequest, entry_marker_put, find_marker, marker_put
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.message_append import append_messages
from annals.ledger.message_state import superseding_puts
from annals.ledger.tail import read_tail, tails
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms


@dataclass(frozen=True)
class NewConversation:
    """A conversation to be created; without an id it gets one.

    ``created_at`` is when it was created elsewhere, in Unix milliseconds; without it, or where it is later, now. With
    a ``session_id`` it is a session of its user and its memory space, as far as it has them.
    """

    type: str
    participants: Mapping[str, str]
    metadata: Mapping[str, Any]
    conversation_id: str | None = None
    created_at: int | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class CreateResult:
    """A conversation, whether this request created it, and whether an earlier try of the request is answered again."""

    head: Head
    created: bool = True
    replayed: bool = False


def new_conversation_id() -> str:
    """A new id."""
    return f"conv-{secrets.token_hex(10)}"


def create(
    tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None
) -> CreateResult:
    """Create a conversation.

    Raises
    ------
    ConversationAlreadyExists, ConversationErased : the id is taken
    SessionAlreadyExists : another conversation is the session
    IdempotencyKeyReused : the request's key came with another request before
    ConversationErased : an earlier try of this request created it, and it was erased since
    """
    genesis, entry = _new_genesis(tenant, new, created_by, request)
    taken = _store_new([entry], genesis, _marker_guard(request, entry))
    if request and (marker := taken.get(MARKER)):
        earlier = replay_marker(request, marker, entry).entry
        return CreateResult(_head_when_created(earlier.pk), replayed=True)
    return CreateResult(initial_head(genesis, Tail.of(entry)))


def create_with_messages(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
) -> tuple[Genesis, AppendResult]:
    """Create a conversation with its first messages, or neither. Of a request that was tried before, what that stored.

    Raises
    ------
    ConversationAlreadyExists, ConversationErased : the id is taken
    SessionAlreadyExists : another conversation is the session
    EntryTooLarge, and what ``ledger.append`` raises of the request
    """
    genesis, entries = _first_entries(tenant, new, created_by, records, request, thread_id)
    taken = _store_new(entries, genesis, _marker_guard(request, entries[1]))
    return _stored_or_replayed(genesis, entries[1], request, taken)


def create_if_missing(tenant: str, new: NewConversation, created_by: str) -> Genesis | None:
    """Create a conversation unless there is one of its id, and then return None.

    Raises ConversationErased, SessionAlreadyExists.

    Where another writer creates it between the look and the try, it is there as well: whoever gets None compares the
    conversation with the one that was to be created.
    """
    if new.conversation_id is not None and find_genesis(tenant, new.conversation_id):
        return None
    with suppress(ConversationAlreadyExists):
        return create(tenant, new, created_by).head.genesis
    return None


def create_with_messages_if_missing(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
) -> tuple[Genesis, AppendResult] | None:
    """Create a conversation with its first messages unless there is one of its id, as ``create_if_missing`` does.

    Raises ConversationErased, SessionAlreadyExists, and what ``ledger.append`` raises of the request.
    """
    if new.conversation_id is not None and find_genesis(tenant, new.conversation_id):
        return None
    with suppress(ConversationAlreadyExists):
        return create_with_messages(tenant, new, created_by, records, request, thread_id)
    return None


def get_or_create(
    tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None
) -> CreateResult:
    """The conversation of this session, or else of these participants, created if there is none.

    However many ask at once, it is one. A session that is there may have another agent, and keeps its metadata.

    Raises IdempotencyKeyReused, and ConversationErased where an earlier try of the request got one that was erased
    since.
    """
    pk = _lock_pk_of(tenant, new)
    for _ in tries(settings().append_patience_s):
        if request and (marker := find_marker(request)):
            return _replay(tenant, request, marker)
        shared, erased = _find_shared(tenant, pk)
        if shared:
            head = get_head(tenant, shared)
            if not request or try_transaction([_got_marker_put(request, head.pk)]):
                return CreateResult(head, created=False)
            continue
        genesis, entry = _new_genesis(tenant, new, created_by)
        guards = {LOCK: lock_put(pk, genesis.conversation_id, erased)}
        if request:
            result = {"conversationId": genesis.conversation_id, "created": True}
            guards[MARKER] = marker_put(request, result, entry.salts)
        if not _store([entry], genesis, guards):
            return CreateResult(initial_head(genesis, Tail.of(entry)))
    raise WriteConflict("the conversation of these participants")


def get_session(tenant: str, session_id: str, owners: Mapping[str, str]) -> Head:
    """The conversation that is a session of a user and a memory space, as far as these are named.

    Raises SessionNotFound, also for one that was erased.
    """
    conversation_id = find_locked_conversation(session_lock_pk(tenant, session_id, owners))
    with suppress(ConversationErased):
        if conversation_id is not None:
            return get_head(tenant, conversation_id)
    raise SessionNotFound(session_id)


def require_free_session(tenant: str, new: NewConversation) -> None:
    """Raise SessionAlreadyExists where a conversation would be a session that another one is."""
    if new.session_id is None:
        return
    conversation_id, _ = _find_shared(tenant, session_lock_pk(tenant, new.session_id, new.participants))
    if conversation_id not in (None, new.conversation_id):
        raise SessionAlreadyExists(new.session_id, str(conversation_id))


def append_or_create(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
) -> tuple[Genesis, AppendResult]:
    """Append to the conversation of this session, or else of these participants.

    If there is none, it is created with what is appended.

    Raises what ``ledger.append`` raises; then no conversation was created.
    """
    pk = _lock_pk_of(tenant, new)
    for _ in tries(settings().append_patience_s):
        shared, erased = _find_shared(tenant, pk)
        if shared:
            stored = append_messages(tenant, shared, records, request=request, thread_id=thread_id)
            return get_genesis(*split_conversation_pk(stored.entry.pk)), stored
        genesis, entries = _first_entries(tenant, new, created_by, records, request, thread_id)
        lock = {LOCK: lock_put(pk, genesis.conversation_id, erased)}
        taken = _store(entries, genesis, {**_marker_guard(request, entries[1]), **lock})
        if MARKER in taken or not taken:
            return _stored_or_replayed(genesis, entries[1], request, taken)
    raise WriteConflict("the conversation of these participants")


def _got_marker_put(request: IdempotentRequest, pk: str) -> dict[str, Any]:
    """The marker of a request that got a conversation which was there."""
    genesis, entry = get_genesis_entry(pk)
    return marker_put(request, {"conversationId": genesis.conversation_id, "created": False}, entry.salts)


def _replay(tenant: str, request: IdempotentRequest, marker: Item) -> CreateResult:
    """The answer to an earlier try of the request. Raises IdempotencyKeyReused and ConversationErased."""
    result = request.read_result(marker)
    head = get_head(tenant, result["conversationId"])
    _, entry = get_genesis_entry(head.pk)
    # Now that the salts are at hand, without which the request cannot be told from another with the same key.
    request.read_result(marker, entry.salts)
    return CreateResult(_head_when_created(head.pk) if result["created"] else head, result["created"], replayed=True)


MARKER, LOCK = "marker", "lock"
"""The guards of a new conversation, whose places in the state table must be free."""


def _head_when_created(pk: str) -> Head:
    """A conversation as it was when it was created."""
    genesis, entry = get_genesis_entry(pk)
    return initial_head(genesis, Tail.of(entry))


def _lock_pk_of(tenant: str, new: NewConversation) -> str:
    """The lock that decides which conversation this is."""
    if new.session_id is not None:
        return session_lock_pk(tenant, new.session_id, new.participants)
    return lock_pk(tenant, new.type, new.participants)


def _find_shared(tenant: str, pk: str) -> tuple[str | None, str | None]:
    """The id of the conversation that has a lock, and of the one that had it until it was erased."""
    conversation_id = find_locked_conversation(pk)
    tail = read_tail(conversation_pk(tenant, conversation_id)) if conversation_id else None
    return (None, conversation_id) if tail and tail.state == ERASED else (conversation_id, None)


def _new_genesis(
    tenant: str, new: NewConversation, created_by: str, request: IdempotentRequest | None = None
) -> tuple[Genesis, Entry]:
    at = now_ms()
    genesis = Genesis(
        tenant=tenant,
        conversation_id=new.conversation_id or new_conversation_id(),
        type=new.type,
        participants=new.participants,
        metadata=new.metadata,
        created_by=created_by,
        created_at=at if new.created_at is None else min(new.created_at, at),
        stored_at=at,
        session_id=new.session_id,
    )
    entry = genesis_entry(genesis, secrets.token_hex(8))
    return genesis, request.sign(entry) if request else entry


def _first_entries(
    tenant: str,
    new: NewConversation,
    created_by: str,
    records: Sequence[NewRecord],
    request: IdempotentRequest | None,
    thread_id: str | None,
) -> tuple[Genesis, list[Entry]]:
    """A new conversation's genesis, and its first two entries."""
    genesis, entry = _new_genesis(tenant, new, created_by)
    first = with_parts(next_entry(entry.pk, Tail.of(entry), secrets.token_hex(8), records, thread_id=thread_id))
    return genesis, [entry, request.sign(first) if request else first]


def _marker_guard(request: IdempotentRequest | None, entry: Entry) -> dict[str, Mapping[str, Any]]:
    return {MARKER: entry_marker_put(request, entry)} if request else {}


def _stored_or_replayed(
    genesis: Genesis, entry: Entry, request: IdempotentRequest | None, taken: Mapping[str, Item]
) -> tuple[Genesis, AppendResult]:
    """What was stored: by this request, or by an earlier try of it."""
    if request is None or not taken:
        telemetry.count("Appends")
        return genesis, AppendResult(entry)
    earlier = replay_marker(request, taken[MARKER], entry)
    return get_genesis(*split_conversation_pk(earlier.entry.pk)), earlier


def _store_new(entries: Sequence[Entry], genesis: Genesis, guards: Mapping[str, Mapping[str, Any]]) -> dict[str, Item]:
    """Store a conversation as ``_store`` does, with the lock of its session, if it is one.

    Raises SessionAlreadyExists where another conversation has it, and what is raised of a taken id.
    """
    if genesis.session_id is None:
        return _store(entries, genesis, guards)
    pk = session_lock_pk(genesis.tenant, genesis.session_id, genesis.participants)
    erased = None
    for _ in tries(settings().append_patience_s):
        taken = _store(entries, genesis, {**guards, LOCK: lock_put(pk, genesis.conversation_id, erased)})
        if MARKER in taken or not taken:
            return taken
        shared, erased = _find_shared(genesis.tenant, pk)
        if shared == genesis.conversation_id:
            raise _id_taken(genesis)
        if shared:
            raise SessionAlreadyExists(genesis.session_id, shared)
    raise WriteConflict(f"session {genesis.session_id!r}")


def _store(entries: Sequence[Entry], genesis: Genesis, guards: Mapping[str, Mapping[str, Any]]) -> dict[str, Item]:
    """Store a conversation's first entries and its head, with guards whose places in the state table must be free.

    Returns
    -------
    dict of str to Item
        The items that were in the places of guards already: then nothing was stored.
    """
    # The head's item first: it refuses what it has no room for by the name of its field.
    head = to_head_item(initial_head(genesis, Tail.of(entries[0])))
    puts: list[Any] = [
        *({"Put": entry_put(entry)} for entry in entries),
        {"Put": {"TableName": settings().state_table, "Item": head}},
        *guards.values(),
        *(put for entry in entries for put in (*pointer_puts(entry), *superseding_puts(entry))),
    ]
    for _ in tries(settings().append_patience_s):
        cancelled = transact(puts)
        if cancelled is None or cancelled.item(0).get("entryId") == {"S": entries[0].entry_id}:
            break  # the latter is our own: the reply to an earlier try was lost
        positions = enumerate(guards, start=len(entries) + 1)
        if taken := {name: cancelled.item(position) for position, name in positions if cancelled.failed(position)}:
            return taken
        if cancelled.failed(0):
            raise _id_taken(genesis)
        cancelled.require_retryable()
    else:
        raise WriteConflict(f"conversation {genesis.conversation_id!r}")
    tails.put(entries[0].pk, _tail_of(entries))
    return {}


def _tail_of(entries: Sequence[Entry]) -> Tail:
    tail = Tail.of(entries[0], _BEFORE_GENESIS)
    for entry in entries[1:]:
        tail = Tail.of(entry, tail)
    return tail


_BEFORE_GENESIS = Tail(-1, 0, OPEN, 0, NO_HASH, recent=())
"""The tail of a conversation without an entry."""


def _id_taken(genesis: Genesis) -> ConversationErased | ConversationAlreadyExists:
    """The refusal of an id that another conversation has, or had."""
    tail = read_tail(conversation_pk(genesis.tenant, genesis.conversation_id))
    if tail and tail.state == ERASED:
        return ConversationErased(genesis.conversation_id)
    return ConversationAlreadyExists(genesis.conversation_id)
