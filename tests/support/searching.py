"""The search index for integration tests: this process' settings name it, and the streams' functions follow the tables.

Each adapter in turn; OpenSearch is a real one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from annals.database.dynamodb import client
from annals.memory import adapters
from annals.settings import settings
from local.emulator import Emulator
from local.streams import StreamReaders
from local.workers import Context
from tests.support.stack import TEMPLATE, function

PATIENCE_S = 30

_numbers = count(1)


@contextmanager
def index_in_settings(folder: Path, opensearch_url: str = "", **more: str) -> Iterator[None]:
    """An index of a test's own: in a file, or in an OpenSearch. ``more`` are further settings."""
    named = {"EMBEDDED_INDEX": str(folder / "index.sqlite3")}
    if opensearch_url:
        named = {"OPENSEARCH_URL": opensearch_url, "OPENSEARCH_INDEX": f"settings-{os.getpid()}-{next(_numbers)}"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**named, "EMBEDDINGS_URL": "offline", **more}.items():
            patch.setenv(name, value)
        forget()
        embedder = adapters.embedder()
        # Made now, so that no question meets an index whose first shard has not started yet.
        adapters.index().ensure(model=embedder.model, dimensions=embedder.dimensions)
        try:
            yield
        finally:
            adapters.index().drop_next()
            adapters.index().drop()
            forget()


def wait_for(true: Callable[[], object]) -> None:
    """Wait until something holds: the index follows the tables."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def forget() -> None:
    """Have settings and adapters made anew, as in another process."""
    for cached in (settings, adapters.index, adapters.embedder):
        cached.cache_clear()


@contextmanager
def followed(emulator: Emulator, folder: Path, invoke: Callable[[dict[str, Any]], Any] | None = None) -> Iterator[None]:
    """The index function reads the tables' streams, with the template's mappings."""
    handler = invoke or (lambda event: function("index").handler(event, Context("index")))
    streams = boto3.client("dynamodbstreams", endpoint_url=emulator.url, config=Config(parameter_validation=False))
    names = {"LedgerTable": settings().ledger_table, "StateTable": settings().state_table}
    mappings = [mapping for mapping in TEMPLATE.mappings if mapping.function == "index"]
    folder.mkdir(exist_ok=True)
    readers = StreamReaders(mappings, names, client(), streams, lambda _, event: handler(event), folder)
    readers.start()
    try:
        yield
    finally:
        readers.stop()
