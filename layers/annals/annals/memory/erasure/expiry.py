"""Expiry: what happens when a conversation's timer is gone."""

from __future__ import annotations

from annals.conversations.genesis import get_genesis
from annals.conversations.read import find_conversation_space
from annals.conversations.receipts import find_receipt, receipt_id
from annals.errors import DamagedEntry, PreconditionFailed
from annals.ledger.entry import ERASED, Tail
from annals.ledger.keys import split_conversation_pk
from annals.ledger.tail import find_last_message, salvage_tail
from annals.memory.erasure.conversation_erasure import RETENTION, continue_erasure, erase_expired
from annals.memory.retention_timers import DAY_MS, read_retention_days, set_timer
from annals.times import now_ms


def expire(pk: str, budget_s: float) -> None:
    """Erase a conversation whose timer is gone, if its space's retention says so; else set the timer anew.

    A timer goes for other reasons, too, as with an erasure, and the retention may have changed since it was set: what
    is stored now counts. Doing it again finishes what was begun.
    """
    tail = salvage_tail(pk)
    if tail is None:
        return
    if tail.state == ERASED:
        _resume(pk, budget_s)
    else:
        _erase_if_due(pk, tail, budget_s)


def _resume(pk: str, budget_s: float) -> None:
    """Go on with an erasure that retention began; any other goes on by its receipt."""
    receipt = find_receipt(split_conversation_pk(pk)[0], receipt_id(pk))
    if receipt and receipt.reason == RETENTION:
        continue_erasure(receipt, budget_s)


def _erase_if_due(pk: str, tail: Tail, budget_s: float) -> None:
    tenant, conversation_id = split_conversation_pk(pk)
    days = read_retention_days(tenant, find_conversation_space(tenant, conversation_id))
    if days is None:
        return
    silent_since = _find_silence(pk, tail)
    if now_ms() < silent_since + days * DAY_MS:
        set_timer(pk, silent_since, days)
        return
    try:
        erase_expired(tenant, conversation_id, tail.seq, budget_s)
    except PreconditionFailed:
        # Somebody appended to the conversation at this very moment.
        set_timer(pk, now_ms(), days)


def _find_silence(pk: str, tail: Tail) -> int:
    """When the newest message, or else the conversation, was stored; where that is damaged, when it last grew."""
    try:
        newest = find_last_message(pk, tail)
        return newest.stored_at if newest else get_genesis(*split_conversation_pk(pk)).stored_at
    except DamagedEntry:
        return tail.at
