"""How candidates are ranked: the lists joined, then what is known of each turn.

Each list is scaled to 0..1 over its own best; a candidate that a list lacks has 0 there. A turn whose next turn is a
candidate too gains by it: answers stand beside what they answer.
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
LONG_WORDS = 100
LOOKED_THROUGH = 1_000


@dataclass(frozen=True)
class Weights:
    """What each part counts. ``lexical``, ``own`` and ``window`` are the three lists."""

    lexical: float
    own: float
    window: float
    next_turn: float = 0.25
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
    """A candidate with its score (0..1) and the parts whose sum decides its place."""

    document: Document
    score: float
    parts: Mapping[str, float]


def rank(found: Candidates, question: ParsedQuery, weights: Weights) -> list[Ranked]:
    """The candidates, best first; of equals the newer comes first.

    Parameters
    ----------
    found : what the index found
    question : what was asked
    weights : HYBRID, LEXICAL (vectors without meaning) or NEAREST (no words to look for)
    """
    parts = _joined(found, weights)
    _add_next_turns(parts, found, weights)
    for memory_id, document in found.documents.items():
        parts[memory_id] |= _known(document, question, weights)
    return order_by_parts(found.documents, parts, attainable(question, weights))


def order_by_parts(
    documents: Mapping[str, Document], parts: Mapping[str, Mapping[str, float]], attainable: float
) -> list[Ranked]:
    """Documents by the sums of their parts, best first; of equals the newer comes first.

    Parameters
    ----------
    documents, parts : by memory id
    attainable : the sum that has the score 1
    """
    totals = {memory_id: sum(each.values()) for memory_id, each in parts.items()}
    ranked = [
        Ranked(document, min(max(totals[memory_id] / attainable, 0.0), 1.0), parts[memory_id])
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
    span = best[0] - low
    return {name: max(0.0, (score - low) / span) if span > 0 else 1.0 for name, score in scores.items()}


def _joined(found: Candidates, weights: Weights) -> dict[str, dict[str, float]]:
    lists = (
        ("lexical", weights.lexical, scale_scores(found.lexical, floor=0.0)),
        ("own", weights.own, scale_scores(found.own)),
        ("window", weights.window, scale_scores(found.window)),
    )
    return {
        memory_id: {name: weight * scores.get(memory_id, 0.0) for name, weight, scores in lists if weight}
        for memory_id in found.documents
    }


def _add_next_turns(parts: dict[str, dict[str, float]], found: Candidates, weights: Weights) -> None:
    places = {
        (document.conversation_id, document.seq): memory_id
        for memory_id, document in found.documents.items()
        if document.conversation_id and document.seq is not None
    }
    joined = {memory_id: sum(each.values()) for memory_id, each in parts.items()}
    for (conversation_id, seq), memory_id in places.items():
        following = places.get((conversation_id, (seq or 0) + 1))
        parts[memory_id]["next"] = weights.next_turn * joined[following] if following else 0.0


def _known(document: Document, question: ParsedQuery, weights: Weights) -> dict[str, float]:
    """What is known of a document by itself; of its text, the beginning is looked through."""
    text = document.content[:LOOKED_THROUGH]
    return {
        "speaker": weights.speaker * (question.speaker is not None and document.speaker == question.speaker),
        "length": weights.length * log1p(min(words.count_words(text), LONG_WORDS)),
        "question": weights.question * document.is_question,
        "date": weights.date * question.date.closeness(document.moment) if question.date else 0.0,
        "time": weights.time * (question.is_when_question and has_time_expression(text)),
    }


def attainable(question: ParsedQuery, weights: Weights) -> float:
    """The sum that a turn would have that is first everywhere, with an equal behind it."""
    lists = (weights.lexical + weights.own + weights.window) * (1 + weights.next_turn)
    speaker = weights.speaker if question.speaker else 0.0
    date = weights.date if question.date else 0.0
    time = weights.time if question.is_when_question else 0.0
    return lists + speaker + date + time + weights.length * log1p(LONG_WORDS)
