"""The search indexes that the contract tests run against."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from annals.search.embedded.index import EmbeddedIndex
from annals.search.opensearch.index import OpenSearchIndex
from annals.search.protocol import RebuildableIndex
from tests.fakes.search import FakeEmbedder

Make = Callable[[str], RebuildableIndex]

_numbers = count(1)


@pytest.fixture(params=["embedded", pytest.param("opensearch", marks=pytest.mark.opensearch)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes indexes of the test's own, by name, of each adapter in turn; the same name is the same index."""
    prefix, made = f"contract-{os.getpid()}-{next(_numbers)}", []
    url = request.getfixturevalue("opensearch_url") if request.param == "opensearch" else ""

    def make(name: str) -> RebuildableIndex:
        index = OpenSearchIndex(url, name=f"{prefix}-{name}") if url else EmbeddedIndex(tmp_path / f"{name}.db")
        made.append(index)
        return index

    yield make
    for index in made:
        index.drop_next()
        index.drop()


@pytest.fixture
def index(make: Make) -> RebuildableIndex:
    """An index of the test's own, made for the fake embedder."""
    return _ensured(make("index"))


@pytest.fixture
def other(make: Make) -> RebuildableIndex:
    """Another one."""
    return _ensured(make("other"))


def _ensured(index: RebuildableIndex) -> RebuildableIndex:
    index.ensure(model=FakeEmbedder.model, dimensions=FakeEmbedder.dimensions)
    return index
