"""Drift: where the search index is not what the tables say. Reported, and mended where that is wanted.

The index follows the tables by a moment, so what seems off counts only if it still is so at a second look.
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

SHOWN = 5
"""How many ids of each kind are told."""

LAG_S = 5.0
"""How long after the first look the second one follows."""

WAITING = 100
"""How many spans wait for a second look, at most."""

Off = dict[str, str]
"""What is off, by memory id: its kind."""


@dataclass
class DriftReport:
    """How many documents the index holds, how many are off, and the first ids of each kind.

    ``failed`` is what could not be mended.
    """

    documents: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {MISSING: 0, STALE: 0, ORPHANED: 0})
    first: dict[str, list[str]] = field(default_factory=lambda: {MISSING: [], STALE: [], ORPHANED: []})
    failed: IndexFailures = field(default_factory=IndexFailures)

    def add(self, off: Off) -> None:
        """Count what is off."""
        for memory_id, kind in off.items():
            self.counts[kind] += 1
            if len(self.first[kind]) < SHOWN:
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
    progress : is told after each look how many items it was
    repair : whether what is off is indexed, or removed, as the tables say
    lag_s : seconds between the two looks at what seems off

    Raises
    ------
    ConfigurationError : the index was made with another model
    SearchUnavailable : the index, or for a repair the model, does not answer
    """
    if repair:
        index.ensure(model=embedder.model, dimensions=embedder.dimensions)
    drift, target = DriftReport(), IndexTarget(index, embedder)
    index.refresh()
    tables = (span for page in walk_tables() for span in page.spans)
    for spans, kinds in ((tables, (MISSING, STALE)), (_counted(walk_index(index), drift), (ORPHANED,))):
        look = _Look(index, embedding_profile_of(embedder), kinds)
        for span, off in _confirmed(spans, look, progress, lag_s):
            drift.add(off)
            if repair:
                drift.failed.add(index_table_range(target, span))
        index.refresh()
    return drift


def sample_drift(index: RebuildableIndex, embedder: Embedder, items: int) -> DriftReport:
    """Compare the index with some items of the tables: what of them it lacks or holds otherwise. Raises as above."""
    index.refresh()
    drift, look = DriftReport(), _Look(index, embedding_profile_of(embedder), (MISSING, STALE))
    for _, off in _confirmed(sample_tables(items), look, lambda _: None, LAG_S):
        drift.add(off)
    return drift


def _counted(spans: Iterator[TableRange], drift: DriftReport) -> Iterator[TableRange]:
    for span in spans:
        drift.documents += span.size
        yield span


@dataclass(frozen=True)
class _Look:
    """Looks at spans for what is off in some ways."""

    index: RebuildableIndex
    profile: EmbeddingProfile
    kinds: Collection[str]

    def at(self, span: TableRange) -> Off:
        found = span.project()
        wanted = {document.memory_id: document.fingerprint(self.profile.name) for document in found.documents}
        known = self.index.find_fingerprints(found.tenant, [*wanted, *found.gone])
        off = {memory_id: ORPHANED for memory_id in found.gone if memory_id in known}
        for memory_id, fingerprint in wanted.items():
            if known.get(memory_id) != fingerprint:
                off[memory_id] = STALE if memory_id in known else MISSING
        return {memory_id: kind for memory_id, kind in off.items() if kind in self.kinds}


def _confirmed(
    spans: Iterator[TableRange], look: _Look, progress: Callable[[int], object], lag_s: float
) -> Iterator[tuple[TableRange, Off]]:
    """The spans in which something is off at two looks."""
    waiting: deque[tuple[float, TableRange, Off]] = deque()
    for span in spans:
        if off := look.at(span):
            waiting.append((time.monotonic() + lag_s, span, off))
        progress(span.size)
        while waiting and (len(waiting) > WAITING or waiting[0][0] <= time.monotonic()):
            yield from _again(look, *waiting.popleft())
    while waiting:
        yield from _again(look, *waiting.popleft())


def _again(look: _Look, due: float, span: TableRange, off: Off) -> Iterator[tuple[TableRange, Off]]:
    time.sleep(max(0.0, due - time.monotonic()))
    still = {memory_id: kind for memory_id, kind in look.at(span).items() if off.get(memory_id) == kind}
    if still:
        yield span, still
