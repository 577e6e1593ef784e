"""Go on with erasures that did not fit into one request, from the state table's stream."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from annals.conversations.erase import proceed
from annals.conversations.receipts import read_receipt
from annals.errors import ReceiptNotFound
from annals.ledger.keys import unescape
from annals.settings import settings
from annals.streams import answer_each


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Go on with each erasure that was handed over; what is still left then comes back through the stream."""
    return answer_each(event, _proceed)


def _proceed(keys: Mapping[str, Any]) -> None:
    _, tenant, kind, receipt_id = keys["pk"]["S"].split("#")
    if kind != "R":
        return
    with suppress(ReceiptNotFound):
        receipt = read_receipt(unescape(tenant), unescape(receipt_id))
        if receipt.handed_over:
            proceed(receipt, settings().erase_budget_s)
