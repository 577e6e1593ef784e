"""Imports: conversations brought from a file into the ledger, as often as one likes.

What a conversation holds already is compared and left; what is missing at its end is appended; what differs is refused.
So an import that broke off is completed by sending it again. How far a request came that had no time left is kept for a
day, so that each further try goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeVar

from annals.access.caller import Caller
from annals.batches import batches
from annals.conversations.create import create, create_with_messages
from annals.conversations.genesis import get_genesis
from annals.conversations.import_lines import IncomingConversation, IncomingMessage
from annals.conversations.import_progress import NOT_YET, read_progress, store_progress
from annals.conversations.read import get_tail
from annals.conversations.receipts import receipt_id, receipt_key
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import read_items
from annals.errors import (
    AppendConflict,
    ConversationAlreadyExists,
    ConversationDiffers,
    DamagedEntry,
    ImportUnfinished,
    PreconditionFailed,
)
from annals.json_text import canonical_text
from annals.ledger.append import append
from annals.ledger.entry import MESSAGE, Entry, Record, Tail
from annals.ledger.entry_items import from_ledger_item
from annals.ledger.history import read_preamble
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.marks import archive, seal
from annals.ledger.messages import MEMORY_FIELD, numbered_messages, present_message
from annals.retries import tries
from annals.settings import settings

MAX_BATCH_BYTES = 300 * 1024
"""How many bytes of messages go into one entry, so that the entry stays well below what it can hold."""

RECORD_BYTES = 100
"""What a record takes beside its body."""

WRITERS = 8
"""How many conversations are brought in side by side."""

STRIDE = 100
"""How many conversations are looked at, or brought in, between two looks at the clock."""

BUDGET_S = 18.0
"""How long one request works: what is under way then ends before its function does, which has 29 s."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class ImportResult:
    """What an import did to a conversation: how many messages it appended, how many were there before."""

    conversation_id: str
    imported: int
    skipped: int


def import_all(caller: Caller, brought: Sequence[IncomingConversation], said: bytes) -> list[ImportResult]:
    """Bring conversations in. All of them are compared with what there is before anything is stored.

    Parameters
    ----------
    said : all that the request says; sent again, it goes on where it came to

    Raises
    ------
    NotFound : a memory space is not open to the caller
    ConversationErased : a conversation was erased
    ConversationAlreadyExists : a conversation is there with another type or other participants
    ConversationDiffers : a conversation holds other messages, or lacks those of earlier parts
    ConversationSealed : a conversation takes no more messages, and some are missing
    AppendConflict : others kept writing to a conversation
    ImportUnfinished : the time is over; the same request goes on where this one came to
    """
    for each in brought:
        caller.require_space(each.new.participants.get("memorySpaceId"))
    return _Import(caller, brought, said).run()


class _Import:
    """The work on one request: first all conversations are compared, then brought in, each in their order."""

    def __init__(self, caller: Caller, brought: Sequence[IncomingConversation], said: bytes) -> None:
        self._caller = caller
        self._brought = brought
        self._said = said
        self._deadline = time.monotonic() + BUDGET_S

    def run(self) -> list[ImportResult]:
        taken = read_progress(self._caller, self._said) if len(self._brought) > STRIDE else []
        resumed = bool(taken)
        while len(taken) < len(self._brought):
            taken += self._compare(self._brought[len(taken) : len(taken) + STRIDE])
            self._require_time(taken)
        left = [place for place, count in enumerate(taken) if count == NOT_YET]
        while left:
            part, left = left[:STRIDE], left[STRIDE:]
            for place, count in zip(part, self._bring_all([self._brought[place] for place in part]), strict=True):
                taken[place] = count
            self._require_time(taken)
        if resumed:
            store_progress(self._caller, self._said, [])
        return [
            ImportResult(each.conversation_id, count, len(each.messages) - count)
            for each, count in zip(self._brought, taken, strict=True)
        ]

    def _require_time(self, taken: list[int]) -> None:
        """Raise ImportUnfinished where the time is over before all is done; how far it came is stored then."""
        done = len(taken) - taken.count(NOT_YET)
        if done < len(self._brought) and time.monotonic() > self._deadline:
            store_progress(self._caller, self._said, taken)
            raise ImportUnfinished(done, len(self._brought))

    def _compare(self, part: Sequence[IncomingConversation]) -> list[int]:
        """What is left to do for some conversations: nothing is imported of those that are there as a whole.

        Raises what stands in the way of bringing one in.
        """
        begun = self._read_begun(part)
        there = [each for each in part if each.conversation_id in begun]
        for each in part:
            if each.offset and each.conversation_id not in begun:
                raise _lacks_parts(each, 0)
        whole = self._read_whole(there)
        others = [each for each in there if each.conversation_id not in whole]
        places = _side_by_side(lambda each: _find_place(self._caller.tenant, self._pk(each), each), others)
        whole |= {each.conversation_id for each, place in zip(others, places, strict=True) if place.is_all_of(each)}
        return [0 if each.conversation_id in whole else NOT_YET for each in part]

    def _bring_all(self, part: Sequence[IncomingConversation]) -> list[int]:
        """Bring conversations in; how many messages each took."""
        begun = self._read_begun(part)
        return _side_by_side(lambda each: self._bring(each, is_there=each.conversation_id in begun), part)

    def _bring(self, brought: IncomingConversation, *, is_there: bool) -> int:
        """Make the conversation if it is missing, and append what it lacks; how many messages it took."""
        made = None if is_there else self._make(brought)
        imported = made or 0
        if made == len(brought.messages) and not brought.is_more_than_messages:
            return imported
        for _ in tries(settings().append_patience_s):
            place = _find_place(self._caller.tenant, self._pk(brought), brought)
            with suppress(PreconditionFailed):
                for stored in _append_rest(self._caller, brought, place):
                    imported += stored
                _set_marks(self._caller, brought, self._pk(brought))
                return imported
        raise AppendConflict(brought.conversation_id)

    def _make(self, brought: IncomingConversation) -> int | None:
        """Make a conversation with as many of its messages as one entry holds; how many, or None where it is there."""
        tenant, key_id = self._caller.tenant, self._caller.key_id
        batch = next(_entry_batches(brought.messages), [])
        # Where another writer makes it between the look and the try, it is compared like any other.
        with suppress(ConversationAlreadyExists):
            if not batch:
                create(tenant, brought.new, key_id)
            else:
                thread_id = batch[0].said.get("threadId")
                create_with_messages(
                    tenant, brought.new, key_id, [message.record for message in batch], thread_id=thread_id
                )
            return len(batch)
        return None

    def _read_begun(self, part: Sequence[IncomingConversation]) -> set[str]:
        """The ids of those conversations that there are, whatever became of them."""
        names = {self._pk(each): each.conversation_id for each in part}
        keys: list[Item] = [item_key(pk, entry_sk(0)) for pk in names]
        table = settings().ledger_table
        found = read_items(keys, consistent=True, table=table, ProjectionExpression="pk")
        return {names[item["pk"]["S"]] for item in found}

    def _read_whole(self, there: Sequence[IncomingConversation]) -> set[str]:
        """The ids of those conversations whose first entry holds all that is brought, as an earlier try stored it.

        They are read together. Of any other, and of one that anything may be wrong with, nothing is said.
        """
        small = {self._pk(each): each for each in there if not each.offset and not each.is_more_than_messages}
        keys: list[Item] = [item_key(pk, entry_sk(seq)) for pk in small for seq in (0, 1)]
        first: dict[str, list[Entry]] = {pk: [] for pk in small}
        for item in read_items(keys, consistent=True, table=settings().ledger_table):
            with suppress(DamagedEntry):
                entry = from_ledger_item(item)
                first[entry.pk].append(entry)
        # Behind the entries: what is erased after them was there when it was compared.
        erased = self._read_erased(small.values())
        return {
            each.conversation_id
            for pk, each in small.items()
            if each.conversation_id not in erased and _holds_all(first[pk], each)
        }

    def _read_erased(self, some: Iterable[IncomingConversation]) -> set[str]:
        """The ids of those conversations whose erasure has begun."""
        tenant = self._caller.tenant
        names = {receipt_id(self._pk(each)): each.conversation_id for each in some}
        keys = {receipt_key(tenant, name)["pk"]["S"]: name for name in names}
        wanted: list[Item] = [receipt_key(tenant, name) for name in names]
        found = read_items(wanted, consistent=True, ProjectionExpression="pk")
        return {names[keys[item["pk"]["S"]]] for item in found}

    def _pk(self, brought: IncomingConversation) -> str:
        return conversation_pk(self._caller.tenant, brought.conversation_id)


def _side_by_side(work: Callable[[IncomingConversation], _T], brought: Sequence[IncomingConversation]) -> list[_T]:
    if len(brought) <= 1:
        return [work(each) for each in brought]
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(work, brought))


@dataclass(frozen=True)
class _Place:
    """How far a conversation holds what is brought: up to its tail, so many of the messages, and the preamble."""

    tail: Tail
    held: int
    has_preamble: bool

    def is_all_of(self, brought: IncomingConversation) -> bool:
        """Whether that is all that is brought. Marks are looked at where there are any."""
        is_all = self.held == len(brought.messages) and self.has_preamble
        return is_all and not brought.is_more_than_messages


def _holds_all(entries: Sequence[Entry], brought: IncomingConversation) -> bool:
    """Whether a conversation's genesis and first entry are the one that is brought, and all of its messages."""
    genesis, first = sorted(entries, key=lambda entry: entry.seq) if len(entries) == 2 else (None, None)
    said = genesis.records[0].json_body() if genesis else None
    if said is None or first is None or first.records[0].kind != MESSAGE or len(first.records) < len(brought.messages):
        return False
    made = (said.get("type"), said.get("participants"))
    if made != (brought.new.type, dict(brought.new.participants)):
        return False
    held = zip(brought.messages, first.records, strict=False)
    return all(record.kind == MESSAGE and _is_same(message, record, first) for message, record in held)


def _find_place(tenant: str, pk: str, brought: IncomingConversation) -> _Place:
    """Compare what is brought with what there is."""
    tail = get_tail(tenant, brought.conversation_id)
    genesis = get_genesis(tenant, brought.conversation_id)
    if (genesis.type, dict(genesis.participants)) != (brought.new.type, dict(brought.new.participants)):
        raise ConversationAlreadyExists(brought.conversation_id)
    if tail.count < brought.offset:
        raise _lacks_parts(brought, tail.count)
    return _Place(tail, _count_held(pk, tail, brought), _holds_preamble(pk, tail, brought))


def _count_held(pk: str, tail: Tail, brought: IncomingConversation) -> int:
    held = 0
    wanted = min(tail.count - brought.offset, len(brought.messages))
    for number, record, entry in islice(numbered_messages(pk, brought.offset), wanted):
        if not _is_same(brought.messages[held], record, entry):
            detail = f"Message {number} of conversation {brought.conversation_id!r} is another one than is imported."
            raise ConversationDiffers(detail, field="messages")
        held += 1
    return held


def _is_same(message: IncomingMessage, record: Record, entry: Entry) -> bool:
    """Whether a record holds a message; one that was redacted meanwhile stays so. An untold time is any time."""
    shown = dict(present_message(record, entry))
    if shown.get("status") == "redacted":
        return True
    placed = {"messageId", "seq"} | ({"timestamp"} - message.said.keys()) | ({"status"} if message.archived else set())
    found = {name: value for name, value in shown.items() if name not in placed}
    said = {name: value for name, value in message.said.items() if name != MEMORY_FIELD}
    return canonical_text(found) == canonical_text(said)


def _holds_preamble(pk: str, tail: Tail, brought: IncomingConversation) -> bool:
    """Whether the preamble is there, or none is brought. Raises ConversationDiffers where another one is there."""
    found = read_preamble(pk, tail) if brought.preamble else None
    if brought.preamble is None or found is None:
        return brought.preamble is None
    if found.get("status") != "redacted" and found.get("content") != brought.preamble_content:
        detail = f"Conversation {brought.conversation_id!r} has another preamble than is imported."
        raise ConversationDiffers(detail, field="preamble")
    return True


def _append_rest(caller: Caller, brought: IncomingConversation, place: _Place) -> Iterator[int]:
    """Append what is missing, entry by entry, and tell how many messages each one took. Raises PreconditionFailed."""
    seq = place.tail.seq
    for batch in _entry_batches(brought.messages[place.held :]):
        records = [message.record for message in batch]
        thread_id = batch[0].said.get("threadId")
        stored = append(caller.tenant, brought.conversation_id, records, expected_seq=seq, thread_id=thread_id)
        seq = stored.entry.last_seq
        yield len(batch)
    if brought.preamble and not place.has_preamble:
        append(caller.tenant, brought.conversation_id, [brought.preamble], expected_seq=seq)


def _entry_batches(messages: Sequence[IncomingMessage]) -> Iterator[list[IncomingMessage]]:
    """Messages that go into one entry: of one thread, and no larger than an entry may be."""
    for _, thread in groupby(messages, key=lambda message: message.said.get("threadId")):
        yield from batches(thread, lambda message: len(message.record.body) + RECORD_BYTES, MAX_BATCH_BYTES)


def _set_marks(caller: Caller, brought: IncomingConversation, pk: str) -> None:
    """Archive the messages that were archived, and close the conversation that was closed."""
    archived = max((place for place, message in enumerate(brought.messages, 1) if message.archived), default=0)
    tail = get_tail(caller.tenant, brought.conversation_id)
    if archived:
        last = next(islice(numbered_messages(pk, brought.offset + archived - 1), 1), None)
        if last and last[1].seq > tail.archived:
            archive(caller.tenant, brought.conversation_id, last[1].seq, caller.key_id)
    if brought.is_sealed:
        seal(caller.tenant, brought.conversation_id, caller.key_id)


def _lacks_parts(brought: IncomingConversation, count: int) -> ConversationDiffers:
    detail = (
        f"Conversation {brought.conversation_id!r} holds {count} messages, and this part begins behind "
        f"{brought.offset}: send the earlier parts first."
    )
    return ConversationDiffers(detail, field="offset")
