"""Snippets: the part of a text that answers best, with what matched marked."""

from __future__ import annotations

from collections.abc import Sequence

from annals.search import words
from annals.search.stemming import stem

SNIPPET_WORDS = 30
LOOKED_THROUGH = 20_000
MAX_LENGTH = 1_000


def snippet(text: str, terms: Sequence[str]) -> str:
    """The thirty words with the most matches, each match as ``**word**``; the beginning where nothing matches.

    Only the first 20,000 characters are looked through.
    """
    wanted = {stem(term) for term in terms}
    spans = [(start, end, stem(word) in wanted) for start, end, word in words.spans(text[:LOOKED_THROUGH])]
    if not spans:
        return text.strip()[:MAX_LENGTH]
    first = _densest([matched for _, _, matched in spans])
    shown = spans[first : first + SNIPPET_WORDS]
    return _marked(text, shown, opens=first == 0, closes=first + SNIPPET_WORDS >= len(spans))[:MAX_LENGTH]


def _densest(matched: Sequence[bool]) -> int:
    """Where the stretch with the most matches begins; the matches stand in its middle."""
    latest = max(len(matched) - SNIPPET_WORDS, 0)
    here = most = sum(matched[:SNIPPET_WORDS])
    place = 0
    for start in range(1, latest + 1):
        here += matched[start + SNIPPET_WORDS - 1] - matched[start - 1]
        if here > most:
            most, place = here, start
    found = [spot for spot in range(place, min(place + SNIPPET_WORDS, len(matched))) if matched[spot]]
    return min(max((found[0] + found[-1] - SNIPPET_WORDS) // 2, 0), latest) if found else 0


def _marked(text: str, shown: Sequence[tuple[int, int, bool]], *, opens: bool, closes: bool) -> str:
    start = 0 if opens else shown[0][0]
    end = len(text[:LOOKED_THROUGH]) if closes else shown[-1][1]
    pieces = ["" if opens else "…"]
    for begin, stop, matched in shown:
        word = f"**{text[begin:stop]}**" if matched else text[begin:stop]
        pieces += [text[start:begin], word]
        start = stop
    return "".join([*pieces, text[start:end], "" if end == len(text) else "…"]).strip()
