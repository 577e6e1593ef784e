"""Bring what the ledger holds into the search index, from the ledger's stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.memory.indexing import index_range
from annals.memory.ports import embedder, index
from annals.streams import answer_batch


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Index the entries that the batch names; what fails is sent again, and at last to the dead-letter queue."""
    return answer_batch(event, lambda pk, seqs: index_range(index(), embedder(), pk, seqs[0], seqs[-1]))
