"""Bounds of texts: the wire's follow those of the ledger, which it does not know."""

from __future__ import annotations

from annals.api.fields import MAX_TEXT_CHARS
from annals.ledger.entry_items import MAX_ENTRY_BYTES


def test_a_text_that_the_api_takes_is_no_longer_than_an_entry() -> None:
    assert MAX_TEXT_CHARS == MAX_ENTRY_BYTES
