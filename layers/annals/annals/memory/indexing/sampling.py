"""A sample of the tables: items in a row, from a random start."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from itertools import chain

from annals.database.keys import item_key
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory.indexing.table_scan import LEDGER, TableRange, walk_tables


def sample_tables(items: int) -> Iterator[TableRange]:
    """Ranges of about so many items, from a random start in the ledger; after the last item comes the first.

    A table is scanned in the order of its keys' hashes, so that a random key is a random start.
    """
    sampled: set[TableRange] = set()
    start_key = item_key(conversation_pk(secrets.token_hex(8), secrets.token_hex(8)), entry_sk(0))
    for page in chain(walk_tables(json.dumps([LEDGER, start_key])), walk_tables()):
        for table_range in page.ranges:
            if items <= 0:
                return
            if table_range not in sampled:
                sampled.add(table_range)
                items -= table_range.size
                yield table_range
