"""Bring what the tables hold into the search index, from their streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.memory.indexing import index_changed, index_range
from annals.memory.ports import embedder, index
from annals.streams import answer_batch, answer_each, is_ledger_record, note_lag


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Index what the batch names; what fails is sent again, and at last to the dead-letter queue."""
    answer = _index(event)
    telemetry.count("IndexFailures", len(answer["batchItemFailures"]))
    note_lag("IndexLagMs", event)
    telemetry.publish()
    return answer


def _index(event: Mapping[str, Any]) -> dict[str, Any]:
    if is_ledger_record(event["Records"][0]):
        return answer_batch(event, lambda pk, seqs: index_range(index(), embedder(), pk, seqs[0], seqs[-1]))
    return answer_each(event, lambda keys: index_changed(index(), embedder(), keys["pk"]["S"], keys["sk"]["S"]))
