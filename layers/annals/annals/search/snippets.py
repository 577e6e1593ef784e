"""Snippets: the part of a text that matches a query best, with what matched marked."""

from __future__ import annotations

from collections.abc import Sequence

from annals.search import words
from annals.search.stemming import stem

SNIPPET_WORDS = 30
SEARCHED_CHARS = 20_000
"""So much of a text is looked through for matches."""
MAX_LENGTH = 1_000

MarkedSpan = tuple[int, int, bool]
"""Where a word starts and ends, and whether it matched."""


def snippet(text: str, terms: Sequence[str]) -> str:
    """The thirty words with the most matches, each match as ``**word**``; the beginning where nothing matches.

    Only the first 20,000 characters are looked through.
    """
    stems = {stem(term) for term in terms}
    spans = [(start, end, stem(word) in stems) for start, end, word in words.spans(text[:SEARCHED_CHARS])]
    if not spans:
        return text.strip()[:MAX_LENGTH]
    first = _find_densest([is_match for _, _, is_match in spans])
    chosen = spans[first : first + SNIPPET_WORDS]
    return _mark(text, chosen, is_first=first == 0, is_last=first + SNIPPET_WORDS >= len(spans))[:MAX_LENGTH]


def _find_densest(matches: Sequence[bool]) -> int:
    """Where the thirty words with the most matches begin; the matches are in their middle."""
    last_start = max(len(matches) - SNIPPET_WORDS, 0)
    count = most = sum(matches[:SNIPPET_WORDS])
    best = 0
    for start in range(1, last_start + 1):
        count += matches[start + SNIPPET_WORDS - 1] - matches[start - 1]
        if count > most:
            most, best = count, start
    hits = [index for index in range(best, min(best + SNIPPET_WORDS, len(matches))) if matches[index]]
    return min(max((hits[0] + hits[-1] - SNIPPET_WORDS) // 2, 0), last_start) if hits else 0


def _mark(text: str, spans: Sequence[MarkedSpan], *, is_first: bool, is_last: bool) -> str:
    """The text from the first to the last of the spans, with marks, and with dots where it goes on."""
    position = 0 if is_first else spans[0][0]
    end = len(text[:SEARCHED_CHARS]) if is_last else spans[-1][1]
    pieces = ["" if is_first else "…"]
    for start, stop, is_match in spans:
        word = f"**{text[start:stop]}**" if is_match else text[start:stop]
        pieces += [text[position:start], word]
        position = stop
    return "".join([*pieces, text[position:end], "" if end == len(text) else "…"]).strip()
