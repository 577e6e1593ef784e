"""Imports: conversations brought from a file into the ledger, as often as one likes.

What a conversation holds already is compared and left; what is missing at its end is appended; what differs is refused.
So an import that broke off is completed by sending it again, and no marker of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeVar

from annals.access.caller import Caller
from annals.conversations.create import create
from annals.conversations.genesis import read_genesis
from annals.conversations.import_lines import Brought, BroughtMessage
from annals.conversations.read import demand_tail
from annals.errors import AppendConflict, ConversationAlreadyExists, ConversationDiffers, PreconditionFailed
from annals.json_text import sorted_text
from annals.ledger.append import append
from annals.ledger.entry import Entry, Record, Tail
from annals.ledger.history import read_preamble
from annals.ledger.keys import conversation_pk
from annals.ledger.marks import archive, seal
from annals.ledger.messages import MARKS, numbered_messages, show
from annals.ledger.retry import tries
from annals.ledger.tail import read_tail
from annals.settings import settings

MAX_BATCH_BYTES = 300 * 1024
"""How many bytes of messages go into one entry, so that the entry stays well below what it can hold."""

RECORD_BYTES = 100
"""What a record takes beside its body."""

WRITERS = 8
"""How many conversations are brought in side by side."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Imported:
    """What an import did to a conversation: how many messages it appended, how many were there before."""

    conversation_id: str
    imported: int
    skipped: int


def import_all(caller: Caller, brought: Sequence[Brought]) -> list[Imported]:
    """Bring conversations in. All of them are compared with what there is before anything is stored.

    Raises
    ------
    NotFound : a memory space is not open to the caller
    ConversationErased : a conversation was erased
    ConversationAlreadyExists : a conversation is there with another type or other participants
    ConversationDiffers : a conversation holds other messages, or lacks those of earlier parts
    ConversationSealed : a conversation takes no more messages, and some are missing
    AppendConflict : others kept writing to a conversation
    """
    _side_by_side(lambda each: _check(caller, each), brought)
    return _side_by_side(lambda each: _bring(caller, each), brought)


def _side_by_side(work: Callable[[Brought], _T], brought: Sequence[Brought]) -> list[_T]:
    if len(brought) == 1:
        return [work(brought[0])]
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(work, brought))


def _check(caller: Caller, brought: Brought) -> None:
    """Raise what stands in the way of bringing a conversation in."""
    caller.demand_space(brought.new.participants.get("memorySpaceId"))
    pk = conversation_pk(caller.tenant, brought.conversation_id)
    if read_tail(pk) is not None:
        _find_place(caller.tenant, pk, brought)
    elif brought.offset:
        raise _lacks_parts(brought, 0)


def _bring(caller: Caller, brought: Brought) -> Imported:
    """Make the conversation if it is missing, and append what it lacks."""
    pk = conversation_pk(caller.tenant, brought.conversation_id)
    if read_tail(pk) is None:
        # Where another writer makes it between the look and the try, it is compared like any other.
        with suppress(ConversationAlreadyExists):
            create(caller.tenant, brought.new, caller.key_id)
    imported = 0
    for _ in tries(settings().append_patience_s):
        place = _find_place(caller.tenant, pk, brought)
        with suppress(PreconditionFailed):
            for stored in _append_rest(caller, brought, place):
                imported += stored
            _set_marks(caller, brought, pk)
            return Imported(brought.conversation_id, imported, len(brought.messages) - imported)
    raise AppendConflict(brought.conversation_id)


@dataclass(frozen=True)
class _Place:
    """How far a conversation holds what is brought: up to its tail, so many of the messages, and the preamble."""

    tail: Tail
    held: int
    has_preamble: bool


def _find_place(tenant: str, pk: str, brought: Brought) -> _Place:
    """Compare what is brought with what there is."""
    tail = demand_tail(tenant, brought.conversation_id)
    genesis = read_genesis(tenant, brought.conversation_id)
    if (genesis.type, dict(genesis.participants)) != (brought.new.type, dict(brought.new.participants)):
        raise ConversationAlreadyExists(brought.conversation_id)
    if tail.count < brought.offset:
        raise _lacks_parts(brought, tail.count)
    return _Place(tail, _count_held(pk, tail, brought), _holds_preamble(pk, tail, brought))


def _count_held(pk: str, tail: Tail, brought: Brought) -> int:
    held = 0
    wanted = min(tail.count - brought.offset, len(brought.messages))
    for number, record, entry in islice(numbered_messages(pk, brought.offset), wanted):
        if not _is_same(brought.messages[held], record, entry):
            detail = f"Message {number} of conversation {brought.conversation_id!r} is another one than is imported."
            raise ConversationDiffers(detail, field="messages")
        held += 1
    return held


def _is_same(message: BroughtMessage, record: Record, entry: Entry) -> bool:
    """Whether a record holds a message; one that was redacted meanwhile stays so. An untold time is any time."""
    shown = dict(show(record, entry))
    if shown.get("status") == "redacted":
        return True
    placed = {"messageId", "seq"} | ({"timestamp"} - message.said.keys()) | ({"status"} if message.archived else set())
    found = {name: value for name, value in shown.items() if name not in placed}
    said = {name: value for name, value in message.said.items() if name != MARKS}
    return sorted_text(found) == sorted_text(said)


def _holds_preamble(pk: str, tail: Tail, brought: Brought) -> bool:
    """Whether the preamble is there, or none is brought. Raises ConversationDiffers where another one is there."""
    found = read_preamble(pk, tail) if brought.preamble else None
    if brought.preamble is None or found is None:
        return brought.preamble is None
    if found.get("status") != "redacted" and found.get("content") != brought.preamble_content:
        detail = f"Conversation {brought.conversation_id!r} has another preamble than is imported."
        raise ConversationDiffers(detail, field="preamble")
    return True


def _append_rest(caller: Caller, brought: Brought, place: _Place) -> Iterator[int]:
    """Append what is missing, entry by entry, and tell how many messages each one took. Raises PreconditionFailed."""
    seq = place.tail.seq
    for batch in _batches(brought.messages[place.held :]):
        records = [message.record for message in batch]
        thread_id = batch[0].said.get("threadId")
        stored = append(caller.tenant, brought.conversation_id, records, expected_seq=seq, thread_id=thread_id)
        seq = stored.entry.last_seq
        yield len(batch)
    if brought.preamble and not place.has_preamble:
        append(caller.tenant, brought.conversation_id, [brought.preamble], expected_seq=seq)


def _batches(messages: Sequence[BroughtMessage]) -> Iterator[list[BroughtMessage]]:
    """Messages that go into one entry: of one thread, and no larger than an entry may be."""
    for _, thread in groupby(messages, key=lambda message: message.said.get("threadId")):
        batch: list[BroughtMessage] = []
        size = 0
        for message in thread:
            weight = len(message.record.body) + RECORD_BYTES
            if batch and size + weight > MAX_BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(message)
            size += weight
        yield batch


def _set_marks(caller: Caller, brought: Brought, pk: str) -> None:
    """Archive the messages that were archived, and close the conversation that was closed."""
    archived = max((place for place, message in enumerate(brought.messages, 1) if message.archived), default=0)
    tail = demand_tail(caller.tenant, brought.conversation_id)
    if archived:
        last = next(islice(numbered_messages(pk, brought.offset + archived - 1), 1), None)
        if last and last[1].seq > tail.archived:
            archive(caller.tenant, brought.conversation_id, last[1].seq, caller.key_id)
    if brought.is_sealed:
        seal(caller.tenant, brought.conversation_id, caller.key_id)


def _lacks_parts(brought: Brought, count: int) -> ConversationDiffers:
    detail = (
        f"Conversation {brought.conversation_id!r} holds {count} messages, and this part begins behind "
        f"{brought.offset}: send the earlier parts first."
    )
    return ConversationDiffers(detail, field="offset")
