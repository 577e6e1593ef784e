"""How well search ranks: recall and nDCG on real multi-session dialogues whose questions name the turns that answer.

``python -m bench.ranking`` measures the embedded index with offline embeddings. ``--embeddings URL`` names an
OpenAI-compatible endpoint, ``--opensearch URL`` a running OpenSearch. ``LOCOMO`` names the data set. ``bench.recall``
asks the same questions over HTTP.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from annals import models, search
from annals.models.embedding import Embedder
from annals.search.documents import Document
from annals.search.port import SearchIndex
from annals.search.turns import Conversation, Turn, documents_of
from annals.settings import Settings
from bench import dialogues, scores
from bench.dialogues import Dialogue

TENANT = "bench"


def documents(chosen: Sequence[Dialogue]) -> list[Document]:
    """The dialogues' turns, each dialogue a conversation in a space of its own, each session a run."""
    return [
        document
        for each in chosen
        for document in documents_of(
            Conversation(tenant=TENANT, conversation_id=each.name, memory_space_id=each.name), turns(each)
        )
    ]


def turns(dialogue: Dialogue) -> list[Turn]:
    """A dialogue's turns as the index takes them."""
    return [
        Turn(
            seq=seq,
            message_id=turn["id"],
            text=dialogues.text_of(turn),
            at=round(1000 * dialogues.said_at(turn).timestamp()),
            speaker=turn["speaker"],
            run_id=str(turn["session"]),
        )
        for seq, turn in enumerate(dialogue.turns, 1)
    ]


def measure(index: SearchIndex, embedder: Embedder, chosen: Sequence[Dialogue]) -> list[scores.Outcome]:
    """Ask every question that something answers, each within its dialogue."""
    outcomes = []
    for question in [question for each in chosen for question in each.questions if scores.counts(question)]:
        request = search.SearchRequest(
            tenant=TENANT, query=question["q"], memory_space_id=question["conv"], limit=max(scores.DEPTHS)
        )
        start = time.perf_counter()
        hits = search.search(index, embedder, request)
        took_ms = 1000 * (time.perf_counter() - start)
        found = [hit.document.message_ids[0] for hit in hits]
        outcomes.append(scores.score(question["category"], found, dialogues.evidence_of(question), took_ms))
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


def main() -> None:
    """Index the dialogues, ask the questions, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", default="offline", help="…/v1 of an OpenAI-compatible endpoint (offline)")
    parser.add_argument("--model", default="all-minilm", help="the model's name there")
    parser.add_argument("--opensearch", default="", help="URL of an OpenSearch (the embedded index)")
    arguments = parser.parse_args()
    path = dialogues.named_file()
    if not path.exists():
        sys.exit(f"There is no {path}: let LOCOMO name the data set.")
    chosen = dialogues.read(path)
    model = "" if arguments.embeddings == "offline" else arguments.model
    embedder = models.embedder_from_settings(Settings(embeddings_url=arguments.embeddings, embeddings_model=model))
    with _index(arguments.opensearch) as index:
        start = time.perf_counter()
        said = documents(chosen)
        failures = search.index_documents(index, embedder, said)
        index.refresh()
        took_s = time.perf_counter() - start
        title = f"{len(said)} turns indexed in {took_s:.1f} s, {len(failures)} failed; {embedder.model}"
        Console().print(scores.table(measure(index, embedder, chosen), title))


if __name__ == "__main__":
    main()
