"""Erasure of a conversation: everything that was said in it goes. Its chain and its id stay, so that nobody reuses it.

The erasure's record comes first, and with it a receipt: from then on the conversation is gone for everyone. Then what
was made of it is deleted, and every entry is scrubbed. Each step can be done again, so that whoever finds an erasure
unfinished can finish it: the receipt reaches the stream's function, which goes on where nobody else does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from annals import telemetry
from annals.conversations.genesis import get_genesis
from annals.conversations.heads import delete_conversation_state, state_deletes
from annals.conversations.lists import Selection, walk_matches
from annals.conversations.locks import release_locks
from annals.conversations.read import find_conversation_space
from annals.conversations.receipts import (
    Receipt,
    find_receipt,
    get_conversation_receipt,
    lease_end,
    receipt_id,
    receipt_put,
    store_counts,
    store_receipt,
)
from annals.database.dynamodb import Item
from annals.documents.user_documents import delete_traces_of_conversation
from annals.errors import (
    ConversationErased,
    ConversationNotFound,
    DamagedEntry,
    DeleteManyThresholdExceeded,
    InvalidInput,
)
from annals.json_text import dump
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE
from annals.ledger.keys import conversation_pk, seq_of_sk
from annals.ledger.part_deletion import delete_parts_of_conversation
from annals.ledger.read import walk_items, walk_other_items
from annals.ledger.scrub import scrub_item
from annals.ledger.tail import salvage_tail
from annals.memory.facts.fact_deletion import delete_facts_of
from annals.memory.facts.fact_reads import count_facts_of
from annals.memory.memories.memory_deletion import delete_memories_of
from annals.memory.memories.memory_references import count_memories_of
from annals.memory.message_drafts.ending import delete_message_drafts
from annals.memory.streaming.draft_table import delete_drafts
from annals.stored_values.values import delete_values_of
from annals.times import now_ms

RETENTION = "retention"
"""Who erases, and why, where a space's retention does."""

MAX_UNCONFIRMED = 10
"""How many conversations one request may erase without a confirmation."""

MAX_MANY = 1_000
"""How many conversations one request may erase at all."""

WRITERS = 8
"""How many entries are scrubbed side by side."""

BATCH = 200
"""How many entries are scrubbed before the clock is read again, and the receipt stored if the time is over."""


def erase_conversation(tenant: str, conversation_id: str, by: str, budget_s: float) -> Receipt:
    """Erase a conversation, as far as the time goes; what is left over is handed to the stream's function.

    Erasing it again goes on where the last try ended, or returns its receipt. Raises ConversationNotFound.
    """
    return continue_erasure(_begin(tenant, conversation_id, by, leased_until=lease_end(budget_s)), budget_s)


def erase_expired(tenant: str, conversation_id: str, last_seq: int, budget_s: float) -> Receipt:
    """Erase a conversation for its space's retention. Raises PreconditionFailed where it has records after a seq."""
    receipt = _begin(
        tenant, conversation_id, RETENTION, reason=RETENTION, expected_seq=last_seq, leased_until=lease_end(budget_s)
    )
    return continue_erasure(receipt, budget_s)


def _begin(
    tenant: str,
    conversation_id: str,
    by: str,
    *,
    reason: str | None = None,
    expected_seq: int | None = None,
    leased_until: int = 0,
) -> Receipt:
    """Append the erasure's record and write its receipt, in one transaction; the receipt of one that began before."""
    pk = conversation_pk(tenant, conversation_id)
    name = receipt_id(pk)
    earlier = find_receipt(tenant, name)
    if earlier is not None:
        return earlier
    space = find_conversation_space(tenant, conversation_id)
    receipt = Receipt(tenant, name, conversation_id, by, now_ms(), space, reason, leased_until=leased_until)
    record = NewRecord(ERASURE, dump({"by": by}).encode())
    try:
        append(
            tenant,
            conversation_id,
            [record],
            expected_seq=expected_seq,
            state=ERASED,
            also=[receipt_put(receipt), *state_deletes(pk)],
            salvage=True,
        )
    except ConversationErased:
        return get_conversation_receipt(tenant, name)
    return receipt


def erase_conversations(selection: Selection, by: str, *, dry_run: bool, confirmed: bool) -> list[str]:
    """Erase every conversation of a selection, and return their ids; a dry run only returns them.

    What somebody else erases meanwhile is passed over.

    Raises
    ------
    DeleteManyThresholdExceeded : more than ten match, and that was not confirmed
    InvalidInput : TOO_MANY_MATCHES for one request
    """
    ids = [head.genesis.conversation_id for head in islice(walk_matches(selection), MAX_MANY + 1)]
    if len(ids) > MAX_MANY:
        detail = f"More than {MAX_MANY} conversations match; filter further."
        raise InvalidInput("TOO_MANY_MATCHES", detail, field="filter")
    if dry_run:
        return ids
    if len(ids) > MAX_UNCONFIRMED and not confirmed:
        raise DeleteManyThresholdExceeded(len(ids), MAX_UNCONFIRMED)
    return [conversation_id for conversation_id in ids if _erase_one_of_many(selection.tenant, conversation_id, by)]


def _erase_one_of_many(tenant: str, conversation_id: str, by: str) -> bool:
    """Begin to erase a conversation; False for one that is erased already, or of which only a head is left."""
    pk = conversation_pk(tenant, conversation_id)
    is_first = find_receipt(tenant, receipt_id(pk)) is None
    try:
        # Without a lease, since nobody works on it after this: so the stream's function goes on at once.
        _delete_derived(_begin(tenant, conversation_id, by))
    except ConversationNotFound:
        delete_conversation_state(pk)
        return False
    return is_first


def continue_erasure(receipt: Receipt, budget_s: float) -> Receipt:
    """Go on with an erasure for some seconds, and store how far it came."""
    if receipt.erased_at is not None:
        return receipt
    deadline = time.monotonic() + budget_s
    pk = conversation_pk(receipt.tenant, receipt.conversation_id)
    receipt = _delete_derived(receipt)
    # The genesis is scrubbed last: it names the participants, whose locks have to be released by whoever goes on.
    entries = walk_items(pk, first=max(receipt.next_seq, 1))
    with ThreadPoolExecutor(WRITERS) as writers:
        while batch := list(islice(entries, BATCH)):
            damaged = receipt.damaged + sum(writers.map(scrub_item, batch))
            receipt = replace(receipt, next_seq=_seq_after(batch, receipt.next_seq), damaged=damaged)
            if time.monotonic() > deadline:
                telemetry.count("ErasuresPending")
                return store_receipt(replace(receipt, leased_until=0))
    damaged = receipt.damaged + sum(map(scrub_item, walk_other_items(pk)))
    return _finish(replace(receipt, damaged=damaged), pk)


def _seq_after(batch: Sequence[Item], reached: int) -> int:
    """The seq from which an erasure goes on after some items; among these may be some whose keys are no entry's."""
    return max((seq + 1 for item in batch if (seq := seq_of_sk(item["sk"]["S"])) is not None), default=reached)


def _delete_derived(receipt: Receipt) -> Receipt:
    """Delete what was made of it, and what it is found by: memories, facts, parts, drafts, head, locks."""
    if receipt.facts is None:
        # Counted before any goes, so that whoever finishes an erasure that broke off still knows how many there were.
        facts = count_facts_of(receipt.tenant, receipt.conversation_id)
        memories = count_memories_of(receipt.tenant, receipt.conversation_id)
        receipt = store_counts(replace(receipt, facts=facts, memories=memories))
    delete_memories_of(receipt.tenant, receipt.conversation_id)
    delete_facts_of(receipt.tenant, receipt.conversation_id)
    delete_drafts(receipt.tenant, receipt.conversation_id)
    delete_message_drafts(receipt.tenant, receipt.conversation_id)
    pk = conversation_pk(receipt.tenant, receipt.conversation_id)
    delete_parts_of_conversation(pk)
    delete_traces_of_conversation(receipt.tenant, receipt.conversation_id)
    delete_conversation_state(pk)
    delete_values_of(pk)
    with suppress(ConversationNotFound, DamagedEntry):
        release_locks(get_genesis(receipt.tenant, receipt.conversation_id))
    return receipt


def _finish(receipt: Receipt, pk: str) -> Receipt:
    tail = salvage_tail(pk)
    if tail is None:
        raise ConversationNotFound(receipt.conversation_id)
    done = replace(receipt, erased_at=now_ms(), leased_until=0, messages=tail.count, head_hash=tail.hash)
    return store_receipt(done)
