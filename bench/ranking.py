"""How well search ranks: recall and nDCG on real multi-session dialogues whose questions name the turns that answer.

``python -m bench.ranking`` measures the embedded index with offline embeddings. ``--embeddings URL`` names an
OpenAI-compatible endpoint, ``--opensearch URL`` a running OpenSearch. ``LOCOMO`` names the data set, a JSON file
``{"turns": [{conv, session, date, id, speaker, text, caption}], "questions": [{conv, q, evidence, category}]}``.
Questions of category 5 (adversarial: nothing answers them) are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annals import models, search
from annals.models.embedding import Embedder
from annals.search.documents import Document
from annals.search.port import SearchIndex
from annals.search.turns import Conversation, Turn, documents_of
from annals.settings import Settings

TENANT = "bench"
DEPTHS = (5, 10, 20)
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}
TURN_S = 30


@dataclass(frozen=True)
class Outcome:
    """What search made of one question."""

    category: int
    recall: dict[int, float]
    ndcg: float
    took_ms: float


def documents(turns: Sequence[dict[str, Any]]) -> list[Document]:
    """The dialogues' turns, each dialogue a conversation in a space of its own, each session a run."""
    by_conversation: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        said = by_conversation[turn["conv"]]
        said.append(_turn(turn, len(said) + 1))
    return [
        document
        for name, said in by_conversation.items()
        for document in documents_of(Conversation(tenant=TENANT, conversation_id=name, memory_space_id=name), said)
    ]


def measure(index: SearchIndex, embedder: Embedder, questions: Iterable[dict[str, Any]]) -> list[Outcome]:
    """Ask every question that something answers, each within its dialogue."""
    outcomes = []
    for question in questions:
        wanted = {part for each in question["evidence"] for part in re.findall(r"D\d+:\d+", each)}
        if wanted and question["category"] in CATEGORIES:
            request = search.SearchRequest(
                tenant=TENANT, query=question["q"], memory_space_id=question["conv"], limit=max(DEPTHS)
            )
            start = time.perf_counter()
            hits = search.search(index, embedder, request)
            took_ms = 1000 * (time.perf_counter() - start)
            found = [hit.document.message_ids[0] for hit in hits]
            recall = {depth: len(wanted.intersection(found[:depth])) / len(wanted) for depth in DEPTHS}
            outcomes.append(Outcome(question["category"], recall, _ndcg(found[:10], wanted), took_ms))
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """The figures, a line for each category and one for all."""
    lines = [f"{'':<12} {'n':>5} {'R@5':>6} {'R@10':>6} {'R@20':>6} {'nDCG@10':>8}"]
    groups = {name: [each for each in outcomes if each.category == number] for number, name in CATEGORIES.items()}
    for name, group in {**groups, "all": list(outcomes)}.items():
        if group:
            recalls = " ".join(f"{statistics.fmean(each.recall[depth] for each in group):6.3f}" for depth in DEPTHS)
            lines.append(f"{name:<12} {len(group):>5} {recalls} {statistics.fmean(each.ndcg for each in group):8.3f}")
    took = sorted(each.took_ms for each in outcomes)
    median, late = (took[min(int(share * len(took)), len(took) - 1)] for share in (0.5, 0.95))
    return "\n".join([*lines, f"search, with the question's embedding: p50 {median:.1f} ms, p95 {late:.1f} ms"])


def _turn(turn: dict[str, Any], seq: int) -> Turn:
    """The turn with what its picture shows; sessions are dated, turns within them are half a minute apart."""
    text = f"{turn['text']} {turn['caption']}" if turn["caption"] else turn["text"]
    day = datetime.strptime(turn["date"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    place = int(turn["id"].partition(":")[2])
    return Turn(
        seq=seq,
        message_id=turn["id"],
        text=text,
        at=round(day.timestamp() + TURN_S * place) * 1000,
        speaker=turn["speaker"],
        run_id=str(turn["session"]),
    )


def _ndcg(found: Sequence[str], wanted: set[str]) -> float:
    gained = sum(1 / math.log2(place + 2) for place, name in enumerate(found) if name in wanted)
    return gained / sum(1 / math.log2(place + 2) for place in range(min(len(wanted), 10)))


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
    path = Path(os.environ.get("LOCOMO", "../shared/data/locomo-dev.json"))
    if not path.exists():
        sys.exit(f"There is no {path}: let LOCOMO name the data set.")
    dialogues = json.loads(path.read_text())
    model = "" if arguments.embeddings == "offline" else arguments.model
    embedder = models.embedder_from_settings(Settings(embeddings_url=arguments.embeddings, embeddings_model=model))
    with _index(arguments.opensearch) as index:
        start = time.perf_counter()
        failures = search.index_documents(index, embedder, documents(dialogues["turns"]))
        index.refresh()
        took_s = time.perf_counter() - start
        print(
            f"{path.name}, {embedder.model}: {len(dialogues['turns'])} turns in {took_s:.1f} s, {len(failures)} failed"
        )
        print(table(measure(index, embedder, dialogues["questions"])))


if __name__ == "__main__":
    main()
