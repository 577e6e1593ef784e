"""Searching: a query goes to the index in one round trip, and its candidates are ranked here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from annals import telemetry
from annals.errors import InvalidInput
from annals.providers.embedding import Embedder, unit_vector
from annals.providers.reranking import Reranker
from annals.search import fusion, queries, reranking
from annals.search.documents import Document
from annals.search.fusion import Ranked, Weights
from annals.search.protocol import Candidates, Scope, SearchIndex
from annals.search.queries import ParsedQuery
from annals.search.snippets import snippet

DEPTH = 150
"""So many candidates each list gives; more only where more hits are requested.

More than the hundred that a list is scaled over: after them come messages that something else speaks for.
"""

UNLIKE = 1e-6
"""Up to which size a cosine is that of vectors that cannot be compared."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What is searched for.

    Parameters
    ----------
    scope : what may be found
    query, embedding : a query's text, its vector made by the caller, or both
    limit : how many hits, 1..1000
    min_score : hits with less are left out, 0..1
    explain : whether hits carry the parts of their score
    with_callers_vectors : whether the index also holds vectors that are like none of this kind: their cosine is 0
    """

    scope: Scope
    query: str = ""
    embedding: Sequence[float] | None = None
    limit: int = 50
    min_score: float = 0.0
    explain: bool = False
    with_callers_vectors: bool = False


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Parameters
    ----------
    document : without window and vectors
    score : 0..1, how much it has of what a perfect answer would have
    snippet : the part of the content that matches best, each match as ``**word**``
    parts : with ``explain``, what the score is made of: a number for each list and each trait
    """

    document: Document
    score: float
    snippet: str
    parts: Mapping[str, float] | None = None


def search(
    index: SearchIndex, embedder: Embedder, request: SearchRequest, reranker: Reranker | None = None
) -> list[Hit]:
    """The hits for a query, best first; where the reranker does not answer, as they are without it.

    Raises
    ------
    InvalidInput : INVALID_EMBEDDING, for a vector of the wrong length or without direction
    SearchUnavailable : the index does not answer
    EmbeddingUnavailable : the model does not answer
    """
    telemetry.count("Searches")
    vector = _given_vector(request, embedder)
    scope = request.scope
    if scope.spaces is not None and not scope.spaces:
        return []
    query = queries.parse_query(request.query, index.list_speakers(scope))
    weights, vector = _choose_lists(query, vector, embedder)
    if not query.terms and vector is None:
        return []
    candidates = index.find_candidates(
        scope,
        terms=query.terms,
        vector=vector,
        dates=query.date.date_range() if query.date else None,
        depth=max(DEPTH, request.limit),
        model=embedder.model,
    )
    if request.with_callers_vectors:
        candidates = _without_unlike(candidates)
    # A message without words, such as the call of a tool, is in the index for its window's sake, and answers nothing.
    ranked = [each for each in fusion.rank(candidates, query, weights) if each.document.content.strip()]
    if reranker and query.terms:
        best_total = fusion.perfect_total(query, weights)
        ranked = reranking.rerank_hits(ranked, request.query, reranker, best_total=best_total)
    return list(_hits(ranked, query, request))


def _without_unlike(candidates: Candidates) -> Candidates:
    """The candidates without the cosines that are 0: those of vectors that cannot be compared with the query's."""
    lists = (candidates.own, candidates.window)
    own, window = ({each: cosine for each, cosine in cosines.items() if abs(cosine) > UNLIKE} for cosines in lists)
    dropped = (
        (candidates.own.keys() | candidates.window.keys()) - own.keys() - window.keys() - candidates.lexical.keys()
    )
    documents = {each: document for each, document in candidates.documents.items() if each not in dropped}
    return Candidates(documents, candidates.lexical, own, window)


def _given_vector(request: SearchRequest, embedder: Embedder) -> list[float] | None:
    """The caller's own vector at unit length."""
    if request.embedding is None:
        return None
    dimensions = embedder.dimensions
    if len(request.embedding) == dimensions and all(map(math.isfinite, request.embedding)) and any(request.embedding):
        return unit_vector(request.embedding)
    detail = f"embedding must hold {dimensions} finite numbers, not all of them 0."
    raise InvalidInput("INVALID_EMBEDDING", detail, field="embedding")


def _choose_lists(
    query: ParsedQuery, vector: list[float] | None, embedder: Embedder
) -> tuple[Weights, list[float] | None]:
    """How the lists count, and the vector to search with, the caller's own or the query's.

    By words and vector; by words alone, where vectors only know spelling; by vector alone, where there are no words.
    """
    if vector is None and not embedder.semantic and query.terms:
        return fusion.LEXICAL, None
    if vector is None and query.text:
        vector = embedder.embed([query.text])[0]
    return (fusion.HYBRID if query.terms else fusion.NEAREST), vector


def _hits(ranked: Sequence[Ranked], query: ParsedQuery, request: SearchRequest) -> Iterator[Hit]:
    for each in ranked[: request.limit]:
        if each.score < request.min_score:
            return
        parts = each.parts if request.explain else None
        yield Hit(each.document, each.score, snippet(each.document.content, query.terms), parts)
