"""Recall and nDCG of what search finds, by the category of the question."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from scripts.dialogues import evidence_of

DEPTHS = (5, 10, 20)
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}


@dataclass(frozen=True)
class Outcome:
    """The scores of one question."""

    category: int
    recall: dict[int, float]
    ndcg: float
    took_ms: float


def counts(question: dict[str, Any]) -> bool:
    """Whether there is something to find for the question."""
    return question["category"] in CATEGORIES and bool(evidence_of(question))


def score(category: int, results: Sequence[str], relevant: set[str], took_ms: float) -> Outcome:
    """The outcome of a question: the ids of the turns in the results, best first, and of those that answer it."""
    recall = {depth: len(relevant.intersection(results[:depth])) / len(relevant) for depth in DEPTHS}
    return Outcome(category, recall, _ndcg(results[:10], relevant), took_ms)


def table(outcomes: Sequence[Outcome], title: str) -> Table:
    """The figures, a row for each category and one for all."""
    rows = Table(title=title, caption=latency(outcomes))
    rows.add_column("questions")
    for column in ("n", *(f"R@{depth}" for depth in DEPTHS), "nDCG@10"):
        rows.add_column(column, justify="right")
    groups = {name: [each for each in outcomes if each.category == number] for number, name in CATEGORIES.items()}
    for name, group in {**groups, "all": list(outcomes)}.items():
        if group:
            means = [statistics.fmean(each.recall[depth] for each in group) for depth in DEPTHS]
            means.append(statistics.fmean(each.ndcg for each in group))
            rows.add_row(name, str(len(group)), *(f"{mean:.3f}" for mean in means))
    return rows


def latency(outcomes: Sequence[Outcome]) -> str:
    """How long the searches took."""
    took = [each.took_ms for each in outcomes]
    return f"a search: p50 {quantile(took, 0.5):.1f} ms, p95 {quantile(took, 0.95):.1f} ms"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _ndcg(results: Sequence[str], relevant: set[str]) -> float:
    gained = sum(1 / math.log2(rank + 2) for rank, name in enumerate(results) if name in relevant)
    return gained / sum(1 / math.log2(rank + 2) for rank in range(min(len(relevant), 10)))
