"""Imports: conversations of a file are stored in the ledger, once, however often the file is sent.

What a conversation holds already is compared and left; what is missing at its end is appended; what differs is refused.
So an import that broke off is completed by sending it again. How far a request got that had no time left is kept for a
day, so that each further try goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from annals.access.caller import Caller
from annals.batches import batches
from annals.conversations.create import create, create_with_messages, require_free_session
from annals.conversations.import_comparison import Comparison, compare, is_stored_in, missing_parts
from annals.conversations.import_parsing import BrokenConversation, IncomingConversation, IncomingMessage
from annals.conversations.import_progress import NOT_YET, read_progress, store_progress
from annals.conversations.read import get_tail
from annals.conversations.receipts import receipt_id, receipt_key
from annals.conversations.run_store import create_run_if_missing
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import read_items
from annals.errors import (
    AnnalsError,
    AppendConflict,
    ConversationAlreadyExists,
    ConversationDiffers,
    ConversationErased,
    ConversationSealed,
    DamagedEntry,
    ExternalIdTaken,
    ImportUnfinished,
    MissingParts,
    PreconditionFailed,
    SessionAlreadyExists,
)
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import Entry
from annals.ledger.entry_items import from_ledger_item
from annals.ledger.external_ids import MAX_EXTERNAL_IDS
from annals.ledger.freed_ids import with_freed_ids
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.marks import archive, seal
from annals.ledger.messages import SUPERSEDES, message_id, new_message, numbered_messages
from annals.ledger.rewound import Rewound, read_rewound
from annals.retries import tries
from annals.settings import settings

MAX_BATCH_BYTES = 300 * 1024
"""How many bytes of messages go into one entry, so that the entry stays well below what it can hold."""

RECORD_BYTES = 100
"""What a record takes beside its body."""

WRITERS = 8
"""How many conversations are imported side by side."""

STRIDE = 100
"""How many conversations are compared, or imported, between two looks at the clock."""

BUDGET_S = 18.0
"""How long one request works: what is under way then ends before its function does, which has 29 s."""

FAULTS = (
    ConversationAlreadyExists,
    ConversationDiffers,
    ConversationErased,
    ConversationSealed,
    DamagedEntry,
    ExternalIdTaken,
    SessionAlreadyExists,
)
"""What keeps one conversation from being imported, and not the others. The order is stored."""

BROKEN = -2
"""Stands for how many messages a conversation took that the first of FAULTS keeps out; each further one is one less."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class ImportResult:
    """What an import did to a conversation: how many messages it appended, how many were there before."""

    conversation_id: str
    imported: int
    skipped: int


@dataclass(frozen=True)
class ImportResults:
    """What an import did to each conversation, and those that it left out, with the reasons."""

    imported: list[ImportResult]
    broken: list[BrokenConversation]


def import_all(
    caller: Caller,
    incoming: Sequence[IncomingConversation],
    request: bytes,
    *,
    skip_broken: bool = False,
    dry_run: bool = False,
) -> ImportResults:
    """Import conversations. All of them are compared with what is stored before anything is stored.

    Parameters
    ----------
    request : all that the request says; the same request, sent again, goes on from where this one gets
    skip_broken : leave out a conversation that cannot be imported, instead of importing none
    dry_run : store nothing, and say what would be imported

    Raises
    ------
    NotFound : a memory space is not open to the caller
    ConversationErased : a conversation was erased
    ConversationAlreadyExists : a conversation is there with another type or other participants
    ConversationDiffers : a conversation holds other messages, or lacks those of earlier parts
    ConversationSealed : a conversation takes no more messages, and some are missing
    SessionAlreadyExists : a conversation is a session that another one is already
    AppendConflict : others kept writing to a conversation
    ImportUnfinished : the time is over; the same request goes on from where this one got
    """
    for each in incoming:
        caller.require_space(each.new.participants.get("memorySpaceId"))
    return _Import(caller, incoming, request, skip_broken=skip_broken, dry_run=dry_run).run()


class _Import:
    """The work on one request: first all conversations are compared, then imported, each in their order.

    How far it is are the numbers of messages that each conversation took, of those that were compared so far; NOT_YET
    stands for one that is still to be imported, BROKEN and less for one that is left out.
    """

    def __init__(
        self,
        caller: Caller,
        incoming: Sequence[IncomingConversation],
        request: bytes,
        *,
        skip_broken: bool,
        dry_run: bool,
    ) -> None:
        self._caller = caller
        self._incoming = incoming
        self._request = request
        self._skip_broken = skip_broken
        self._dry_run = dry_run
        self._broken: dict[str, AnnalsError] = {}
        self._deadline = time.monotonic() + BUDGET_S

    def run(self) -> ImportResults:
        counts = read_progress(self._caller, self._request) if len(self._incoming) > STRIDE else []
        resumed = bool(counts)
        while len(counts) < len(self._incoming):
            counts += self._compare(self._incoming[len(counts) : len(counts) + STRIDE])
            self._require_time(counts)
        work = self._compare if self._dry_run else self._import_some
        rest = [index for index, count in enumerate(counts) if count == NOT_YET]
        while rest:
            part, rest = rest[:STRIDE], rest[STRIDE:]
            for index, count in zip(part, work([self._incoming[index] for index in part]), strict=True):
                counts[index] = count
            self._require_time(counts)
        if resumed:
            store_progress(self._caller, self._request, [])
        results = ImportResults([], [])
        for each, count in zip(self._incoming, counts, strict=True):
            if count > BROKEN:
                results.imported.append(ImportResult(each.conversation_id, count, len(each.messages) - count))
            else:
                refusal = self._broken.get(each.conversation_id) or _refusal_of(each, count)
                results.broken.append(BrokenConversation(each.place, refusal, each.conversation_id))
        return results

    def _require_time(self, counts: list[int]) -> None:
        """Raise ImportUnfinished where the time is over before all is done; how far it got is stored then."""
        done = len(counts) - counts.count(NOT_YET)
        if done < len(self._incoming) and time.monotonic() > self._deadline:
            store_progress(self._caller, self._request, counts)
            raise ImportUnfinished(done, len(self._incoming))

    def _compare(self, part: Sequence[IncomingConversation]) -> list[int]:
        """What is left to do for some conversations: 0 for those that are stored as a whole, NOT_YET for others.

        In a dry run it is how many messages each would take. Raises what keeps one from being imported; where that is
        skipped, it is BROKEN or less.
        """
        existing = self._read_existing(part)
        # Most files that are sent again hold small conversations, and those are read many at a time.
        whole = self._read_whole([each for each in part if each.conversation_id in existing])

        def look(each: IncomingConversation) -> int:
            if each.conversation_id in whole:
                return 0
            comparison = self._find_stored(each, is_there=each.conversation_id in existing)
            if comparison and comparison.is_all_of(each):
                return 0
            return len(each.messages) - (comparison.stored_count if comparison else 0) if self._dry_run else NOT_YET

        return _side_by_side(lambda each: self._unless_broken(look, each), part)

    def _find_stored(self, incoming: IncomingConversation, *, is_there: bool) -> Comparison | None:
        """How much of a conversation is stored; None where nothing is, or, in a dry run, not even its earlier parts."""
        if is_there:
            try:
                return compare(self._caller.tenant, self._pk(incoming), incoming)
            except MissingParts:
                if not self._dry_run:
                    raise
        elif incoming.offset and not self._dry_run:
            raise missing_parts(incoming, 0)
        else:
            require_free_session(self._caller.tenant, incoming.new)
        return None

    def _unless_broken(self, work: Callable[[IncomingConversation], int], incoming: IncomingConversation) -> int:
        """Do the work on a conversation; BROKEN or less if it is refused and skipped. A refusal names its place."""
        try:
            return work(incoming)
        except FAULTS as refusal:
            refusal.detail = incoming.place.before(refusal.detail)
            if not self._skip_broken:
                raise
            self._broken[incoming.conversation_id] = refusal
            return BROKEN - next(place for place, fault in enumerate(FAULTS) if isinstance(refusal, fault))

    def _import_some(self, part: Sequence[IncomingConversation]) -> list[int]:
        """Import conversations; how many messages each took."""
        existing = self._read_existing(part)

        def store(each: IncomingConversation) -> int:
            return self._import_one(each, is_there=each.conversation_id in existing)

        return _side_by_side(lambda each: self._unless_broken(store, each), part)

    def _import_one(self, incoming: IncomingConversation, *, is_there: bool) -> int:
        """Create the conversation if it is missing, and append what it lacks; how many messages it took."""
        created_with = None if is_there else self._create(incoming)
        imported = created_with or 0
        if created_with == len(incoming.messages) and not incoming.is_more_than_messages:
            return imported
        for _ in tries(settings().append_patience_s):
            comparison = compare(self._caller.tenant, self._pk(incoming), incoming)
            with suppress(PreconditionFailed):
                for count in _append_rest(self._caller, incoming, comparison):
                    imported += count
                _set_marks(self._caller, incoming, self._pk(incoming))
                for run in incoming.runs:
                    create_run_if_missing(self._pk(incoming), run)
                return imported
        raise AppendConflict(incoming.conversation_id)

    def _create(self, incoming: IncomingConversation) -> int | None:
        """Create a conversation with as many messages as one entry holds; how many, or None where it is there.

        Nobody looks for it here, since it was looked for together with others.
        """
        tenant, key_id = self._caller.tenant, self._caller.key_id
        batch = next(_entry_batches(incoming.messages), [])
        # Where another writer creates it between the look and the try, it is compared like any other.
        with suppress(ConversationAlreadyExists):
            if not batch:
                create(tenant, incoming.new, key_id)
            else:
                records = _to_records(self._pk(incoming), incoming, 0, len(batch), first_seq=1)
                create_with_messages(tenant, incoming.new, key_id, records, thread_id=batch[0].thread_id)
            return len(batch)
        return None

    def _read_existing(self, part: Sequence[IncomingConversation]) -> set[str]:
        """The ids of those conversations that exist, or did until they were erased."""
        ids = {self._pk(each): each.conversation_id for each in part}
        keys: list[Item] = [item_key(pk, entry_sk(0)) for pk in ids]
        table = settings().ledger_table
        items = read_items(keys, consistent=True, table=table, ProjectionExpression="pk")
        return {ids[item["pk"]["S"]] for item in items}

    def _read_whole(self, there: Sequence[IncomingConversation]) -> set[str]:
        """The ids of those conversations whose first entry holds all that is incoming, as an earlier try stored it.

        They are read together. One that is missing here may be whole all the same: it has more entries, or something is
        wrong with it, and it is compared by itself.
        """
        small = {self._pk(each): each for each in there if not each.offset and not each.is_more_than_messages}
        keys: list[Item] = [item_key(pk, entry_sk(seq)) for pk in small for seq in (0, 1)]
        entries: dict[str, list[Entry]] = {pk: [] for pk in small}
        for item in read_items(keys, consistent=True, table=settings().ledger_table):
            with suppress(DamagedEntry):
                entry = from_ledger_item(item)
                entries[entry.pk].append(entry)
        # Read after the entries: a conversation whose erasure begins later was there when it was compared.
        erased = self._read_erased(small.values())
        return {
            each.conversation_id
            for pk, each in small.items()
            if each.conversation_id not in erased and is_stored_in(entries[pk], each)
        }

    def _read_erased(self, some: Iterable[IncomingConversation]) -> set[str]:
        """The ids of those conversations whose erasure has begun."""
        tenant = self._caller.tenant
        ids = {receipt_id(self._pk(each)): each.conversation_id for each in some}
        receipts = {receipt_key(tenant, each)["pk"]["S"]: each for each in ids}
        keys: list[Item] = [receipt_key(tenant, each) for each in ids]
        items = read_items(keys, consistent=True, ProjectionExpression="pk")
        return {ids[receipts[item["pk"]["S"]]] for item in items}

    def _pk(self, incoming: IncomingConversation) -> str:
        return conversation_pk(self._caller.tenant, incoming.conversation_id)


def _refusal_of(incoming: IncomingConversation, count: int) -> AnnalsError:
    """Why an earlier try of the request left a conversation out, of which only the kind of reason was kept."""
    fault = FAULTS[BROKEN - count]
    refusal = AnnalsError(incoming.place.before(f"{fault.title}."))
    refusal.code = fault.code
    return refusal


def _side_by_side(work: Callable[[IncomingConversation], _T], incoming: Sequence[IncomingConversation]) -> list[_T]:
    if len(incoming) <= 1:
        return [work(each) for each in incoming]
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(work, incoming))


def _append_rest(caller: Caller, incoming: IncomingConversation, comparison: Comparison) -> Iterator[int]:
    """Append what is missing, entry by entry, and yield how many messages each one took. Raises PreconditionFailed."""
    pk = conversation_pk(caller.tenant, incoming.conversation_id)
    seq, position = comparison.tail.seq, comparison.stored_count
    for batch in _entry_batches(incoming.messages[comparison.stored_count :]):
        records = _to_records(pk, incoming, position, len(batch), first_seq=seq + 1)
        stored = append(
            caller.tenant,
            incoming.conversation_id,
            records,
            expected_seq=seq,
            thread_id=batch[0].thread_id,
            free_ids=with_freed_ids,
        )
        seq, position = stored.entry.last_seq, position + len(batch)
        yield len(batch)
    if incoming.preamble and not comparison.has_preamble:
        append(caller.tenant, incoming.conversation_id, [incoming.preamble], expected_seq=seq)


def _to_records(pk: str, incoming: IncomingConversation, start: int, count: int, *, first_seq: int) -> list[NewRecord]:
    """The records of some messages, from position ``start`` on, which are stored from a seq on.

    Those that supersede others name these by the ids that they have here.
    """
    batch = incoming.messages[start : start + count]
    records: list[NewRecord] = []
    for message in batch:
        if message.supersedes is None:
            records.append(message.record)
            continue
        within = message.supersedes - start
        if within < 0:
            seq = _seq_of_stored(pk, incoming.offset + message.supersedes)
        else:
            seq = first_seq + within
            # The external id of both is that of the newer one.
            if records[within].external_id == message.record.external_id:
                records[within] = replace(records[within], external_id=None)
        records.append(new_message({**message.fields, SUPERSEDES: message_id(seq)}) if seq else message.record)
    return records


def _seq_of_stored(pk: str, after: int) -> int | None:
    """The seq of a message after so many others; None where it is redacted."""
    _, record, _ = next(numbered_messages(read_rewound(pk), after))
    return None if record.body is None else record.seq


def _entry_batches(messages: Sequence[IncomingMessage]) -> Iterator[list[IncomingMessage]]:
    """Messages that go into one entry: of one thread, and no larger than an entry may be."""
    for _, thread in groupby(messages, key=lambda message: message.thread_id):
        yield from batches(thread, _weight, MAX_BATCH_BYTES)


def _weight(message: IncomingMessage) -> int:
    """What a message takes of an entry; what is written beside it takes room in the entry's transaction, too."""
    beside = (message.record.external_id is not None) + (message.supersedes is not None)
    return max(beside * -(-MAX_BATCH_BYTES // MAX_EXTERNAL_IDS), len(message.record.body) + RECORD_BYTES)


def _set_marks(caller: Caller, incoming: IncomingConversation, pk: str) -> None:
    """Archive the messages that were archived, and close the conversation that was closed."""
    archived = max((number for number, message in enumerate(incoming.messages, 1) if message.archived), default=0)
    tail = get_tail(caller.tenant, incoming.conversation_id)
    if archived:
        last = next(numbered_messages(Rewound.at(pk, tail), incoming.offset + archived - 1), None)
        if last and last[1].seq > tail.archived:
            archive(caller.tenant, incoming.conversation_id, last[1].seq, caller.key_id)
    if incoming.is_sealed:
        seal(caller.tenant, incoming.conversation_id, caller.key_id)
