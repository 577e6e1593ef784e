"""Rebuilding what is derived: heads, references and the search index, from the ledger and the state table.

This is work for a command, not for a request: it reads whole tables. The index is built beside the one in service,
which goes on answering; meanwhile the index function writes to both. The progress is stored in the new index, so that
the next run goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from annals.conversations.heads import HEAD, delete_conversation_state, head_key
from annals.conversations.receipts import RECEIPT
from annals.database.dynamodb import Item, client
from annals.documents.addresses import DOCUMENT_PREFIX
from annals.documents.user_documents import put_document_trace
from annals.errors import DamagedItem
from annals.ledger.entry_items import from_ledger_item
from annals.ledger.keys import entry_sk
from annals.ledger.tail import read_tail
from annals.memory.erasure.message_redaction import delete_if_source_redacted
from annals.memory.erasure.resuming import hand_over
from annals.memory.erasure.user_tracing import trace_entry
from annals.memory.facts.fact_creation import put_fact_traces
from annals.memory.facts.fact_items import from_fact_item, is_facts_pk
from annals.memory.indexing.drift import find_drift
from annals.memory.indexing.indexer import IndexFailures, IndexTarget, index_table_range
from annals.memory.indexing.table_scan import walk_tables
from annals.memory.keys import is_memory_sk
from annals.memory.memories.memory_items import from_memory_item
from annals.memory.memories.memory_references import put_references
from annals.memory.retention_timers import SPACE_SK, project_with_timer
from annals.memory.spaces import put_participant_traces
from annals.providers.embedding import Embedder
from annals.search.profiles import index_profile, require_profile
from annals.search.protocol import RebuildableIndex
from annals.settings import settings

Progress = Callable[[int], object]
"""Called after each piece of work with the number of its items."""


@dataclass
class RebuildResult:
    """How many items were read, and which of them could not be indexed."""

    items: int = 0
    failed: IndexFailures = field(default_factory=IndexFailures)


def rebuild_heads(progress: Progress) -> RebuildResult:
    """Bring every conversation's head and timer up to its ledger; create those that are missing."""
    result = RebuildResult()
    for pk in _walk_conversations():
        with suppress(DamagedItem):  # it is in the log, and no other conversation waits for it
            project_with_timer(pk)
            result.items += 1
        progress(1)
    return result


def rebuild_people(progress: Progress) -> RebuildResult:
    """Write again, from both tables, the traces of users and the references from messages to what was made of them.

    Data of a version that wrote neither is found by an erasure from then on, and erasures that such a version left
    unfinished are handed to the stream's function. All of it can be repeated.
    """
    result = RebuildResult()
    for item in _scan(settings().ledger_table):
        with suppress(DamagedItem):  # it is in the log, and nothing else waits for it
            trace_entry(from_ledger_item(item))
        result.items += 1
        progress(1)
    for item in _scan(settings().state_table):
        with suppress(DamagedItem):
            _put_references(item)
        result.items += 1
        progress(1)
    return result


def _put_references(item: Item) -> None:
    """Write the references to an item of the state table, of whatever kind it is; hand a receipt's erasure over."""
    pk, sk = item["pk"]["S"], item["sk"]["S"]
    if sk == RECEIPT:
        hand_over(pk)
    elif sk.startswith(DOCUMENT_PREFIX):
        put_document_trace(item)
    elif sk == SPACE_SK:
        put_participant_traces(item)
    elif is_memory_sk(sk) and is_facts_pk(pk):
        put_fact_traces(from_fact_item(item))
    elif is_memory_sk(sk):
        memory = from_memory_item(item)
        put_references(memory)
        delete_if_source_redacted(memory)


def drop_heads_ahead(progress: Progress) -> int:
    """Drop the heads that are ahead of the ledger, as after a restore to an earlier moment; returns how many.

    Those of conversations that the ledger holds, ``rebuild_heads`` creates again; changes of their metadata are lost.
    """
    dropped = 0
    for pk, seq in _walk_heads():
        tail = read_tail(pk)
        if tail is None:
            delete_conversation_state(pk)
        elif seq > tail.seq:
            client().delete_item(TableName=settings().state_table, Key=head_key(pk))
        dropped += tail is None or seq > tail.seq
        progress(1)
    return dropped


def build_index(live: RebuildableIndex, embedder: Embedder, progress: Progress, *, beside: str = "") -> RebuildResult:
    """Build the index that is to replace the one in service, or go on with it; ``live.switch_to`` then replaces it.

    Parameters
    ----------
    beside : the name of an index in service under another name, which this one is to replace

    Raises
    ------
    ConfigurationError : the index in service, or the one that was begun, is of another model
    SearchUnavailable : the index or the model does not answer; the progress is stored
    """
    new = _begin(live, embedder, beside)
    target = IndexTarget(new, embedder, reuse_from=(live,) if _has_same_vectors(live, new) else ())
    result = RebuildResult()
    for page in walk_tables(new.get_progress()):
        for table_range in page.ranges:
            result.failed.add(index_table_range(target, table_range))
            result.items += table_range.size
            progress(table_range.size)
        new.save_progress(page.next_position)
    return result


def rebuild_index(live: RebuildableIndex, embedder: Embedder, progress: Progress, *, beside: str = "") -> RebuildResult:
    """Build a new index and put it in service, unless another run has done so; see ``build_index``."""
    result = build_index(live, embedder, progress, beside=beside)
    # An index function of an older version, or of another model, did not write to the new index meanwhile.
    if new := live.find_next():
        find_drift(new, embedder, progress, repair=True, lag_s=0)
        live.switch_to(new)
    live.drop_former()
    return result


def _begin(live: RebuildableIndex, embedder: Embedder, beside: str) -> RebuildableIndex:
    expected = index_profile(embedder.model, embedder.dimensions)
    if live_profile := live.find_profile():
        # Documents of another version are what a rebuild is for; a new model takes an index of another name.
        require_profile("in service", live_profile, {**expected, "version": live_profile.get("version", "")})
    new = live.ensure_next(model=embedder.model, dimensions=embedder.dimensions, beside=beside)
    require_profile("that was begun", new.find_profile(), expected)
    return new


def _has_same_vectors(live: RebuildableIndex, new: RebuildableIndex) -> bool:
    """Whether two indexes are of one model, whatever the form of their documents."""
    live_profile = live.find_profile()
    return bool(live_profile) and {**new.find_profile(), "version": live_profile["version"]} == live_profile


def _walk_conversations() -> Iterator[str]:
    """The partition key of each conversation in the ledger, erased ones too."""
    return (item["pk"]["S"] for item in _scan_sk(settings().ledger_table, entry_sk(0), ProjectionExpression="pk"))


def _walk_heads() -> Iterator[tuple[str, int]]:
    """The partition key of each conversation that has a head, and the seq that the head is at."""
    heads = _scan_sk(
        settings().state_table, HEAD, ProjectionExpression="pk, #seq", ExpressionAttributeNames={"#seq": "seq"}
    )
    return ((item["pk"]["S"], int(item["seq"]["N"])) for item in heads)


def _scan(table: str, **parameters: Any) -> Iterator[Any]:
    """All items of a table, or those that a filter among the scan's other parameters leaves."""
    pages = client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True, **parameters)
    return (item for page in pages for item in page["Items"])


def _scan_sk(table: str, sk: str, **parameters: Any) -> Iterator[Any]:
    """The items of a table with a sort key."""
    return _scan(table, FilterExpression="sk = :sk", ExpressionAttributeValues={":sk": {"S": sk}}, **parameters)
