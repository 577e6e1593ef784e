"""How candidates are ranked: the lists are joined, then what is known of each message by itself is added.

Each list is scaled to 0..1 over its own best; a candidate that is not in a list has 0 there. A message whose next one
is a candidate too gains by it: answers come right after what they answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log1p

from annals.search import words
from annals.search.dates import has_time_expression
from annals.search.documents import Document
from annals.search.protocol import Candidates
from annals.search.queries import ParsedQuery

SCALED_OVER = 100
"""Over so many of its best a list is scaled."""

LONG_WORDS = 100
"""From so many words on a text counts as long."""

READ_CHARS = 1_000
"""So much of a text is read to tell its length, and whether it says when."""


@dataclass(frozen=True)
class Weights:
    """How much each part counts. ``lexical``, ``own`` and ``window`` are the three lists."""

    lexical: float
    own: float
    window: float
    next_message: float = 0.25
    speaker: float = 1.5
    length: float = 0.4
    question: float = -0.4
    date: float = 2.0
    time: float = 0.5


HYBRID = Weights(lexical=2.0, own=1.0, window=1.0)
LEXICAL = Weights(lexical=3.0, own=0.0, window=0.0)
NEAREST = Weights(lexical=0.0, own=1.0, window=1.0)


@dataclass(frozen=True)
class Ranked:
    """A candidate with its score (0..1), and the parts whose sum decides where it is placed."""

    document: Document
    score: float
    parts: Mapping[str, float]


def rank(candidates: Candidates, query: ParsedQuery, weights: Weights) -> list[Ranked]:
    """The candidates, best first; of equals the newer comes first.

    Parameters
    ----------
    candidates : what the index found
    query : what was searched for
    weights : HYBRID, LEXICAL (vectors without meaning) or NEAREST (no words to look for)
    """
    parts = _join_lists(candidates, weights)
    _add_next_messages(parts, candidates, weights)
    for memory_id, document in candidates.documents.items():
        parts[memory_id] |= _score_by_itself(document, query, weights)
    return order_by_parts(candidates.documents, parts, perfect_total(query, weights))


def order_by_parts(
    documents: Mapping[str, Document], parts: Mapping[str, Mapping[str, float]], best_total: float
) -> list[Ranked]:
    """Documents by the sums of their parts, best first; of equals the newer comes first.

    Parameters
    ----------
    documents, parts : by memory id
    best_total : the sum whose score is 1
    """
    totals = {memory_id: sum(each.values()) for memory_id, each in parts.items()}
    ranked = [
        Ranked(document, min(max(totals[memory_id] / best_total, 0.0), 1.0), parts[memory_id])
        for memory_id, document in documents.items()
    ]
    return sorted(
        ranked, key=lambda each: (-totals[each.document.memory_id], -each.document.at, each.document.memory_id)
    )


def scale_scores(scores: Mapping[str, float], floor: float | None = None) -> dict[str, float]:
    """Scores as 0..1 over the best hundred; what is worse has 0.

    ``floor`` is the score of what is not in the list, where the list is so short that it holds all that has any.
    """
    best = sorted(scores.values(), reverse=True)[:SCALED_OVER]
    if not best:
        return {}
    low = floor if floor is not None and len(scores) < SCALED_OVER else best[-1]
    spread = best[0] - low
    return {name: max(0.0, (score - low) / spread) if spread > 0 else 1.0 for name, score in scores.items()}


def perfect_total(query: ParsedQuery, weights: Weights) -> float:
    """The sum of the parts of a message that is first in every list, with an equal one after it."""
    lists = (weights.lexical + weights.own + weights.window) * (1 + weights.next_message)
    speaker = weights.speaker if query.speaker else 0.0
    date = weights.date if query.date else 0.0
    time = weights.time if query.is_when_question else 0.0
    return lists + speaker + date + time + weights.length * log1p(LONG_WORDS)


def _join_lists(candidates: Candidates, weights: Weights) -> dict[str, dict[str, float]]:
    lists = (
        ("lexical", weights.lexical, scale_scores(candidates.lexical, floor=0.0)),
        ("own", weights.own, scale_scores(candidates.own)),
        ("window", weights.window, scale_scores(candidates.window)),
    )
    return {
        memory_id: {name: weight * scores.get(memory_id, 0.0) for name, weight, scores in lists if weight}
        for memory_id in candidates.documents
    }


def _add_next_messages(parts: dict[str, dict[str, float]], candidates: Candidates, weights: Weights) -> None:
    by_seq = {
        (document.conversation_id, document.seq): memory_id
        for memory_id, document in candidates.documents.items()
        if document.conversation_id and document.seq is not None
    }
    totals = {memory_id: sum(each.values()) for memory_id, each in parts.items()}
    for (conversation_id, seq), memory_id in by_seq.items():
        next_id = by_seq.get((conversation_id, (seq or 0) + 1))
        parts[memory_id]["next"] = weights.next_message * totals[next_id] if next_id else 0.0


def _score_by_itself(document: Document, query: ParsedQuery, weights: Weights) -> dict[str, float]:
    """What a document gains, whatever the lists say; of its text, the beginning is read."""
    text = document.content[:READ_CHARS]
    return {
        "speaker": weights.speaker * (query.speaker is not None and document.speaker == query.speaker),
        "length": weights.length * log1p(min(words.count_words(text), LONG_WORDS)),
        "question": weights.question * document.is_question,
        "date": weights.date * query.date.closeness(document.moment) if query.date else 0.0,
        "time": weights.time * (query.is_when_question and has_time_expression(text)),
    }
