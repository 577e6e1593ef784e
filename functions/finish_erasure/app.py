"""Go on with erasures that did not fit into one request, and begin those that nobody asks for: retention's.

The state table's stream tells of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.conversations.receipts import find_receipt
from annals.ledger.keys import unescape
from annals.memory.erasing import proceed
from annals.memory.expiring import expire
from annals.memory.people.erasing import proceed_with_person
from annals.memory.people.receipts import find_person_receipt
from annals.memory.timers import TIMER
from annals.settings import settings
from annals.streams import answer_each


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Go on with each erasure that was handed over; what is still left then comes back through the stream."""
    answer = answer_each(event, _work)
    telemetry.publish()
    return answer


def _work(keys: Mapping[str, Any]) -> None:
    if keys["sk"]["S"] == TIMER:
        expire(keys["pk"]["S"], settings().erase_budget_s)
    else:
        _proceed(keys)


def _proceed(keys: Mapping[str, Any]) -> None:
    _, tenant, kind, receipt_id = keys["pk"]["S"].split("#")
    if kind != "R":
        return
    person = find_person_receipt(unescape(tenant), unescape(receipt_id))
    if person and person.handed_over:
        proceed_with_person(person, settings().erase_budget_s)
    receipt = find_receipt(unescape(tenant), unescape(receipt_id))
    if receipt and receipt.handed_over:
        proceed(receipt, settings().erase_budget_s)
