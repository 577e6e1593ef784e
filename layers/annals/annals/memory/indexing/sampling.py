"""A sample of the tables: items in a row, from a place of chance."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from itertools import chain

from annals.database.keys import item_key
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory.indexing.table_scan import LEDGER, TableRange, walk_tables


def sample_tables(items: int) -> Iterator[TableRange]:
    """Spans of so many items, a few more or less, from somewhere in the ledger on; from the beginning behind its end.

    A table's order is that of its keys' hashes, so a key of chance is a place of chance.
    """
    seen: set[TableRange] = set()
    key = item_key(conversation_pk(secrets.token_hex(8), secrets.token_hex(8)), entry_sk(0))
    for page in chain(walk_tables(json.dumps([LEDGER, key])), walk_tables()):
        for span in page.spans:
            if items <= 0:
                return
            if span not in seen:
                seen.add(span)
                items -= span.size
                yield span
