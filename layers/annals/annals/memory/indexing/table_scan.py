"""Table scans: ranges of the tables, and of the index, that are indexed or compared together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol

from annals.database.dynamodb import client
from annals.database.keys import split_partition_key
from annals.errors import DamagedItem
from annals.ledger.keys import conversation_pk, is_conversation_pk, is_entry_sk, seq_of_sk
from annals.memory.facts.fact_items import FACT_PREFIX
from annals.memory.indexing.projection import (
    IndexProjection,
    project_entries,
    project_fact,
    project_item,
    project_memory,
)
from annals.memory.keys import is_memory_sk
from annals.memory.memories.memory_items import split_raw_id
from annals.search.protocol import DocumentKey, RebuildableIndex
from annals.settings import settings

RANGE_SIZE = 100
"""How many items are one range, at most."""

PAGE_SIZE = 1_000
"""How many items a page is, at most; DynamoDB reads 1 MB for it, at most."""

LEDGER, STATE, END = "ledger", "state", "end"


class TableRange(Protocol):
    """A part of a table, or of the index."""

    @property
    def size(self) -> int:
        """How many items it is."""
        ...

    def project(self) -> IndexProjection:
        """What the index has to hold of it, as the tables are now."""
        ...


@dataclass(frozen=True)
class EntryRange:
    """Entries of a conversation, by the seqs that they begin at."""

    pk: str
    seqs: tuple[int, ...]

    @property
    def size(self) -> int:
        return len(self.seqs)

    def project(self) -> IndexProjection:
        projection = project_entries(self.pk, self.seqs[0], self.seqs[-1], with_following=False)
        # Of an erased conversation, each range names its own messages as gone, and no other range's.
        return replace(projection, erased=None)


@dataclass(frozen=True)
class ItemRange:
    """Memories and facts of a tenant, by their keys."""

    keys: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        return len(self.keys)

    def project(self) -> IndexProjection:
        projections = [projection for pk, sk in self.keys if (projection := _project_readable(pk, sk))]
        return IndexProjection(
            tenant=split_partition_key(self.keys[0][0])[0],
            documents=tuple(document for each in projections for document in each.documents),
            gone=frozenset().union(*(each.gone for each in projections)),
        )


def _project_readable(pk: str, sk: str) -> IndexProjection | None:
    """What follows from an item; None for one that cannot be read, which is reported."""
    try:
        return project_item(pk, sk)
    except DamagedItem:
        return None


@dataclass(frozen=True)
class DocumentRange:
    """Documents of a tenant that the index holds, whatever the tables say of them."""

    tenant: str
    memory_ids: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.memory_ids)

    def project(self) -> IndexProjection:
        """Those documents that follow from the tables; the others are gone."""
        memory_ids = frozenset(self.memory_ids)
        projected = (document for projection in self._projections() for document in projection.documents)
        documents = [document for document in projected if document.memory_id in memory_ids]
        gone = memory_ids - {each.memory_id for each in documents}
        return IndexProjection(tenant=self.tenant, documents=tuple(documents), gone=gone)

    def _projections(self) -> Iterator[IndexProjection]:
        messages = sorted(message for each in self.memory_ids if (message := split_raw_id(each)))
        for conversation_id, group in groupby(messages, key=lambda message: message[0]):
            pk = conversation_pk(self.tenant, conversation_id)
            for seqs in _group_seqs([seq for _, seq in group]):
                yield project_entries(pk, seqs[0], seqs[-1], with_following=False)
        for each in self.memory_ids:
            if not split_raw_id(each):
                yield (project_fact if each.startswith(FACT_PREFIX) else project_memory)(self.tenant, each)


@dataclass(frozen=True)
class ScanPage:
    """Some ranges, and the position after them, from which ``walk_tables`` goes on."""

    ranges: Sequence[TableRange]
    next_position: str


def walk_tables(position: str = "") -> Iterator[ScanPage]:
    """Everything that is indexed, a page of a table at a time.

    Parameters
    ----------
    position : where to go on; empty for the beginning
    """
    table, start = json.loads(position) if position else (LEDGER, None)
    while table != END:
        page = _scan(table, start)
        ranges = list(_ranges_of([(item["pk"]["S"], item["sk"]["S"]) for item in page["Items"]]))
        start = page.get("LastEvaluatedKey")
        if start is None:
            table = STATE if table == LEDGER else END
        yield ScanPage(ranges, json.dumps([table, start]))


def walk_index(index: RebuildableIndex) -> Iterator[TableRange]:
    """Everything that the index holds."""
    after: DocumentKey | None = None
    while keys := index.list_keys(limit=RANGE_SIZE, after=after):
        for tenant, group in groupby(keys, key=lambda key: key[0]):
            yield DocumentRange(tenant, tuple(memory_id for _, memory_id in group))
        after = keys[-1]


def count_table_items() -> int:
    """About how many items the tables hold; DynamoDB counts them every six hours."""
    names = (settings().ledger_table, settings().state_table)
    return sum(client().describe_table(TableName=name)["Table"].get("ItemCount", 0) for name in names)


def _scan(table: str, start: Any) -> Any:
    name = settings().ledger_table if table == LEDGER else settings().state_table
    more = {"ExclusiveStartKey": start} if start else {}
    return client().scan(TableName=name, ProjectionExpression="pk, sk", ConsistentRead=True, Limit=PAGE_SIZE, **more)


def _ranges_of(keys: Sequence[tuple[str, str]]) -> Iterator[TableRange]:
    """The ranges of a page's keys. A message that was changed as a memory goes with its conversation."""
    for pk, group in groupby((key for key in keys if is_entry_sk(key[1])), key=lambda key: key[0]):
        seqs = [seq for _, sk in group if (seq := seq_of_sk(sk))]
        yield from (EntryRange(pk, tuple(part)) for part in _split(seqs))
    memories = (key for key in keys if is_memory_sk(key[1]) and not is_conversation_pk(key[0]))
    for _, group in groupby(memories, key=lambda key: split_partition_key(key[0])[0]):
        yield from (ItemRange(tuple(part)) for part in _split(list(group)))


def _group_seqs(seqs: Sequence[int]) -> Iterator[list[int]]:
    """Seqs in groups that are read together: no group covers more seqs than a range has items."""
    return (list(group) for _, group in groupby(seqs, key=lambda seq: seq // RANGE_SIZE))


def _split(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + RANGE_SIZE] for start in range(0, len(items), RANGE_SIZE))
