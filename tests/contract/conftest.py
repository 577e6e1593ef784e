"""The search indexes that the contract tests run against."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from annals.search.embedded import EmbeddedIndex
from annals.search.opensearch import OpenSearchIndex
from annals.search.port import SearchIndex
from tests.fakes.search import FakeEmbedder

_numbers = count(1)


@pytest.fixture(params=["embedded", pytest.param("opensearch", marks=pytest.mark.opensearch)])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SearchIndex]:
    """An index of the test's own, made for the fake embedder; each adapter in turn."""
    made: SearchIndex = EmbeddedIndex(tmp_path / "index.db")
    if request.param == "opensearch":
        name = f"contract-{os.getpid()}-{next(_numbers)}"
        made = OpenSearchIndex(request.getfixturevalue("opensearch_url"), name=name)
    made.ensure(model=FakeEmbedder.model, dimensions=FakeEmbedder.dimensions)
    yield made
    made.drop()
