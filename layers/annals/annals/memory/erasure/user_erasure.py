"""Erasing a person: their conversations, their memories, and what they said or is known of them elsewhere.

It goes in stages: the conversations of which they are the user are erased; then their own memories; then their messages
in the conversations of others are redacted, and the facts and memories of theirs deleted that were made there; then
memories and facts that belong to no conversation, and their places among the participants of spaces. At last the search
index is asked: what only it knows of, stored before there were traces, is taken in a second round. What is to be done
next is written into the receipt before it is done, and each step can be done again: so whoever finds an erasure
unfinished finishes it, and nothing is counted twice.

What was said before the erasure, and reaches the ledger's stream only after it, has the person erased once more. The
receipt counts all that went since the first time. A message is a person's where its ``userId`` says so; that somebody
is named in words, or by ``name``, is not seen.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice

from annals import telemetry
from annals.access.caller import Caller
from annals.conversations.heads import delete_conversation_state
from annals.conversations.receipts import find_receipt, lease_end, receipt_id
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item
from annals.database.state import empty_partition, read_partition
from annals.errors import (
    ConversationErased,
    ConversationNotFound,
    DamagedEntry,
    DamagedItem,
    Forbidden,
    NotFound,
    Unavailable,
)
from annals.ledger.entry import ERASED
from annals.ledger.entry_items import check_ledger_item
from annals.ledger.keys import conversation_pk, seq_of_sk
from annals.ledger.messages import message_id
from annals.ledger.read import walk_items
from annals.ledger.tail import salvage_tail
from annals.memory.erasure.conversation_erasure import erase
from annals.memory.erasure.message_redaction import redact_with_derived
from annals.memory.erasure.user_receipts import (
    UserReceipt,
    delete_repeat_request,
    find_repeat_request,
    find_user_receipt,
    put_conversation_note,
    store_user_receipt,
    sum_conversation_notes,
    user_receipt_id,
)
from annals.memory.facts.fact_deletion import delete_damaged_fact_by_id, delete_fact
from annals.memory.facts.fact_items import DatedFact, is_fact_id
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.memories.memory_deletion import delete_damaged_memory, delete_memory, find_damaged_memory
from annals.memory.memories.memory_items import from_memory_item, split_raw_id, split_user_memory_id, user_memories_pk
from annals.memory.spaces import delete_participant, find_participant
from annals.memory.user_traces import CONVERSATION, SPACE, STANDALONE, delete_trace, is_conversation_user, put_trace
from annals.memory.users.user_data import MemoryOrFact, UserData, memory_id_of
from annals.search.documents import Document
from annals.search.message_documents import memory_id
from annals.times import now_ms

CONVERSATIONS, OWN_MEMORIES, MESSAGES, SINGLES, INDEX = "conversations", "own memories", "messages", "singles", "index"
DONE = "done"

BATCH = 50
"""How much is written into the receipt, and then done, at once."""

STRIDE = 2_000
"""How many records of another one's conversation are read between two looks at the clock."""

REASON = "The person was erased."


def erase_person(caller: Caller, user_id: str, budget_s: float) -> UserReceipt:
    """Erase a person as far as the time goes; what is left over is handed to the stream's function.

    Asked again, it goes on where the last try ended; once that one is done, it looks for what came since.

    Raises
    ------
    Forbidden : the caller may not see all memory spaces
    SearchUnavailable : the index does not answer; what is done stays done
    """
    if caller.spaces is not None:
        raise Forbidden("A person is erased everywhere, which needs a key for all memory spaces.")
    name = user_receipt_id(caller.tenant, user_id)
    found = find_user_receipt(caller.tenant, name)
    if found is None or found.erased_at is not None:
        found = store_user_receipt(_begun(found, caller, user_id, name, budget_s))
    return continue_user_erasure(found, budget_s)


def _begun(earlier: UserReceipt | None, caller: Caller, user_id: str, name: str, budget_s: float) -> UserReceipt:
    """The receipt of an erasure that begins; what an earlier one took away stays in it."""
    at, until = now_ms(), lease_end(budget_s)
    if earlier:
        return replace(
            earlier,
            user_id=user_id,
            by=caller.key_id,
            begun_at=at,
            stage=CONVERSATIONS,
            leased_until=until,
            erased_at=None,
            round=1,
        )
    return UserReceipt(
        tenant=caller.tenant,
        receipt_id=name,
        user_id=user_id,
        by=caller.key_id,
        begun_at=at,
        stage=CONVERSATIONS,
        leased_until=until,
    )


def continue_user_erasure(receipt: UserReceipt, budget_s: float) -> UserReceipt:
    """Go on with a person's erasure for some seconds, and store how far it came."""
    if receipt.user_id is None:
        return receipt
    deadline = time.monotonic() + budget_s
    erasure = Erasure(UserData(Caller(receipt.tenant, receipt.by, frozenset()), receipt.user_id), receipt.receipt_id)
    receipt = replace(receipt, leased_until=lease_end(budget_s))
    while receipt.stage != DONE:
        if receipt.pending:
            left = erasure.take(receipt, deadline)
            receipt = store_user_receipt(replace(receipt, pending=left))
        else:
            receipt = store_user_receipt(erasure.plan(receipt))
        if time.monotonic() > deadline and receipt.stage != DONE:
            telemetry.count("ErasuresPending")
            return store_user_receipt(replace(receipt, leased_until=0))
    within = sum_conversation_notes(receipt.tenant, receipt.receipt_id)
    done = replace(receipt, user_id=None, after=None, leased_until=0, erased_at=now_ms(), within=within)
    return store_user_receipt(done)


def repeat_user_erasure(tenant: str, receipt_id: str, budget_s: float) -> None:
    """Erase a person once more if something of theirs came too late to be seen.

    Raises Unavailable where that has to be done again: it takes longer, or something else came too late.
    """
    asked, receipt = find_repeat_request(tenant, receipt_id), find_user_receipt(tenant, receipt_id)
    if asked is None or receipt is None:
        return
    done = erase_person(Caller(tenant, receipt.by, frozenset()), asked.user_id, budget_s)
    # An erasure that was going on already may have passed what came late.
    was_going_on = receipt.erased_at is None
    if was_going_on or done.erased_at is None or not delete_repeat_request(tenant, receipt_id, asked):
        raise Unavailable("The person is to be erased once more.")


def _is_readable(item: Item) -> bool:
    return any(True for _ in decode_readable([item], from_memory_item))


class Erasure:
    """The work on one person, for a caller who may see all that there is."""

    def __init__(self, person: UserData, receipt_id: str) -> None:
        self._person = person
        self._tenant = person.tenant
        self._user_id = person.user_id
        self._by = person.caller.key_id
        self._receipt_id = receipt_id

    def plan(self, receipt: UserReceipt) -> UserReceipt:
        """The receipt with what comes next, counted; the next stage's where a stage is at its end."""
        if receipt.stage == OWN_MEMORIES:
            return replace(receipt, stage=MESSAGES, after=None)
        if receipt.stage == MESSAGES:
            return self._plan_messages(receipt)
        if receipt.stage == SINGLES:
            return self._plan_singles(receipt)
        if receipt.stage == INDEX:
            return self._plan_by_index(receipt)
        # Also where a former version had other stages: what there still is, is found anew.
        return self._plan_conversations(receipt)

    def _plan_conversations(self, receipt: UserReceipt) -> UserReceipt:
        names = (name for name in self._person.conversations() if self._is_left(name))
        if found := tuple(islice(names, BATCH)):
            counted = receipt.conversations + len(found)
            return replace(receipt, stage=CONVERSATIONS, pending=found, conversations=counted)
        own = list(map(_is_readable, read_partition(self._own_pk, MEMORY_PREFIX)))
        return replace(
            receipt,
            stage=OWN_MEMORIES,
            pending=(self._own_pk,),
            memories=receipt.memories + len(own),
            damaged=receipt.damaged + own.count(False),
        )

    def _is_left(self, conversation_id: str) -> bool:
        """Whether a conversation is to be erased. Drops what led to one that is gone: its head may be stale."""
        pk = conversation_pk(self._tenant, conversation_id)
        earlier = find_receipt(self._tenant, receipt_id(pk))
        if salvage_tail(pk) is None or (earlier and earlier.erased_at is not None):
            self._drop(conversation_id)
            return False
        return True

    def _plan_messages(self, receipt: UserReceipt) -> UserReceipt:
        """What comes next in the conversations of others, one after the other."""
        if receipt.after is None:
            name = next(self._person.conversations_of_others(), None)
            return replace(receipt, after=(0, name)) if name is not None else replace(receipt, stage=SINGLES)
        seq, name = receipt.after
        if seq == 0:
            # Before anything is read: what is said from now on leaves a trace anew.
            delete_trace(self._tenant, self._user_id, CONVERSATION, name)
        found, reached, damaged = self._read(name, seq)
        if reached > seq:
            messages = receipt.messages + len(found)
            damaged += receipt.damaged
            return replace(receipt, pending=found, after=(reached, name), messages=messages, damaged=damaged)
        made = tuple(islice(map(memory_id_of, self._person.memories_made_in(name)), BATCH))
        unreadable = () if made else tuple(islice(self._person.damaged_ids_in(name), BATCH))
        names = (*made, *unreadable)
        facts = sum(map(is_fact_id, names))
        return replace(
            receipt,
            pending=names,
            after=receipt.after if names else None,
            facts=receipt.facts + facts,
            memories=receipt.memories + len(names) - facts,
            damaged=receipt.damaged + len(unreadable),
        )

    def _read(self, conversation_id: str, behind: int) -> tuple[tuple[str, ...], int, int]:
        """What the person may have said in another one's conversation behind a seq, and how far that was read.

        Also in how many entries that are damaged. Of these goes, too, what nobody can tell any more who said it.
        """
        pk = conversation_pk(self._tenant, conversation_id)
        tail = salvage_tail(pk)
        if tail is None or tail.state == ERASED:
            return (), behind, 0
        found: list[int] = []
        reached, damaged = behind, 0
        for item in walk_items(pk, first=behind + 1):
            first = seq_of_sk(item["sk"]["S"])
            if first is None:
                continue
            # A damaged entry may hold more than there was room for in front of this one.
            found = [seq for seq in found if seq < first]
            if len(found) >= BATCH or reached >= behind + STRIDE:
                break
            seqs = self._person.possible_seqs(item)
            found += seqs
            damaged += bool(seqs) and isinstance(check_ledger_item(item), DamagedEntry)
            reached = first
        return tuple(memory_id(conversation_id, seq) for seq in found), reached, damaged

    def _plan_singles(self, receipt: UserReceipt) -> UserReceipt:
        spaces = (f"{SPACE}{name}" for name in self._person.spaces())
        names = tuple(islice(chain(self._person.standalone_ids(), spaces), BATCH))
        if not names:
            return replace(receipt, stage=INDEX if receipt.round == 1 else DONE)
        kinds = Counter(map(self._kind, names))
        return replace(
            receipt,
            pending=names,
            facts=receipt.facts + kinds["fact"],
            memories=receipt.memories + kinds["memory"],
            spaces=receipt.spaces + kinds["space"],
            damaged=receipt.damaged + sum(map(self._is_damaged, names)),
        )

    def _kind(self, name: str) -> str:
        """What a trace leads to, as the tables have it now; what cannot be read there is the person's by its trace."""
        kind = "space" if name.startswith(SPACE) else "fact" if is_fact_id(name) else "memory"
        return kind if self._is_damaged(name) or self._find(name) else "nothing"

    def _is_damaged(self, name: str) -> bool:
        try:
            self._find(name)
        except DamagedItem:
            return True
        return False

    def _find(self, name: str) -> object:
        """What a trace leads to, if it is there. Raises Damaged."""
        if name.startswith(SPACE):
            return find_participant(self._tenant, name.removeprefix(SPACE), self._user_id)
        return self._person.find_memory_or_fact(name)

    def _plan_by_index(self, receipt: UserReceipt) -> UserReceipt:
        """Have traces of what the index holds of the person, if the tables hold it still; then go through them."""
        found = list(islice(self._person.documents(receipt.after), BATCH))
        if not found:
            return replace(receipt, stage=CONVERSATIONS, after=None, round=2)
        for document in found:
            self._trace(document)
        return replace(receipt, after=(found[-1].at, found[-1].memory_id))

    def _trace(self, document: Document) -> None:
        if raw := split_raw_id(document.memory_id):
            tail = salvage_tail(conversation_pk(self._tenant, raw[0]))
            if tail and tail.state != ERASED and not is_conversation_user(self._tenant, self._user_id, raw[0]):
                put_trace(self._tenant, self._user_id, CONVERSATION, raw[0])
        elif not split_user_memory_id(document.memory_id) and self._kind(document.memory_id) != "nothing":
            put_trace(self._tenant, self._user_id, STANDALONE, document.memory_id)

    def take(self, receipt: UserReceipt, deadline: float) -> tuple[str, ...]:
        """Do what is pending, and return what is left of it when the time is over."""
        stage, pending = receipt.stage, receipt.pending
        within = receipt.after[1] if stage == MESSAGES and receipt.after else None
        if stage == OWN_MEMORIES:
            # A change at this moment may leave a version behind the memory that it was of.
            empty_partition(self._own_pk)
            return ()
        for place, name in enumerate(pending):
            is_gone = self._erase(name, deadline) if stage == CONVERSATIONS else self._forget(name, within)
            if not is_gone or time.monotonic() > deadline:
                return pending[place + is_gone :]
        return ()

    @property
    def _own_pk(self) -> str:
        return user_memories_pk(self._tenant, self._user_id)

    def _erase(self, conversation_id: str, deadline: float) -> bool:
        """Erase a conversation, and note that; whether it is done."""
        left = max(deadline - time.monotonic(), 0.0)
        try:
            receipt = erase(self._tenant, conversation_id, self._by, left)
        except ConversationNotFound:
            self._drop(conversation_id)
            return True
        if receipt.erased_at is None:
            return False
        put_conversation_note(self._receipt_id, receipt)
        self._drop(conversation_id)
        return True

    def _drop(self, conversation_id: str) -> None:
        """Drop what leads to a conversation that is gone."""
        delete_conversation_state(conversation_pk(self._tenant, conversation_id))
        delete_trace(self._tenant, self._user_id, CONVERSATION, conversation_id)

    def _forget(self, name: str, within: str | None) -> bool:
        """Redact a message, delete a memory or a fact, leave a space; what is gone already is no error."""
        if name.startswith(SPACE):
            space = name.removeprefix(SPACE)
            delete_trace(self._tenant, self._user_id, SPACE, space)
            delete_participant(self._tenant, space, self._user_id)
        elif raw := split_raw_id(name):
            with suppress(NotFound, ConversationErased):
                redact_with_derived(self._tenant, raw[0], message_id(raw[1]), REASON, self._by)
        else:
            try:
                self._delete(self._person.find_memory_or_fact(name))
            except DamagedItem:
                self._delete_damaged(name, within)
            delete_trace(self._tenant, self._user_id, STANDALONE, name)
        return True

    def _delete(self, thing: MemoryOrFact | None) -> None:
        if isinstance(thing, DatedFact):
            delete_fact(thing.fact)
        elif thing:
            delete_memory(thing)

    def _delete_damaged(self, name: str, within: str | None) -> None:
        """Delete a memory or a fact that cannot be read, be it of a conversation."""
        if is_fact_id(name):
            delete_damaged_fact_by_id(self._tenant, name, within)
        elif memory := find_damaged_memory(self._tenant, name):
            delete_damaged_memory(memory)
