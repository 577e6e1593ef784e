"""Bring what the tables hold into the search index, from their streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.database.streams import answer_each, note_lag
from annals.ledger.stream import answer_batch, is_ledger_batch
from annals.memory.indexing.stream_indexing import StreamIndexing
from annals.publishing.notify import notify_item


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Index what the batch names; what fails is sent again, and at last to the dead-letter queue."""
    answer = _index(event)
    telemetry.count("IndexFailures", len(answer["batchItemFailures"]))
    note_lag("IndexLagMs", event)
    telemetry.publish()
    return answer


def _index(event: Mapping[str, Any]) -> dict[str, Any]:
    work = StreamIndexing()
    if is_ledger_batch(event):
        return answer_batch(event, work.index_entries)
    return answer_each(event, lambda keys: _item(work, keys))


def _item(work: StreamIndexing, keys: Mapping[str, Any]) -> None:
    """Index a memory or a fact; then publish that, since now it can be found."""
    work.index_item(keys)
    notify_item(keys["pk"]["S"], keys["sk"]["S"])
