"""The state table's stream for unit tests: what changed reaches the index when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.memory import adapters
from annals.settings import settings
from local.workers import Context
from tests.support.stack import function


@dataclass
class Stream:
    """Tells the index function of every memory and fact that is there, or was when it was last asked."""

    seen: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def deliver(self) -> None:
        """Bring the index up to the table."""
        for key in _keys_of(settings().state_table):
            if key["sk"]["S"].startswith("M#"):
                self.seen[key["pk"]["S"], key["sk"]["S"]] = key
        _hand_over(list(self.seen.values()))

    def deliver_ledger(self) -> None:
        """Bring the index up to the ledger."""
        _hand_over(list(_keys_of(settings().ledger_table)))


def _keys_of(table: str) -> Iterator[dict[str, Any]]:
    """The keys of all items of a table."""
    pages = client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return ({name: item[name] for name in ("pk", "sk")} for page in pages for item in page["Items"])


def _hand_over(keys: list[dict[str, Any]]) -> None:
    records = [{"dynamodb": {"Keys": key, "SequenceNumber": str(number)}} for number, key in enumerate(keys)]
    if records:
        answer = function("index").handler({"Records": records}, Context("index"))
        assert answer == {"batchItemFailures": []}


@contextmanager
def embedded_index(folder: Path, **more: str) -> Iterator[Stream]:
    """An index in a file, with embeddings that need no network. ``more`` are further settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_INDEX", str(folder / "index.sqlite3"))
        patch.setenv("EMBEDDINGS_URL", "offline")
        for name, value in more.items():
            patch.setenv(name, value)
        _forget()
        try:
            yield Stream()
        finally:
            _forget()


def _forget() -> None:
    for cached in (settings, adapters.index, adapters.embedder):
        cached.cache_clear()
