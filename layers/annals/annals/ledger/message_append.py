"""Appending messages that may have external ids: what is stored of them already is not stored again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from annals.errors import AppendConflict, ConversationErased, ConversationSealed, ExternalIdTaken, PreconditionFailed
from annals.ledger.append import AppendResult, NewRecord, append, find_entry
from annals.ledger.entry import ERASED, MESSAGE, Entry, Record
from annals.ledger.freed_ids import find_held_places, with_freed_ids
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.part_fields import has_same_parts
from annals.ledger.read import read_entry
from annals.ledger.tail import read_tail
from annals.ledger.versions import require_supersedable
from annals.retries import tries
from annals.settings import settings

StoredMessage = tuple[Record, Entry]
"""A message's record, and the entry that holds it."""


def append_messages(
    tenant: str,
    conversation_id: str,
    records: Sequence[NewRecord],
    *,
    expected_seq: int | None = None,
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
    also: Sequence[Mapping[str, Any]] = (),
) -> AppendResult:
    """Append messages as one entry, but for those of known external ids, which are stored already.

    Those that are known come first in the request; the others are appended after them. A message without an external
    id is known by its place, directly beside a known one in the entry of that.

    Parameters
    ----------
    also : more writes for the entry's transaction; not done where every message is known

    Raises
    ------
    ExternalIdTaken : an id is that of another message; or what is known is not what the request begins with
    and what ``ledger.append`` raises; a request of which all is known expects no seq, and no open conversation
    """
    pk, known = conversation_pk(tenant, conversation_id), _find_known(tenant, conversation_id, records)
    for _ in tries(settings().append_patience_s):
        if known and len(known) == len(records):
            return _replay(pk, conversation_id, known, request)
        try:
            stored = append(
                tenant,
                conversation_id,
                records[len(known) :],
                expected_seq=expected_seq,
                request=request,
                thread_id=thread_id,
                also=also,
                check=superseding_check(pk, records[len(known) :]),
                free_ids=with_freed_ids,
            )
        except (ExternalIdTaken, PreconditionFailed, ConversationSealed):
            # Another request may have stored the same meanwhile.
            now_known = _find_known(tenant, conversation_id, records)
            if len(now_known) == len(known):
                raise
            known = now_known
            continue
        if stored.replayed:
            known = _find_known(tenant, conversation_id, records)
        return replace(stored, known=tuple(known))
    raise AppendConflict(conversation_id)


def superseding_check(pk: str, records: Sequence[NewRecord]) -> Callable[[], None] | None:
    """Raises where a message supersedes another one that it may not; None where none does."""
    superseding = [record for record in records if record.supersedes is not None]

    def check() -> None:
        for record in superseding:
            require_supersedable(pk, record)

    return check if superseding else None


def _replay(
    pk: str, conversation_id: str, known: Sequence[StoredMessage], request: IdempotentRequest | None
) -> AppendResult:
    """The answer to messages that are all stored. Raises IdempotencyKeyReused, and ConversationErased."""
    if request:
        find_entry(request)
    tail = read_tail(pk)
    if tail is None or tail.state == ERASED:
        raise ConversationErased(conversation_id)
    newest = max((entry for _, entry in known), key=lambda entry: entry.seq)
    return AppendResult(newest, replayed=True, known=tuple(known))


def _find_known(tenant: str, conversation_id: str, records: Sequence[NewRecord]) -> list[StoredMessage]:
    """The messages of a request that are stored, from the first one on. Raises ExternalIdTaken."""
    if not any(record.external_id is not None for record in records):
        return []
    found = _find_stored(conversation_pk(tenant, conversation_id), records)
    known = list(takewhile(lambda stored: stored is not None, found))
    rest = list(zip(records, found, strict=True))[len(known) :]
    for new, stored in rest:
        if stored and new.external_id is not None:
            raise ExternalIdTaken(new.external_id, "its message is stored, and one before it in this request is not.")
    if known and rest and not any(new.external_id is not None for new, _ in rest):
        last = next(new.external_id for new in reversed(records) if new.external_id is not None)
        why = "its message is stored, without those that follow it here and have no externalId."
        raise ExternalIdTaken(last, why)
    return [stored for stored in known if stored is not None]


def _find_stored(pk: str, records: Sequence[NewRecord]) -> list[StoredMessage | None]:
    """For each message of a request, the stored one, where there is one. Raises ExternalIdTaken."""
    places = find_held_places(pk, [record.external_id for record in records if record.external_id is not None])
    entries: dict[int, Entry] = {}
    found: list[StoredMessage | None] = [None] * len(records)
    for position, new in enumerate(records):
        place = places.get(new.external_id) if new.external_id is not None else None
        if new.external_id is None or place is None or place.seq == new.supersedes:
            continue
        entry = entries.get(place.entry_seq) or read_entry(pk, place.entry_seq)
        entries[place.entry_seq] = entry
        record = entry.records[place.seq - entry.seq]
        if not _is_same(new, record):
            raise ExternalIdTaken(new.external_id)
        found[position] = record, entry
    for step, positions in ((1, range(1, len(records))), (-1, range(len(records) - 2, -1, -1))):
        for position in positions:
            if records[position].external_id is None and found[position] is None:
                found[position] = _find_beside(found[position - step], step, records[position])
    return found


def _find_beside(stored: StoredMessage | None, step: int, new: NewRecord) -> StoredMessage | None:
    """The message directly after a stored one in its entry, or before it, where it is the same as a new one."""
    if stored is None:
        return None
    record, entry = stored
    position = record.seq - entry.seq + step
    if not 0 <= position < len(entry.records) or not _is_same(new, entry.records[position]):
        return None
    return entry.records[position], entry


def _is_same(new: NewRecord, record: Record) -> bool:
    """Whether a stored message is a new one; of one that is redacted nobody can tell any more.

    A message that does not say its time is the same as one that an import gave the time of its export.
    """
    if record.kind != MESSAGE:
        return False
    if record.body is None or record.body == new.body:
        return True
    expected, stored = json.loads(new.body), record.json_body() or {}
    if "timestamp" not in expected:
        stored.pop("timestamp", None)
    return has_same_parts(stored, expected)
