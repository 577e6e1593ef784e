"""Append: a compare-and-swap on the seq after the tail.

The conditional put decides every race, so that a tail from this process' memory will do. Who loses one reads the tail
again and tries the next seq. A single put costs one write unit per KB; it becomes a transaction only where something
has to be written with it, such as the marker of an Idempotency-Key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from annals import telemetry
from annals.database.dynamodb import Item, client
from annals.database.transactions import condition_failed, current_item, transact
from annals.errors import (
    AnnalsError,
    AppendConflict,
    ConversationErased,
    ConversationNotFound,
    ConversationSealed,
    ExternalIdTaken,
    PreconditionFailed,
)
from annals.ledger.entry import ERASED, MESSAGE, PREAMBLE, REWIND, SEALED, Entry, Record, Tail
from annals.ledger.entry_items import from_ledger_item, to_ledger_item
from annals.ledger.external_ids import pointer_puts
from annals.ledger.idempotency import IdempotentRequest, entry_marker_put, find_result
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.message_state import superseding_puts
from annals.ledger.part_fields import may_have_parts
from annals.ledger.read import read_entry, walk
from annals.ledger.tail import read_tail, salvage_tail, tails
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms


@dataclass(frozen=True)
class NewRecord:
    """A record before it has a seq: its kind and the JSON text of its body.

    ``said_at`` is when a message was said, in Unix milliseconds, where its body tells; ``external_id`` is the external
    id in its body, if there is one, and ``supersedes`` the seq of the message that its body says it supersedes.
    ``dimensions`` is how many numbers the vector in its body has, if there is one.
    """

    kind: str
    body: bytes
    said_at: int | None = None
    external_id: str | None = None
    supersedes: int | None = None
    dimensions: int | None = None


RecordsAt = Callable[[Tail], Sequence[NewRecord]]
"""What makes the records of an entry for the tail that it follows; called anew for each try."""

WritesAt = Callable[[Tail], Sequence[Mapping[str, Any]]]
"""What makes more writes for an entry's transaction, for the tail that the entry follows."""


@dataclass(frozen=True)
class AppendResult:
    """The entry that holds what was appended; ``replayed`` if an earlier try of the request had stored it.

    ``known`` are the messages of the request that were stored before, by their external ids, each with its entry: the
    first ones, or all, where nothing else was to be stored. ``entry`` is then the newest of theirs.
    """

    entry: Entry
    replayed: bool = False
    known: tuple[tuple[Record, Entry], ...] = ()


@dataclass(frozen=True)
class _LostRace:
    """Another writer was faster, or may have been; ``winner`` is that one's entry, where it is known."""

    winner: Entry | None = None


def append(
    tenant: str,
    conversation_id: str,
    records: Sequence[NewRecord] | RecordsAt,
    *,
    expected_seq: int | None = None,
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
    state: str | None = None,
    archived: int = 0,
    also: Sequence[Mapping[str, Any]] | WritesAt = (),
    salvage: bool = False,
    signed: IdempotentRequest | None = None,
    check: Callable[[], None] | None = None,
    free_ids: Callable[[Entry, Tail], Entry] | None = None,
) -> AppendResult:
    """Append records as one entry, whole or not at all.

    Parameters
    ----------
    tenant : the caller's tenant
    conversation_id : the conversation, which must exist
    records : at least one; they get consecutive seqs. Or what makes them for a tail as it is now; they have no parts
    expected_seq : append only directly after this seq
    request : the request with its Idempotency-Key; sent again, it gets the first one's entry. That is found by the
        request's marker, or, where it expects a seq and therefore has no marker, at the seq after that; in any case
        among the last RECENT entries
    thread_id : the thread of all records
    state : the conversation's state from this entry on; without it, the state stays
    archived : messages up to this seq are archived from this entry on, besides those that are already
    also : more writes and checks for the entry's transaction, or what makes them for a tail as it is now; where one of
        their conditions does not hold, DynamoDB's error is raised
    salvage : append even after an entry that cannot be read
    signed : the request, where it is found by other means than a marker; the entry keeps a digest of it
    check : raises where the records may not be appended; called before each try, unless an earlier one is found
    free_ids : lets the messages of an entry have the external ids of those that are rewound at a tail

    Raises
    ------
    ConversationNotFound, ConversationErased, ConversationSealed, EntryTooLarge
    PreconditionFailed : the tail is not at ``expected_seq``
    InvalidInput : PART_NOT_UPLOADED
    IdempotencyKeyReused : the request's key came with another request before
    ExternalIdTaken : the conversation has a message with the external id of one of these
    AppendConflict : other writers were faster for ``append_patience_s`` seconds
    """
    pk = conversation_pk(tenant, conversation_id)
    entry_id = secrets.token_hex(8)
    # ``also`` may change an older entry; after a stale tail, this one would take the place of that very entry.
    tail = None if also or callable(records) else tails.get(pk)
    for attempt in tries(settings().append_patience_s):
        if tail is None or expected_seq not in (None, tail.seq) or not _has_recent(tail, request):
            tail = salvage_tail(pk) if salvage else read_tail(pk, with_recent=request is not None)
        if tail is None:
            raise ConversationNotFound(conversation_id)
        if tail.state == ERASED:
            raise ConversationErased(conversation_id)
        if earlier := _find_recent(pk, tail, request):
            return _replay(earlier)
        if expected_seq is not None and tail.seq != expected_seq:
            return _replay_after(pk, expected_seq, tail, request)
        new = records(tail) if callable(records) else records
        if tail.state == SEALED and any(record.kind in (MESSAGE, REWIND) for record in new):
            return _replay_sealed(conversation_id, request)
        if check and (earlier := _check(check, request)):
            return _replay(earlier)
        entry = next_entry(pk, tail, entry_id, new, state=state, thread_id=thread_id, archived=archived)
        if not attempt and not callable(records):
            entry = with_parts(entry)
            records = [replace(new, body=each.body or b"") for new, each in zip(records, entry.records, strict=True)]
        entry = free_ids(entry, tail) if free_ids else entry
        entry = signed.sign(entry) if signed else entry
        beside = also(tail) if callable(also) else also
        stored = _store(entry, request, beside, with_marker=expected_seq is None)
        if isinstance(stored, AppendResult):
            tails.put(pk, Tail.of(stored.entry, tail)) if not stored.replayed else tails.forget(pk)
            _count(stored, attempt)
            return stored
        tails.forget(pk)
        tail = None
    raise AppendConflict(conversation_id)


def _check(check: Callable[[], None], request: IdempotentRequest | None) -> Entry | None:
    """Check whether records may be appended; where they may not, the entry of an earlier try that stored them."""
    try:
        check()
    except AnnalsError:
        if request is None or (earlier := find_entry(request)) is None:
            raise
        return earlier
    return None


def _has_recent(tail: Tail, request: IdempotentRequest | None) -> bool:
    """Whether a tail holds the recent requests, where they are needed."""
    return request is None or tail.recent is not None


def _count(stored: AppendResult, retries: int) -> None:
    if not stored.replayed:
        telemetry.count("Appends")
    if retries:
        telemetry.count("AppendRetries", retries)


def _replay_sealed(conversation_id: str, request: IdempotentRequest | None) -> AppendResult:
    """The answer to messages for a sealed conversation: their own entry, if they were stored before it was sealed."""
    earlier = find_entry(request) if request else None
    if earlier is None:
        raise ConversationSealed(conversation_id)
    return _replay(earlier)


def find_entry(request: IdempotentRequest) -> Entry | None:
    """The entry that an earlier try of a request stored. Raises IdempotencyKeyReused if that was another request."""
    result = find_result(request)
    return request.require_same(read_entry(result["pk"], result["seq"])) if result else None


def _find_recent(pk: str, tail: Tail, request: IdempotentRequest | None) -> Entry | None:
    """The entry of an earlier try of a request among the last ones, within the key's retention."""
    if request is None:
        return None
    seq = next((seq for request_id, seq in reversed(tail.recent or ()) if request_id == request.id), None)
    entry = read_entry(pk, seq) if seq is not None else None
    if entry is None or entry.at < now_ms() - 1000 * request.retention_s:
        return None
    return request.require_same(entry)


def with_parts(entry: Entry) -> Entry:
    """A new entry as it is stored: what it has no room for is beside the ledger from now on, and so are uploads.

    Raises what ``store_parts`` raises.
    """
    if not may_have_parts(entry):
        return entry
    from annals.ledger.part_storing import store_parts  # what stores parts is loaded by the first entry that has some

    bodies = store_parts(entry)
    if bodies is None:
        return entry
    records = tuple(each.with_body(body) for each, body in zip(entry.records, bodies, strict=True))
    return replace(entry, records=records).chained()


def next_entry(
    pk: str,
    tail: Tail,
    entry_id: str,
    records: Sequence[NewRecord],
    *,
    state: str | None = None,
    thread_id: str | None = None,
    archived: int = 0,
) -> Entry:
    """The entry that holds new records, after a tail."""
    numbered = tuple(
        Record.new(seq, new.kind, new.body, new.external_id, new.supersedes)
        for seq, new in enumerate(records, start=tail.seq + 1)
    )
    at = max(now_ms(), tail.at)
    return Entry(
        pk=pk,
        entry_id=entry_id,
        records=numbered,
        count=tail.count + sum(record.kind == MESSAGE for record in numbered),
        state=state or tail.state,
        at=at,
        prev=tail.hash,
        thread_id=thread_id,
        preamble=max((record.seq for record in numbered if record.kind == PREAMBLE), default=tail.preamble),
        archived=max(archived, tail.archived),
        rewind=max((record.seq for record in numbered if record.kind == REWIND), default=tail.rewind),
        said=None if state == ERASED else _last_said_at(records, at, tail),
    ).chained()


def _last_said_at(records: Sequence[NewRecord], at: int, tail: Tail) -> int | None:
    """When the latest message is said, those before the new records included; None where an entry does not store it.

    What is said later than it is stored is said when it is stored: a wrong clock must not stay ahead for ever.
    """
    said = [at if new.said_at is None else min(new.said_at, at) for new in records if new.kind == MESSAGE]
    last = max([*said, *([] if tail.last_message_at is None else [tail.last_message_at])], default=None)
    return None if said and last == at else last


def _store(
    entry: Entry, request: IdempotentRequest | None, also: Sequence[Mapping[str, Any]], *, with_marker: bool
) -> AppendResult | _LostRace:
    """Put the entry at its seq, if that is free, with the marker of its request where it needs one to be found."""
    if request:
        entry = request.sign(entry)
    marker = request if with_marker else None
    pointers, supersedings = pointer_puts(entry), superseding_puts(entry)
    beside = [*pointers, *supersedings, *also]
    stored = _put_in_transaction(entry, marker, beside, len(supersedings)) if marker or beside else _put(entry)
    if isinstance(stored, _LostRace) and stored.winner and stored.winner.entry_id == entry.entry_id:
        # The reply to our own put was lost, and the client library sent it again.
        return AppendResult(stored.winner)
    return stored


def _put(entry: Entry) -> AppendResult | _LostRace:
    try:
        client().put_item(**entry_put(entry))
    except ClientError as error:
        if condition_failed(error):
            return _LostRace(_read_winner(current_item(error.response)))
        if error.response["Error"]["Code"] == "TransactionConflictException":
            return _LostRace(_find_at(entry.pk, entry.seq))
        raise
    return AppendResult(entry)


def _put_in_transaction(
    entry: Entry,
    request: IdempotentRequest | None,
    beside: Sequence[Mapping[str, Any]],
    supersedings: int,
) -> AppendResult | _LostRace:
    """Put the entry, the marker of its request, and what belongs beside it, or nothing.

    Beside it are first the pointers to its messages, then so many supersedings by them. Raises ExternalIdTaken.
    """
    marker = [entry_marker_put(request, entry)] if request else []
    writes: list[Any] = [{"Put": entry_put(entry)}, *marker, *beside]
    cancelled = transact(writes)
    if cancelled is None:
        return AppendResult(entry)
    if request and cancelled.failed(1):
        return replay_marker(request, cancelled.item(1), entry)
    if cancelled.failed(0):
        return _LostRace(_read_winner(cancelled.item(0)))
    external_ids = [record.external_id for record in entry.records if record.external_id is not None]
    for position, external_id in enumerate(external_ids, start=1 + len(marker)):
        if cancelled.failed(position):
            raise ExternalIdTaken(external_id)
    first = 1 + len(marker) + len(external_ids)
    if any(cancelled.failed(position) for position in range(first, first + supersedings)):
        return _LostRace()
    cancelled.require_retryable()
    return _LostRace(_find_at(entry.pk, entry.seq))


def entry_put(entry: Entry) -> dict[str, Any]:
    """The put of an entry, on condition that its seq is free. Raises EntryTooLarge."""
    return {
        "TableName": settings().ledger_table,
        "Item": to_ledger_item(entry),
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _read_winner(item: Item) -> Entry | None:
    return from_ledger_item(item) if item else None


def _find_at(pk: str, seq: int) -> Entry | None:
    """The entry that begins at a seq, or None: after a conflict it may be our own, if the reply to it was lost."""
    return next(walk(pk, first=seq, last=seq), None)


def replay_marker(request: IdempotentRequest, marker: Any, ours: Entry) -> AppendResult:
    """The entry that the marker of an earlier try names; it may be ours, if the reply to our write was lost.

    Raises IdempotencyKeyReused, and ConversationErased where it was erased since.
    """
    result = request.read_result(marker)
    entry = read_entry(result["pk"], result["seq"])
    if result["entryId"] == ours.entry_id:
        return AppendResult(entry)
    return _replay(request.require_same(entry))


def _replay(entry: Entry) -> AppendResult:
    """An earlier request's entry as the answer to this one, unless its conversation was erased meanwhile."""
    tail = read_tail(entry.pk)
    if tail is None or tail.state == ERASED:
        raise ConversationErased(split_conversation_pk(entry.pk)[1])
    return AppendResult(entry, replayed=True)


def _replay_after(pk: str, expected_seq: int, tail: Tail, request: IdempotentRequest | None) -> AppendResult:
    """The answer to a request that expects an older tail: its own earlier entry, if that follows what it expects."""
    entry = _find_at(pk, expected_seq + 1) if request else None
    if request and entry and entry.idem and entry.idem.id == request.id:
        return AppendResult(request.require_same(entry), replayed=True)
    raise PreconditionFailed(expected_seq, tail.seq)
