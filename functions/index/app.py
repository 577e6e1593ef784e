"""Bring what the ledger holds into the search index, from the ledger's stream."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from annals import models, search
from annals.memory.indexing import index_range
from annals.models.embedding import Embedder
from annals.search.port import SearchIndex
from annals.settings import settings
from annals.streams import answer_batch


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Index the entries that the batch names; what fails is sent again, and at last to the dead-letter queue."""
    return answer_batch(event, lambda pk, seqs: index_range(index(), embedder(), pk, seqs[0], seqs[-1]))


@cache
def index() -> SearchIndex:
    """The search index of the settings."""
    return search.from_settings(settings())


@cache
def embedder() -> Embedder:
    """The embedding model of the settings."""
    return models.embedder_from_settings(settings())
