"""Erasing a person: their conversations, their memories, and what they said in the conversations of others.

It goes in three stages: the conversations of which they are the user are erased; then their own memories; then what
the search index knows of them elsewhere, where their messages are redacted, memories and facts deleted. What is to be
done next is written into the receipt before it is done, and each step can be done again: so whoever finds an erasure
unfinished finishes it, and nothing is counted twice. The list of conversations and the index are eventually consistent:
what was stored in the last moments before can be missed, and is taken by asking for the erasure again.

A message is a person's where its ``userId`` says so; that somebody is named in words, or by ``name``, is not seen.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from annals import telemetry
from annals.access.caller import Caller
from annals.conversations.heads import drop_state
from annals.conversations.lists import every_match
from annals.conversations.receipts import lease
from annals.errors import ConversationErased, ConversationNotFound, Forbidden, NotFound
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import message_id, read_messages
from annals.memory.erasing import erase
from annals.memory.facts.store import delete_fact, is_fact_id, read_fact
from annals.memory.items import split_raw_id, split_user_memory_id, user_memories_pk
from annals.memory.memories import delete_memory, read_memory
from annals.memory.people.person import conversations_of, documents_of
from annals.memory.people.receipts import (
    PersonReceipt,
    find_person_receipt,
    person_receipt_id,
    store_person_receipt,
)
from annals.memory.withdrawing import withdraw
from annals.state import empty_partition, read_partition
from annals.times import now_ms

CONVERSATIONS, OWN_MEMORIES, ELSEWHERE, DONE = "conversations", "own memories", "elsewhere", "done"

BATCH = 50
"""How much is written into the receipt, and then done, at once."""

REASON = "The person was erased."


def erase_person(caller: Caller, user_id: str, budget_s: float) -> PersonReceipt:
    """Erase a person as far as the time goes; what is left over is handed to the stream's function.

    Asked again, it goes on where the last try ended; once that one is done, it looks for what came since.

    Raises
    ------
    Forbidden : the caller may not see all memory spaces
    SearchUnavailable : the index does not answer; what is done stays done
    """
    if caller.spaces is not None:
        raise Forbidden("A person is erased everywhere, which needs a key for all memory spaces.")
    name = person_receipt_id(caller.tenant, user_id)
    found = find_person_receipt(caller.tenant, name)
    if found is None or found.erased_at is not None:
        fresh = PersonReceipt(
            tenant=caller.tenant,
            receipt_id=name,
            user_id=user_id,
            by=caller.key_id,
            begun_at=now_ms(),
            stage=CONVERSATIONS,
            step=found.step if found else 0,
            leased_until=lease(budget_s),
        )
        found = store_person_receipt(fresh)
    return proceed_with_person(found, budget_s)


def proceed_with_person(receipt: PersonReceipt, budget_s: float) -> PersonReceipt:
    """Go on with a person's erasure for some seconds, and store how far it came."""
    if receipt.user_id is None:
        return receipt
    deadline = time.monotonic() + budget_s
    erasure = Erasure(Caller(receipt.tenant, receipt.by, frozenset()), receipt.user_id)
    receipt = replace(receipt, leased_until=lease(budget_s))
    while receipt.stage != DONE:
        if receipt.pending:
            left = erasure.take(receipt.stage, receipt.pending, deadline)
            receipt = store_person_receipt(replace(receipt, pending=left))
        else:
            receipt = store_person_receipt(erasure.plan(receipt))
        if time.monotonic() > deadline and receipt.stage != DONE:
            telemetry.count("ErasuresPending")
            return store_person_receipt(replace(receipt, leased_until=0))
    done = replace(receipt, user_id=None, after=None, leased_until=0, erased_at=now_ms())
    return store_person_receipt(done)


class Erasure:
    """The work on one person, for a caller who may see all that there is."""

    def __init__(self, caller: Caller, user_id: str) -> None:
        self._caller = caller
        self._user_id = user_id

    def plan(self, receipt: PersonReceipt) -> PersonReceipt:
        """The receipt with what comes next, counted; the next stage's where a stage is at its end."""
        if receipt.stage == CONVERSATIONS:
            heads = islice(every_match(conversations_of(self._caller, self._user_id)), BATCH)
            if ids := tuple(head.genesis.conversation_id for head in heads):
                return replace(receipt, pending=ids, conversations=receipt.conversations + len(ids))
            own = sum(1 for _ in read_partition(self._own_pk, "M#", ProjectionExpression="pk"))
            return replace(receipt, stage=OWN_MEMORIES, pending=(self._own_pk,), memories=receipt.memories + own)
        if receipt.stage == OWN_MEMORIES:
            return replace(receipt, stage=ELSEWHERE)
        return self._plan_elsewhere(receipt)

    def _plan_elsewhere(self, receipt: PersonReceipt) -> PersonReceipt:
        found = list(islice(documents_of(self._caller, self._user_id, receipt.after), BATCH))
        if not found:
            return replace(receipt, stage=DONE)
        theirs = [document.memory_id for document in found if self._is_theirs(document.memory_id)]
        kinds = Counter(map(_kind, theirs))
        return replace(
            receipt,
            after=(found[-1].at, found[-1].memory_id),
            pending=tuple(theirs),
            messages=receipt.messages + kinds["message"],
            memories=receipt.memories + kinds["memory"],
            facts=receipt.facts + kinds["fact"],
        )

    def take(self, stage: str, pending: tuple[str, ...], deadline: float) -> tuple[str, ...]:
        """Do what is pending, and return what is left of it when the time is over."""
        if stage == OWN_MEMORIES:
            # A change at this moment may leave a version behind the memory that it was of.
            empty_partition(self._own_pk)
            return ()
        for place, name in enumerate(pending):
            is_gone = self._erase(name, deadline) if stage == CONVERSATIONS else self._forget(name)
            if not is_gone or time.monotonic() > deadline:
                return pending[place + is_gone :]
        return ()

    @property
    def _own_pk(self) -> str:
        return user_memories_pk(self._caller.tenant, self._user_id)

    def _erase(self, conversation_id: str, deadline: float) -> bool:
        """Erase a conversation; whether that is done."""
        left = max(deadline - time.monotonic(), 0.0)
        try:
            return erase(self._caller.tenant, conversation_id, self._caller.key_id, left).erased_at is not None
        except ConversationNotFound:
            drop_state(conversation_pk(self._caller.tenant, conversation_id))
            return True

    def _is_theirs(self, memory_id: str) -> bool:
        """Whether the tables, too, say that something is the person's, and hold it still."""
        tenant = self._caller.tenant
        if split_user_memory_id(memory_id):
            return False
        if raw := split_raw_id(memory_id):
            said = read_messages(conversation_pk(tenant, raw[0]), [message_id(raw[1])])
            return any(message.get("userId") == self._user_id for message in said)
        try:
            if is_fact_id(memory_id):
                return read_fact(tenant, memory_id).fact.user_id == self._user_id
            return read_memory(tenant, memory_id).user_id == self._user_id
        except NotFound:
            return False

    def _forget(self, memory_id: str) -> bool:
        """Redact a message, or delete a memory or a fact; what is gone already is no error."""
        tenant = self._caller.tenant
        with suppress(NotFound, ConversationErased):
            if raw := split_raw_id(memory_id):
                withdraw(tenant, raw[0], message_id(raw[1]), REASON, self._caller.key_id)
            elif is_fact_id(memory_id):
                delete_fact(read_fact(tenant, memory_id).fact)
            else:
                delete_memory(read_memory(tenant, memory_id))
        return True


def _kind(memory_id: str) -> str:
    if split_raw_id(memory_id):
        return "message"
    return "fact" if is_fact_id(memory_id) else "memory"
