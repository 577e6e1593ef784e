"""Drift: where the search index is not what the tables say. It is reported, and repaired where that is requested.

The index follows the tables a moment later, so that a difference counts only if a second comparison finds it, too.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from annals.memory.indexing.indexer import IndexFailures, IndexTarget, embedding_profile_of, index_table_range
from annals.memory.indexing.sampling import sample_tables
from annals.memory.indexing.table_scan import TableRange, walk_index, walk_tables
from annals.providers.embedding import Embedder
from annals.search.profiles import EmbeddingProfile
from annals.search.protocol import RebuildableIndex

MISSING, STALE, ORPHANED = "missing", "stale", "orphaned"

MAX_NAMED = 5
"""How many ids of each kind are named."""

LAG_S = 5.0
"""How many seconds after the first comparison the second one follows."""

MAX_WAITING = 100
"""How many ranges wait for a second comparison, at most."""

Differences = dict[str, str]
"""The kind of each difference, by memory id."""


@dataclass
class DriftReport:
    """How many documents the index holds, how many are off, and the first ids of each kind.

    ``failed`` is what could not be repaired.
    """

    documents: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {MISSING: 0, STALE: 0, ORPHANED: 0})
    first: dict[str, list[str]] = field(default_factory=lambda: {MISSING: [], STALE: [], ORPHANED: []})
    failed: IndexFailures = field(default_factory=IndexFailures)

    def add(self, differences: Differences) -> None:
        """Count differences."""
        for memory_id, kind in differences.items():
            self.counts[kind] += 1
            if len(self.first[kind]) < MAX_NAMED:
                self.first[kind].append(memory_id)


def find_drift(
    index: RebuildableIndex,
    embedder: Embedder,
    progress: Callable[[int], object],
    *,
    repair: bool = False,
    lag_s: float = LAG_S,
) -> DriftReport:
    """Compare the index with the tables, both ways, in bounded memory.

    Parameters
    ----------
    progress : called after each comparison with the number of its items
    repair : whether what is off is indexed, or removed, as the tables say
    lag_s : seconds between the two comparisons of what seems off

    Raises
    ------
    ConfigurationError : the index was made with another model
    SearchUnavailable : the index, or for a repair the model, does not answer
    """
    if repair:
        index.ensure(model=embedder.model, dimensions=embedder.dimensions)
    drift, target = DriftReport(), IndexTarget(index, embedder)
    index.refresh()
    table_ranges = (table_range for page in walk_tables() for table_range in page.ranges)
    index_ranges = _count_documents(walk_index(index), drift)
    for ranges, kinds in ((table_ranges, (MISSING, STALE)), (index_ranges, (ORPHANED,))):
        comparison = _Comparison(index, embedding_profile_of(embedder), kinds)
        for table_range, differences in _confirm(ranges, comparison, progress, lag_s):
            drift.add(differences)
            if repair:
                drift.failed.add(index_table_range(target, table_range))
        index.refresh()
    return drift


def sample_drift(index: RebuildableIndex, embedder: Embedder, items: int) -> DriftReport:
    """Compare the index with some items of the tables: what of them it lacks or holds otherwise. Raises as above."""
    index.refresh()
    drift, comparison = DriftReport(), _Comparison(index, embedding_profile_of(embedder), (MISSING, STALE))
    for _, differences in _confirm(sample_tables(items), comparison, lambda _: None, LAG_S):
        drift.add(differences)
    return drift


def _count_documents(ranges: Iterator[TableRange], drift: DriftReport) -> Iterator[TableRange]:
    for table_range in ranges:
        drift.documents += table_range.size
        yield table_range


@dataclass(frozen=True)
class _Comparison:
    """Compares ranges of the tables with an index, for some kinds of differences."""

    index: RebuildableIndex
    profile: EmbeddingProfile
    kinds: Collection[str]

    def compare(self, table_range: TableRange) -> Differences:
        projection = table_range.project()
        expected = {document.memory_id: document.fingerprint(self.profile.name) for document in projection.documents}
        indexed = self.index.find_fingerprints(projection.tenant, [*expected, *projection.gone])
        differences = {memory_id: ORPHANED for memory_id in projection.gone if memory_id in indexed}
        for memory_id, fingerprint in expected.items():
            if indexed.get(memory_id) != fingerprint:
                differences[memory_id] = STALE if memory_id in indexed else MISSING
        return {memory_id: kind for memory_id, kind in differences.items() if kind in self.kinds}


def _confirm(
    ranges: Iterator[TableRange], comparison: _Comparison, progress: Callable[[int], object], lag_s: float
) -> Iterator[tuple[TableRange, Differences]]:
    """The ranges in which two comparisons find a difference, with those that both find.

    A range waits for its second comparison while others have their first, so that the time between costs nothing.
    """
    waiting: deque[tuple[float, TableRange, Differences]] = deque()
    for table_range in ranges:
        if differences := comparison.compare(table_range):
            waiting.append((time.monotonic() + lag_s, table_range, differences))
        progress(table_range.size)
        while waiting and (len(waiting) > MAX_WAITING or waiting[0][0] <= time.monotonic()):
            yield from _compare_again(comparison, *waiting.popleft())
    while waiting:
        yield from _compare_again(comparison, *waiting.popleft())


def _compare_again(
    comparison: _Comparison, due: float, table_range: TableRange, earlier: Differences
) -> Iterator[tuple[TableRange, Differences]]:
    time.sleep(max(0.0, due - time.monotonic()))
    current = comparison.compare(table_range)
    confirmed = {memory_id: kind for memory_id, kind in current.items() if earlier.get(memory_id) == kind}
    if confirmed:
        yield table_range, confirmed
