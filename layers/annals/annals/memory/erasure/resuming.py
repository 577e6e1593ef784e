"""Resuming erasures whose process died, or had no time left.

Each receipt that is stored reaches the stream's function. It waits until the receipt's lease is over, and goes on with
the erasure where nobody else does. Each step can be done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol, TypeVar

from annals import telemetry
from annals.conversations.receipts import RECEIPT, find_receipt, store_receipt
from annals.database.keys import split_partition_key
from annals.errors import Unavailable
from annals.ledger.part_deletion import delete_orphaned_parts
from annals.ledger.part_keys import is_marker_key
from annals.memory.erasure.conversation_erasure import continue_erasure
from annals.memory.erasure.expiry import expire
from annals.memory.erasure.user_erasure import continue_user_erasure, repeat_user_erasure
from annals.memory.erasure.user_receipts import REPEAT_SK, find_user_receipt, store_user_receipt
from annals.memory.message_drafts.draft_items import is_timer_sk
from annals.memory.message_drafts.ending import end_draft
from annals.memory.retention_timers import TIMER
from annals.settings import settings
from annals.stored_values.blob_markers import is_blob_marker_sk, look_after_blob
from annals.times import now_ms

POLL_S = 0.5
"""How often a receipt is read, in seconds, while another process is at work on it."""

LONGEST_WAIT_S = 30.0
"""How many seconds another process is waited for at most: longer than any request works."""

ERASURE_SKS = (RECEIPT, REPEAT_SK, TIMER)
"""The sort keys of what an erasure is resumed by, beside the markers of parts."""

OVERDUE_MS = 3_600_000
"""After how long an erasure that is not done is worth an alarm."""


class Leased(Protocol):
    """A receipt, be it a conversation's or a user's."""

    @property
    def begun_at(self) -> int: ...
    @property
    def leased_until(self) -> int: ...
    @property
    def erased_at(self) -> int | None: ...


R = TypeVar("R", bound=Leased)


def is_erasure_key(pk: str, sk: str) -> bool:
    """Whether a key is of what an erasure is resumed by, of a draft's timer, or of a blob's marker."""
    return sk in ERASURE_SKS or is_marker_key(pk, sk) or is_timer_sk(sk) or is_blob_marker_sk(sk)


def resume_erasure(pk: str, sk: str) -> None:
    """Do what is left of the erasure that a receipt stands for, or what is due where a timer or a marker is gone."""
    budget_s = settings().erase_budget_s
    if sk == TIMER:
        expire(pk, budget_s)
        return
    if is_marker_key(pk, sk):
        delete_orphaned_parts(pk, sk)
        return
    if is_timer_sk(sk):
        end_draft(pk, sk)
        return
    if is_blob_marker_sk(sk):
        look_after_blob(pk, sk)
        return
    tenant, kind, [name] = split_partition_key(pk)
    if kind != "R":
        return
    if user_receipt := _wait_for_lease(lambda: find_user_receipt(tenant, name)):
        continue_user_erasure(user_receipt, budget_s)
    elif receipt := _wait_for_lease(lambda: find_receipt(tenant, name)):
        continue_erasure(receipt, budget_s)
    if sk == REPEAT_SK:
        repeat_user_erasure(tenant, name, budget_s)


def hand_over(pk: str) -> None:
    """Have the stream's function go on with the erasure of a receipt, where that is not done."""
    tenant, _, [name] = split_partition_key(pk)
    user_receipt, receipt = find_user_receipt(tenant, name), find_receipt(tenant, name)
    if user_receipt and user_receipt.erased_at is None:
        with suppress(Unavailable):  # somebody is at work on it
            store_user_receipt(replace(user_receipt, leased_until=0))
    if receipt and receipt.erased_at is None:
        store_receipt(replace(receipt, leased_until=0))


def _wait_for_lease(find: Callable[[], R | None]) -> R | None:
    """The receipt of an erasure that is not done, once nobody else works on it; None where nothing is left to do."""
    until = time.monotonic() + LONGEST_WAIT_S
    receipt = find()
    while receipt and receipt.erased_at is None and receipt.leased_until > now_ms() and time.monotonic() < until:
        time.sleep(POLL_S)
        receipt = find()
    if receipt is None or receipt.erased_at is not None:
        return None
    if now_ms() - receipt.begun_at > OVERDUE_MS:
        telemetry.count("ErasuresOverdue")
    return receipt
