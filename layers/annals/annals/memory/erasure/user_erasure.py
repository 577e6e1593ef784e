"""Erasure of a user: their conversations, their memories, and what they said or is known of them elsewhere.

It goes in stages (``user_erasure_stages``): the conversations of which they are the user are erased; then their own
memories are deleted; then their messages in the conversations of others are redacted, and the facts and memories of
theirs deleted that were made there; then memories and facts that belong to no conversation, and their places among the
participants of spaces. At last the search index is searched: what only it knows of, stored before there were traces,
is taken in a second round. What is to be done next is written into the receipt before it is done, and each step can be
done again: so whoever finds an erasure unfinished can finish it, and nothing is counted twice.

What was said before the erasure, and reaches the ledger's stream only after it, has the user erased once more. The
receipt counts all that went since the first time. A message is a user's where its ``userId`` says so; that somebody is
named in words, or by ``name``, is not seen.
"""

from __future__ import annotations

import time
from dataclasses import replace

from annals import telemetry
from annals.access.caller import Caller
from annals.conversations.receipts import lease_end
from annals.errors import (
    Forbidden,
    Unavailable,
)
from annals.memory.erasure.user_erasure_stages import CONVERSATIONS, DONE, UserErasureStages
from annals.memory.erasure.user_receipts import (
    UserReceipt,
    delete_repeat_request,
    find_repeat_request,
    find_user_receipt,
    store_user_receipt,
    sum_conversation_notes,
    user_receipt_id,
)
from annals.memory.users.user_data import UserData
from annals.times import now_ms


def erase_user(caller: Caller, user_id: str, budget_s: float) -> UserReceipt:
    """Erase a user as far as the time goes; what is left over is handed to the stream's function.

    Called again, it goes on where the last try ended; once that one is done, it looks for what came since.

    Raises
    ------
    Forbidden : the caller may not see all memory spaces
    SearchUnavailable : the index does not answer; what is done stays done
    """
    if caller.spaces is not None:
        raise Forbidden("A user is erased in all memory spaces, which needs a key for all of them.")
    name = user_receipt_id(caller.tenant, user_id)
    receipt = find_user_receipt(caller.tenant, name)
    if receipt is None or receipt.erased_at is not None:
        receipt = store_user_receipt(_new_receipt(receipt, caller, user_id, name, budget_s))
    return continue_user_erasure(receipt, budget_s)


def _new_receipt(earlier: UserReceipt | None, caller: Caller, user_id: str, name: str, budget_s: float) -> UserReceipt:
    """The receipt of an erasure that begins; what an earlier one took away stays counted in it."""
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
    """Go on with a user's erasure for some seconds, and store how far it came.

    What comes next is planned, counted and stored; then it is done, and what is left of it is stored. A process that
    dies between leaves a plan, which the next one carries out without counting it again.
    """
    if receipt.user_id is None:
        return receipt
    deadline = time.monotonic() + budget_s
    stages = UserErasureStages(
        UserData(Caller(receipt.tenant, receipt.by, frozenset()), receipt.user_id), receipt.receipt_id
    )
    receipt = replace(receipt, leased_until=lease_end(budget_s))
    while receipt.stage != DONE:
        if receipt.pending:
            left = stages.carry_out(receipt, deadline)
            receipt = store_user_receipt(replace(receipt, pending=left))
        else:
            receipt = store_user_receipt(stages.plan(receipt))
        if time.monotonic() > deadline and receipt.stage != DONE:
            telemetry.count("ErasuresPending")
            return store_user_receipt(replace(receipt, leased_until=0))
    within = sum_conversation_notes(receipt.tenant, receipt.receipt_id)
    done = replace(receipt, user_id=None, after=None, leased_until=0, erased_at=now_ms(), within=within)
    return store_user_receipt(done)


def repeat_user_erasure(tenant: str, receipt_id: str, budget_s: float) -> None:
    """Erase a user once more if something of theirs came too late to be seen.

    Raises Unavailable where that has to be done again: it takes longer, or something else came too late.
    """
    request, receipt = find_repeat_request(tenant, receipt_id), find_user_receipt(tenant, receipt_id)
    if request is None or receipt is None:
        return
    done = erase_user(Caller(tenant, receipt.by, frozenset()), request.user_id, budget_s)
    # An erasure that was under way already may be past the stage of what came late.
    was_under_way = receipt.erased_at is None
    if was_under_way or done.erased_at is None or not delete_repeat_request(tenant, receipt_id, request):
        raise Unavailable("The user is to be erased once more.")
