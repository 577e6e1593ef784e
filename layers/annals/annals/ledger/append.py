"""Append: a compare-and-swap on the place after the tail."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from annals import telemetry
from annals.database.dynamodb import Item, client
from annals.database.retries import tries
from annals.database.transactions import condition_failed, current_item, transact
from annals.errors import (
    AppendConflict,
    ConversationErased,
    ConversationNotFound,
    ConversationSealed,
    PreconditionFailed,
)
from annals.ledger.entry import ERASED, MESSAGE, PREAMBLE, SEALED, Entry, Record, Tail
from annals.ledger.entry_items import from_ledger_item, to_ledger_item
from annals.ledger.idempotency import IdempotentRequest, entry_marker_put, find_result
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.read import read_entry, walk
from annals.ledger.tail import read_tail, salvage_tail, tails
from annals.settings import settings
from annals.times import now_ms


@dataclass(frozen=True)
class NewRecord:
    """A record before it has a place: its kind and the JSON text of its body."""

    kind: str
    body: bytes


@dataclass(frozen=True)
class AppendResult:
    """The entry that holds what was appended; ``replayed`` if an earlier request had stored it already."""

    entry: Entry
    replayed: bool = False


@dataclass(frozen=True)
class _Taken:
    """Another writer was faster, or may have been."""

    winner: Entry | None = None


def append(
    tenant: str,
    conversation_id: str,
    records: Sequence[NewRecord],
    *,
    expected_seq: int | None = None,
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
    state: str | None = None,
    archived: int = 0,
    also: Sequence[Mapping[str, Any]] = (),
    salvage: bool = False,
) -> AppendResult:
    """Append records as one entry, whole or not at all.

    Parameters
    ----------
    tenant : the caller's tenant
    conversation_id : the conversation, which must exist
    records : at least one; they get consecutive seqs
    expected_seq : append only directly after this seq
    request : the request's idempotency; sent again, it finds the first one's entry: where the request comes alone, by
        its marker; where it expects a seq, which takes no marker, in the place behind that; in any case if that is
        one of the last RECENT entries
    thread_id : the thread of all records
    state : the conversation's state from this entry on; without it, the state stays
    archived : messages up to this seq are archived from this entry on, beside those that are already
    also : what else is to be written, or checked, in the entry's own transaction; where one of its conditions does
        not hold, the transaction's own error is raised
    salvage : append also behind an entry that cannot be read

    Raises
    ------
    ConversationNotFound, ConversationErased, ConversationSealed, EntryTooLarge
    PreconditionFailed : the tail is not at ``expected_seq``
    IdempotencyKeyReused : the request's key came with another request before
    AppendConflict : other writers were faster for ``append_patience_s`` seconds
    """
    pk = conversation_pk(tenant, conversation_id)
    entry_id = secrets.token_hex(8)
    # What is written beside the entry may be an older one, and behind a stale tail this one would take its place.
    tail = None if also else tails.get(pk)
    for attempt in tries(settings().append_patience_s):
        if tail is None or expected_seq not in (None, tail.seq) or not _knows(tail, request):
            tail = salvage_tail(pk) if salvage else read_tail(pk, with_recent=request is not None)
        if tail is None:
            raise ConversationNotFound(conversation_id)
        if tail.state == ERASED:
            raise ConversationErased(conversation_id)
        if earlier := _find_recent(pk, tail, request):
            return _replay(earlier)
        if expected_seq is not None and tail.seq != expected_seq:
            return _replay_of_place(pk, expected_seq, tail, request)
        if earlier := _require_open(tail, conversation_id, records, request):
            return _replay(earlier)
        entry = next_entry(pk, tail, entry_id, records, state=state, thread_id=thread_id, archived=archived)
        stored = _store(entry, request, also, by_place=expected_seq is not None)
        if isinstance(stored, AppendResult):
            tails.put(pk, Tail.of(stored.entry, tail)) if not stored.replayed else tails.forget(pk)
            _count(stored, attempt)
            return stored
        tails.forget(pk)
        tail = None
    raise AppendConflict(conversation_id)


def _knows(tail: Tail, request: IdempotentRequest | None) -> bool:
    """Whether a tail tells what must be known of the entries in front of it."""
    return request is None or tail.recent is not None


def _count(stored: AppendResult, retries: int) -> None:
    if not stored.replayed:
        telemetry.count("Appends")
    if retries:
        telemetry.count("AppendRetries", retries)


def _require_open(
    tail: Tail, conversation_id: str, records: Sequence[NewRecord], request: IdempotentRequest | None
) -> Entry | None:
    """Refuse messages for a sealed conversation, unless they were taken before: then that is the answer."""
    if tail.state == SEALED and any(record.kind == MESSAGE for record in records):
        earlier = find_entry(request) if request else None
        if earlier is None:
            raise ConversationSealed(conversation_id)
        return earlier
    return None


def find_entry(request: IdempotentRequest) -> Entry | None:
    """The entry that an earlier request with this key stored. Raises IdempotencyKeyReused if it said another thing."""
    result = find_result(request)
    return _require_same(request, read_entry(result["pk"], result["seq"])) if result else None


def _find_recent(pk: str, tail: Tail, request: IdempotentRequest | None) -> Entry | None:
    """The entry of an earlier request with this key among the last ones, while the key is known."""
    if request is None:
        return None
    seq = next((seq for mark, seq in reversed(tail.recent or ()) if mark == request.id), None)
    entry = read_entry(pk, seq) if seq is not None else None
    if entry is None or entry.at < now_ms() - 1000 * request.retention_s:
        return None
    return _require_same(request, entry)


def _require_same(request: IdempotentRequest, entry: Entry) -> Entry:
    request.require_same(entry)
    return entry


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
    """The entry that holds records behind a tail."""
    placed = tuple(Record.new(tail.seq + 1 + place, new.kind, new.body) for place, new in enumerate(records))
    return Entry(
        pk=pk,
        entry_id=entry_id,
        records=placed,
        count=tail.count + sum(record.kind == MESSAGE for record in placed),
        state=state or tail.state,
        at=max(now_ms(), tail.at),
        prev=tail.hash,
        thread_id=thread_id,
        preamble=max((record.seq for record in placed if record.kind == PREAMBLE), default=tail.preamble),
        archived=max(archived, tail.archived),
    ).chained()


def _store(
    entry: Entry, request: IdempotentRequest | None, also: Sequence[Mapping[str, Any]], *, by_place: bool
) -> AppendResult | _Taken:
    """Put the entry in its place, with the marker of its request where the place itself does not mark it."""
    if request:
        entry = request.marked(entry)
    marker = None if by_place else request
    stored = _put_together(entry, marker, also) if marker or also else _put(entry)
    if isinstance(stored, _Taken) and stored.winner and stored.winner.entry_id == entry.entry_id:
        # The reply to our own put was lost, and the client library sent it again.
        return AppendResult(stored.winner)
    return stored


def _put(entry: Entry) -> AppendResult | _Taken:
    try:
        client().put_item(**entry_put(entry))
    except ClientError as error:
        if condition_failed(error):
            return _Taken(_winner(current_item(error.response)))
        if error.response["Error"]["Code"] == "TransactionConflictException":
            return _Taken(_find_at(entry.pk, entry.seq))
        raise
    return AppendResult(entry)


def _put_together(
    entry: Entry, request: IdempotentRequest | None, also: Sequence[Mapping[str, Any]]
) -> AppendResult | _Taken:
    """Put the entry and the marker of its request and what else belongs to it, all or nothing."""
    marker = [entry_marker_put(request, entry)] if request else []
    writes: list[Any] = [{"Put": entry_put(entry)}, *marker, *also]
    cancelled = transact(writes)
    if cancelled is None:
        return AppendResult(entry)
    if request and cancelled.failed(1):
        return replay_marker(request, cancelled.item(1), entry)
    if cancelled.failed(0):
        return _Taken(_winner(cancelled.item(0)))
    cancelled.require_retryable()
    return _Taken(_find_at(entry.pk, entry.seq))


def entry_put(entry: Entry) -> dict[str, Any]:
    """The put of an entry, on condition that its place is free. Raises EntryTooLarge."""
    return {
        "TableName": settings().ledger_table,
        "Item": to_ledger_item(entry),
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _winner(item: Item) -> Entry | None:
    return from_ledger_item(item) if item else None


def _find_at(pk: str, seq: int) -> Entry | None:
    """The entry that begins at a seq, or None: after a conflict it may be our own, if the reply to it was lost."""
    return next(walk(pk, first=seq, last=seq), None)


def replay_marker(request: IdempotentRequest, marker: Any, ours: Entry) -> AppendResult:
    """The entry to which a marker leads that stood in the way of ours; it may be ours, if the reply to it was lost.

    Raises IdempotencyKeyReused, and ConversationErased where it was erased since.
    """
    result = request.read_result(marker)
    entry = read_entry(result["pk"], result["seq"])
    if result["entryId"] == ours.entry_id:
        return AppendResult(entry)
    return _replay(_require_same(request, entry))


def _replay(entry: Entry) -> AppendResult:
    """An earlier request's entry as the answer to this one, unless its conversation was erased meanwhile."""
    tail = read_tail(entry.pk)
    if tail is None or tail.state == ERASED:
        raise ConversationErased(split_conversation_pk(entry.pk)[1])
    return AppendResult(entry, replayed=True)


def _replay_of_place(pk: str, expected_seq: int, tail: Tail, request: IdempotentRequest | None) -> AppendResult:
    """The answer to a request whose place is taken: its own earlier entry, if that is what stands there."""
    entry = _find_at(pk, expected_seq + 1) if request else None
    if request and entry and entry.idem and entry.idem.id == request.id:
        return AppendResult(_require_same(request, entry), replayed=True)
    raise PreconditionFailed(expected_seq, tail.seq)
