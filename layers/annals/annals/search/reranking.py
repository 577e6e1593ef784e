"""Reranking: the best hits are scored anew by a model that reads them together with the query."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from annals import telemetry
from annals.errors import RerankUnavailable
from annals.providers.reranking import Reranker
from annals.search import words
from annals.search.fusion import Ranked, order_by_parts, scale_scores

logger = logging.getLogger("annals")

MAX_RERANKED = 30
"""So many hits are reranked; those after them stay where they are."""

WEIGHT = 4.0
"""As much as the lists of a hybrid search have together."""


def rerank_hits(ranked: Sequence[Ranked], query: str, reranker: Reranker, *, best_total: float) -> list[Ranked]:
    """The hits with the part ``rerank``, best first; without it, and as they were, where the model doesn't answer.

    Parameters
    ----------
    ranked : best first
    query : as the caller wrote it
    reranker : the model that reads the first 30
    best_total : the sum of a perfect hit's parts
    """
    best = {each.document.memory_id: each for each in ranked[:MAX_RERANKED] if words.has_words(each.document.content)}
    if not best:
        return list(ranked)
    try:
        scores = reranker.rerank(query, [each.document.spoken for each in best.values()])
    except RerankUnavailable:
        telemetry.count("RerankUnavailable")
        logger.warning("Hits were not reranked", exc_info=True)
        return list(ranked)
    shares = scale_scores(dict(zip(best, scores, strict=True)))
    return order_by_parts(
        {each.document.memory_id: each.document for each in ranked},
        {each.document.memory_id: _with_share(each, shares) for each in ranked},
        best_total + WEIGHT,
    )


def _with_share(hit: Ranked, shares: Mapping[str, float]) -> Mapping[str, float]:
    share = shares.get(hit.document.memory_id)
    return hit.parts if share is None else {**hit.parts, "rerank": WEIGHT * share}
