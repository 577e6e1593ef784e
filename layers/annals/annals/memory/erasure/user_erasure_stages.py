"""The stages of a user's erasure: what each one plans, and how that is carried out."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice

from annals.conversations.heads import delete_conversation_state
from annals.conversations.receipts import find_receipt, receipt_id
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item
from annals.database.state import read_partition
from annals.documents.user_documents import (
    TRACE_PREFIX,
    count_own_documents,
    delete_all_within,
    delete_traced_document,
    find_traced_document,
    list_document_traces,
    own_documents_pk,
)
from annals.errors import (
    ConversationErased,
    ConversationNotFound,
    DamagedEntry,
    DamagedItem,
    NotFound,
)
from annals.ledger.entry import ERASED
from annals.ledger.entry_items import check_ledger_item
from annals.ledger.keys import conversation_pk, seq_of_sk
from annals.ledger.messages import message_id
from annals.ledger.read import walk_items
from annals.ledger.tail import salvage_tail
from annals.memory.erasure.conversation_erasure import erase_conversation
from annals.memory.erasure.message_redaction import redact_with_derived
from annals.memory.erasure.user_receipts import (
    UserReceipt,
    put_conversation_note,
)
from annals.memory.facts.fact_deletion import delete_damaged_fact_by_id, delete_fact
from annals.memory.facts.fact_items import DatedFact, is_fact_id
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.memories.memory_deletion import delete_damaged_memory, delete_memory, find_damaged_memory
from annals.memory.memories.memory_items import from_memory_item, split_raw_id, split_user_memory_id, user_memories_pk
from annals.memory.message_drafts.ending import delete_drafts_of_user
from annals.memory.spaces import delete_participant, find_participant
from annals.memory.user_traces import CONVERSATION, SPACE, STANDALONE, delete_trace, is_conversation_user, put_trace
from annals.memory.users.user_data import MemoryOrFact, UserData, memory_id_of
from annals.search.documents import Document
from annals.search.message_documents import memory_id

CONVERSATIONS, OWN_MEMORIES, MESSAGES, INDEX = "conversations", "own memories", "messages", "index"
STANDALONE_STAGE = "singles"
DONE = "done"

BATCH = 50
"""How much is written into the receipt, and then carried out, at once."""

STRIDE = 2_000
"""How many records of another one's conversation are read before the clock is read again."""

REASON = "The person was erased."
"""The reason of the redactions."""


def _is_readable(item: Item) -> bool:
    return any(True for _ in decode_readable([item], from_memory_item))


class UserErasureStages:
    """The stages of one user's erasure, for a caller who may see all that there is."""

    def __init__(self, user: UserData, receipt_id: str) -> None:
        self._user = user
        self._tenant = user.tenant
        self._user_id = user.user_id
        self._by = user.caller.key_id
        self._receipt_id = receipt_id

    def plan(self, receipt: UserReceipt) -> UserReceipt:
        """The receipt with what comes next as ``pending``, and counted; at the end of a stage, with the next stage."""
        if receipt.stage == OWN_MEMORIES:
            return replace(receipt, stage=MESSAGES, after=None)
        if receipt.stage == MESSAGES:
            return self._plan_messages(receipt)
        if receipt.stage == STANDALONE_STAGE:
            return self._plan_standalone(receipt)
        if receipt.stage == INDEX:
            return self._plan_by_index(receipt)
        # The first stage, or one of a former version: what there still is, is found anew.
        return self._plan_conversations(receipt)

    def _plan_conversations(self, receipt: UserReceipt) -> UserReceipt:
        names = (name for name in self._user.conversations() if self._is_left(name))
        if pending := tuple(islice(names, BATCH)):
            counted = receipt.conversations + len(pending)
            return replace(receipt, stage=CONVERSATIONS, pending=pending, conversations=counted)
        readable = list(map(_is_readable, read_partition(self._own_pk, MEMORY_PREFIX)))
        return replace(
            receipt,
            stage=OWN_MEMORIES,
            pending=(self._own_pk, own_documents_pk(self._tenant, self._user_id)),
            memories=receipt.memories + len(readable),
            documents=receipt.documents + count_own_documents(self._tenant, self._user_id),
            damaged=receipt.damaged + readable.count(False),
        )

    def _is_left(self, conversation_id: str) -> bool:
        """Whether a conversation is to be erased. What leads to one that is gone is deleted: its head may be stale."""
        pk = conversation_pk(self._tenant, conversation_id)
        earlier = find_receipt(self._tenant, receipt_id(pk))
        if salvage_tail(pk) is None or (earlier and earlier.erased_at is not None):
            self._delete_pointers(conversation_id)
            return False
        return True

    def _plan_messages(self, receipt: UserReceipt) -> UserReceipt:
        """What comes next in the conversations of others, one after the other."""
        if receipt.after is None:
            name = next(self._user.conversations_of_others(), None)
            return replace(receipt, after=(0, name)) if name is not None else replace(receipt, stage=STANDALONE_STAGE)
        seq, name = receipt.after
        if seq == 0:
            # Before anything is read, so that a message from now on leaves a new trace.
            delete_trace(self._tenant, self._user_id, CONVERSATION, name)
            delete_drafts_of_user(self._tenant, name, self._user_id)
        message_ids, reached, damaged = self._read_messages(name, seq)
        if reached > seq:
            messages = receipt.messages + len(message_ids)
            damaged += receipt.damaged
            return replace(receipt, pending=message_ids, after=(reached, name), messages=messages, damaged=damaged)
        made = tuple(islice(map(memory_id_of, self._user.memories_made_in(name)), BATCH))
        unreadable = () if made else tuple(islice(self._user.damaged_ids_in(name), BATCH))
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

    def _read_messages(self, conversation_id: str, after: int) -> tuple[tuple[str, ...], int, int]:
        """The memory ids of the user's messages in another one's conversation after a seq, and how far was read.

        Also how many entries with such messages are damaged. Of these, messages go, too, of which nobody can tell any
        more whose they are.
        """
        pk = conversation_pk(self._tenant, conversation_id)
        tail = salvage_tail(pk)
        if tail is None or tail.state == ERASED:
            return (), after, 0
        seqs: list[int] = []
        reached, damaged = after, 0
        for item in walk_items(pk, first=after + 1):
            first = seq_of_sk(item["sk"]["S"])
            if first is None:
                continue
            # A damaged entry may seem to hold more records than there is room for before this one.
            seqs = [seq for seq in seqs if seq < first]
            if len(seqs) >= BATCH or reached >= after + STRIDE:
                break
            own_seqs = self._user.possible_seqs(item)
            seqs += own_seqs
            damaged += bool(own_seqs) and isinstance(check_ledger_item(item), DamagedEntry)
            reached = first
        return tuple(memory_id(conversation_id, seq) for seq in seqs), reached, damaged

    def _plan_standalone(self, receipt: UserReceipt) -> UserReceipt:
        spaces = (f"{SPACE}{name}" for name in self._user.spaces())
        documents = list_document_traces(self._tenant, self._user_id)
        names = tuple(islice(chain(self._user.standalone_ids(), spaces, documents), BATCH))
        if not names:
            return replace(receipt, stage=INDEX if receipt.round == 1 else DONE)
        kinds = Counter(map(self._kind, names))
        return replace(
            receipt,
            pending=names,
            facts=receipt.facts + kinds["fact"],
            memories=receipt.memories + kinds["memory"],
            spaces=receipt.spaces + kinds["space"],
            documents=receipt.documents + kinds["document"],
            damaged=receipt.damaged + sum(map(self._is_damaged, names)),
        )

    def _kind(self, name: str) -> str:
        """What a trace leads to, as the tables have it now; what cannot be read there is the user's by its trace."""
        kinds = {SPACE: "space", TRACE_PREFIX: "document"}
        kind = kinds.get(name[: len(SPACE)]) or ("fact" if is_fact_id(name) else "memory")
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
        if name.startswith(TRACE_PREFIX):
            return find_traced_document(self._tenant, self._user_id, name)
        return self._user.find_memory_or_fact(name)

    def _plan_by_index(self, receipt: UserReceipt) -> UserReceipt:
        """Write traces of what index and tables hold of the user; a second round then goes through them."""
        documents = list(islice(self._user.documents(receipt.after), BATCH))
        if not documents:
            return replace(receipt, stage=CONVERSATIONS, after=None, round=2)
        for document in documents:
            self._trace(document)
        return replace(receipt, after=(documents[-1].at, documents[-1].memory_id))

    def _trace(self, document: Document) -> None:
        if message := split_raw_id(document.memory_id):
            tail = salvage_tail(conversation_pk(self._tenant, message[0]))
            if tail and tail.state != ERASED and not is_conversation_user(self._tenant, self._user_id, message[0]):
                put_trace(self._tenant, self._user_id, CONVERSATION, message[0])
        elif not split_user_memory_id(document.memory_id) and self._kind(document.memory_id) != "nothing":
            put_trace(self._tenant, self._user_id, STANDALONE, document.memory_id)

    def carry_out(self, receipt: UserReceipt, deadline: float) -> tuple[str, ...]:
        """Erase, redact or delete what is pending, and return what is left of it when the time is over."""
        stage, pending = receipt.stage, receipt.pending
        within = receipt.after[1] if stage == MESSAGES and receipt.after else None
        if stage == OWN_MEMORIES:
            # The whole partitions: a change at this moment may leave a version of a memory that is gone.
            for pk in pending:
                delete_all_within(pk)
            return ()
        for position, name in enumerate(pending):
            is_gone = self._erase(name, deadline) if stage == CONVERSATIONS else self._take_away(name, within)
            if not is_gone or time.monotonic() > deadline:
                return pending[position + is_gone :]
        return ()

    @property
    def _own_pk(self) -> str:
        return user_memories_pk(self._tenant, self._user_id)

    def _erase(self, conversation_id: str, deadline: float) -> bool:
        """Erase a conversation, and note that beside the receipt; whether it is done."""
        left = max(deadline - time.monotonic(), 0.0)
        try:
            receipt = erase_conversation(self._tenant, conversation_id, self._by, left)
        except ConversationNotFound:
            self._delete_pointers(conversation_id)
            return True
        if receipt.erased_at is None:
            return False
        put_conversation_note(self._receipt_id, receipt)
        self._delete_pointers(conversation_id)
        return True

    def _delete_pointers(self, conversation_id: str) -> None:
        """Delete what leads to a conversation that is gone."""
        delete_conversation_state(conversation_pk(self._tenant, conversation_id))
        delete_trace(self._tenant, self._user_id, CONVERSATION, conversation_id)

    def _take_away(self, name: str, within: str | None) -> bool:
        """Redact a message, delete a memory, a fact or a document, leave a space; what is gone is no error."""
        if name.startswith(SPACE):
            space = name.removeprefix(SPACE)
            delete_trace(self._tenant, self._user_id, SPACE, space)
            delete_participant(self._tenant, space, self._user_id)
        elif name.startswith(TRACE_PREFIX):
            delete_traced_document(self._tenant, self._user_id, name)
        elif message := split_raw_id(name):
            with suppress(NotFound, ConversationErased):
                redact_with_derived(self._tenant, message[0], message_id(message[1]), REASON, self._by)
        else:
            try:
                self._delete(self._user.find_memory_or_fact(name))
            except DamagedItem:
                self._delete_damaged(name, within)
            delete_trace(self._tenant, self._user_id, STANDALONE, name)
        return True

    def _delete(self, stored: MemoryOrFact | None) -> None:
        if isinstance(stored, DatedFact):
            delete_fact(stored.fact)
        elif stored:
            delete_memory(stored)

    def _delete_damaged(self, name: str, within: str | None) -> None:
        """Delete a memory or a fact that cannot be read, of a conversation or of none."""
        if is_fact_id(name):
            delete_damaged_fact_by_id(self._tenant, name, within)
        elif memory := find_damaged_memory(self._tenant, name):
            delete_damaged_memory(memory)
