"""How well search ranks: recall and nDCG on real multi-session dialogues whose questions name the turns that answer.

Beside the product two of the lists that it is made of, each by itself: BM25 of a turn and the two before it, and the
nearest vectors of turns. ``python -m bench.ranking`` measures the embedded index with offline embeddings, which know
spelling and no meaning. ``--embeddings minilm`` serves MiniLM by the script that MINILM_SERVER names, ``--embeddings
URL`` names any OpenAI-compatible endpoint, ``--opensearch URL`` a running OpenSearch. ``LOCOMO`` names the data set.
``bench.recall`` asks the same questions over HTTP.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from annals import providers, search
from annals.providers.embedding import Embedder
from annals.search import Scope, SearchRequest, queries
from annals.search.documents import Document
from annals.search.message_documents import SourceConversation, SourceMessage, to_message_documents
from annals.search.protocol import SearchIndex
from annals.settings import Settings
from bench import scores
from bench.served import minilm_served
from scripts import dialogues
from scripts.dialogues import Dialogue

TENANT = "bench"

Method = Callable[[SearchIndex, Embedder, SearchRequest], list[Document]]
"""A way to answer: the best documents, the best first."""


def documents(chosen: Sequence[Dialogue]) -> list[Document]:
    """The dialogues' turns as messages, each dialogue a conversation in a space of its own, each session a run."""
    return [
        document
        for each in chosen
        for document in to_message_documents(
            SourceConversation(tenant=TENANT, conversation_id=each.name, memory_space_id=each.name), messages(each)
        )
    ]


def messages(dialogue: Dialogue) -> list[SourceMessage]:
    """A dialogue's turns as the index takes them."""
    return [
        SourceMessage(
            seq=seq,
            message_id=turn["id"],
            text=dialogues.text_of(turn),
            at=round(1000 * dialogues.said_at(turn).timestamp()),
            speaker=turn["speaker"],
            run_id=str(turn["session"]),
        )
        for seq, turn in enumerate(dialogue.turns, 1)
    ]


def by_list(name: str) -> Method:
    """Ranks by one of the index' lists alone, asked for as the product asks for it."""

    def rank(index: SearchIndex, embedder: Embedder, request: SearchRequest) -> list[Document]:
        parsed = queries.parse_query(request.query, index.list_speakers(request.scope))
        vector = embedder.embed([parsed.text])[0] if name in ("own", "window") else None
        candidates = index.find_candidates(
            request.scope, terms=parsed.terms, vector=vector, dates=None, depth=request.limit
        )
        scores: dict[str, float] = getattr(candidates, name)
        return [candidates.documents[memory_id] for memory_id in sorted(scores, key=lambda each: -scores[each])]

    return rank


def by_product(index: SearchIndex, embedder: Embedder, request: SearchRequest) -> list[Document]:
    """Ranks as a search does."""
    return [hit.document for hit in search.search(index, embedder, request)]


METHODS = {"BM25 only": by_list("lexical"), "vectors only": by_list("own"), "the product": by_product}


def measure(method: Method, index: SearchIndex, embedder: Embedder, chosen: Sequence[Dialogue]) -> list[scores.Outcome]:
    """Ask every question that something answers, each within its dialogue."""
    outcomes = []
    for question in [question for each in chosen for question in each.questions if scores.counts(question)]:
        scope = Scope(tenant=TENANT, spaces=frozenset({question["conv"]}))
        request = SearchRequest(scope=scope, query=question["q"], limit=max(scores.DEPTHS))
        start = time.perf_counter()
        documents = method(index, embedder, request)
        took_ms = 1000 * (time.perf_counter() - start)
        ranked = [document.message_ids[0] for document in documents]
        outcomes.append(scores.score(question["category"], ranked, dialogues.evidence_of(question), took_ms))
    return outcomes


@contextmanager
def _index(opensearch_url: str) -> Iterator[SearchIndex]:
    """An index of the benchmark's own, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        file = "" if opensearch_url else str(Path(folder) / "ranking.db")
        index = search.from_settings(
            Settings(embedded_index=file, opensearch_url=opensearch_url, opensearch_index=f"annals-bench-{os.getpid()}")
        )
        try:
            yield index
        finally:
            index.drop()


@contextmanager
def _embedder(embeddings: str, model: str) -> Iterator[Embedder]:
    """What ``--embeddings`` names."""
    with ExitStack() as stack:
        url = stack.enter_context(minilm_served()) if embeddings == "minilm" else embeddings
        name = "" if url == providers.OFFLINE else model
        yield providers.embedder_from_settings(
            Settings(embeddings_url=url, embeddings_model=name, embeddings_timeout_s=300)
        )


def main() -> None:
    """Index the dialogues, ask the questions by each method, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--embeddings", default="offline", help="minilm, or …/v1 of an OpenAI-compatible endpoint (%(default)s)"
    )
    parser.add_argument("--model", default="all-minilm", help="the model's name there (%(default)s)")
    parser.add_argument("--opensearch", default="", help="URL of an OpenSearch (the embedded index)")
    arguments = parser.parse_args()
    path = dialogues.named_file()
    if not path.exists():
        sys.stdout.write(f"Ranking is left out: there is no {path}. Let LOCOMO name the data set.\n")
        return
    chosen = dialogues.read(path)
    with _embedder(arguments.embeddings, arguments.model) as embedder, _index(arguments.opensearch) as index:
        start = time.perf_counter()
        indexed = documents(chosen)
        failures = search.index_documents(index, embedder, indexed)
        index.refresh()
        took_s = time.perf_counter() - start
        caption = f"{len(indexed)} turns indexed in {took_s:.1f} s, {len(failures)} failed; {embedder.model}"
        for name, method in METHODS.items():
            Console().print(scores.table(measure(method, index, embedder, chosen), f"{name}: {caption}"))


if __name__ == "__main__":
    main()
