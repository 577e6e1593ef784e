"""Search and indexing by how much an index holds: latency, recall, documents a second.

Documents are made (see ``bench.synthetic``), with two vectors of 384 dimensions each, so no model is called. A search
is the whole of it: candidates by words, vectors and filters from the index, and their ranking. CPU is this process's:
the embedded index' work is in it, OpenSearch's is not. ``--index opensearch``
takes the OpenSearch that ``OPENSEARCH_URL`` names, or starts one of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from annals import search
from annals.search import Filters, Scope, SearchRequest
from annals.search.documents import Vector
from annals.search.protocol import SearchIndex
from annals.settings import Settings
from bench.scores import quantile
from bench.synthetic import DIMENSIONS, START_MS, STEP_MS, TENANT, Corpus
from scripts import opensearch

BATCH = 256
MODEL = "made"
RECALL_OF = 100
Question = tuple[str, Vector]


@dataclass(frozen=True)
class Layout:
    """How documents are spread over spaces, and what is searched (None: all the tenant's spaces)."""

    name: str
    shares: Sequence[float]
    searched: Sequence[str | None]

    def spaces(self, size: int) -> list[str]:
        """The name of each document's space; every conversation of 50 stays whole."""
        rng, conversations = np.random.default_rng(0), size // 50 + 1
        chosen = rng.choice(len(self.shares), conversations, p=np.array(self.shares) / sum(self.shares))
        return [f"s{chosen[row // 50]}" for row in range(size)]


LAYOUTS = (
    Layout("one space", [1], ["s0"]),
    Layout("100 equal spaces", [1] * 100, ["s0", None]),
    Layout("half in one of 51 spaces", [50, *[1] * 50], ["s0"]),
)


class NoModel:
    """Instead of an embedding model: every query comes with its vector."""

    model = MODEL
    dimensions = DIMENSIONS
    semantic = True

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Never called."""
        raise AssertionError(f"{len(texts)} texts came without their vectors")


@contextlib.contextmanager
def opened(kind: str) -> Iterator[SearchIndex]:
    """An index of the benchmark's own, gone afterwards."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = ""
        if kind == "opensearch":
            url = os.environ.get("OPENSEARCH_URL") or stack.enter_context(opensearch.running())
        file = "" if url else str(Path(folder) / "index.sqlite3")
        index = search.from_settings(
            Settings(embedded_index=file, opensearch_url=url, opensearch_index=f"annals-bench-{os.getpid()}")
        )
        try:
            yield index
        finally:
            index.drop()


def fill(index: SearchIndex, corpus: Corpus, spaces: list[str], title: str) -> float:
    """Store the corpus in batches. Returns documents a second, until they are found."""
    index.drop()
    index.ensure(model=MODEL, dimensions=DIMENSIONS)
    documents, spent = corpus.documents(spaces), 0.0
    for start in tqdm(range(0, corpus.size, BATCH), desc=f"{title}: index", leave=False):
        batch = [(next(documents), "") for _ in range(min(BATCH, corpus.size - start))]
        started = time.perf_counter()
        if failures := index.upsert(batch):
            raise RuntimeError(failures[0].reason)
        spent += time.perf_counter() - started
    started = time.perf_counter()
    index.refresh()
    return corpus.size / (spent + time.perf_counter() - started)


def filters_of(size: int) -> dict[str, Filters]:
    """The filters that are measured, by what they let through."""
    return {
        "none": Filters(),
        "a user's, later half (10 %)": Filters(user_id="user-1", since=START_MS + STEP_MS * size // 2),
        "a tag (20 documents)": Filters(tags_any=("rare",)),
    }


def timed(
    index: SearchIndex, questions: Sequence[Question], space: str | None, filters: Filters, title: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of each search, after some that warm up, and those that this process computed."""
    scope = Scope(tenant=TENANT, spaces=frozenset({space}) if space else None, filters=filters)
    took, computed = [], []
    warming = questions[:10]
    for number, (text, vector) in enumerate(tqdm([*warming, *questions], desc=title, leave=False)):
        request = SearchRequest(scope=scope, query=text, embedding=vector, limit=10)
        started, cpu_started = time.perf_counter(), time.process_time()
        search.search(index, NoModel(), request)
        if number >= len(warming):
            took.append(1000 * (time.perf_counter() - started))
            computed.append(1000 * (time.process_time() - cpu_started))
    return took, computed


def recall(
    index: SearchIndex, corpus: Corpus, spaces: list[str], space: str | None, questions: Sequence[Question]
) -> float:
    """The share of the truly nearest hundred, of texts and of windows, that the index finds among its 150."""
    rows = np.array([row for row, name in enumerate(spaces) if space in (None, name)])
    scope, shares = Scope(tenant=TENANT, spaces=frozenset({space}) if space else None), []
    for _, vector in questions:
        candidates = index.find_candidates(scope, terms=[], vector=vector, dates=None, depth=150)
        for matrix, cosines in ((corpus.vectors, candidates.own), (corpus.window_vectors, candidates.window)):
            best = rows[np.argsort(-(matrix[rows] @ np.array(vector, np.float32)))[:RECALL_OF]]
            expected = {f"mem:c{row // 50}:{row % 50 + 1}" for row in best}
            shares.append(len(expected & cosines.keys()) / len(expected))
    return float(np.mean(shares))


def count_few(index: SearchIndex, corpus: Corpus, vector: Vector) -> str:
    """How many documents of a filter that leaves 20 are found by a common word, and by a vector."""
    scope = Scope(tenant=TENANT, filters=Filters(tags_any=("rare",)))
    words = list(
        dict.fromkeys(word for row in range(7, corpus.size, corpus.size // 20) for word in corpus.texts[row].split())
    )
    by_words = index.find_candidates(scope, terms=words[:200], vector=None, dates=None, depth=150).lexical
    by_vector = index.find_candidates(scope, terms=[], vector=vector, dates=None, depth=150).own
    total = f"{index.count(scope)} documents among {corpus.size:,}"
    return f"Of {total}: {len(by_words)} found by words, {len(by_vector)} by vector"


def measure(index: SearchIndex, corpus: Corpus, searches: int, chosen: Sequence[Layout]) -> Iterator[Table | str]:
    """The tables, each when it is measured."""
    questions, speed = corpus.questions(searches), Table(title="Indexing, without the embedding")
    speed.add_column("layout")
    speed.add_column("documents/s", justify="right")
    latency = Table(title=f"Search of words and a vector, {corpus.size:,} documents in one tenant")
    for name in ("layout", "searched", "filter"):
        latency.add_column(name)
    for name in ("p50 ms", "p95 ms", "p50 CPU", "recall"):
        latency.add_column(name, justify="right")
    few = ""
    for layout in chosen:
        spaces = layout.spaces(corpus.size)
        speed.add_row(layout.name, f"{fill(index, corpus, spaces, layout.name):,.0f}")
        few = few or count_few(index, corpus, questions[0][1])
        for space in layout.searched:
            searched = f"{spaces.count(space):,}" if space else "all"
            recalled = f"{recall(index, corpus, spaces, space, questions[:40]):.3f}"
            for name, filters in filters_of(corpus.size).items():
                took, computed = timed(index, questions, space, filters, f"{layout.name}, {searched}, {name}")
                figures = (quantile(took, 0.5), quantile(took, 0.95), quantile(computed, 0.5))
                latency.add_row(layout.name, searched, name, *(f"{figure:.1f}" for figure in figures), recalled)
                recalled = ""
    yield from (speed, latency, few)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--index", choices=["embedded", "opensearch"], default="embedded", help="(%(default)s)")
    parser.add_argument("--searches", type=int, default=100, help="for each figure (%(default)s)")
    parser.add_argument("--layouts", type=int, nargs="+", default=[0, 1, 2], help="which of the three (0 1 2)")
    arguments = parser.parse_args()
    console = Console()
    with opened(arguments.index) as index:
        chosen = [LAYOUTS[number] for number in arguments.layouts]
        for each in measure(index, Corpus(arguments.documents), arguments.searches, chosen):
            console.print(each)


if __name__ == "__main__":
    main()
