"""Long texts in parts, each short enough for an embedding model to read to its end."""

from __future__ import annotations

import re

MAX_PARTS = 64
"""So many parts of a text get a vector; an entry's 380 KB are 48 of 8,000 characters."""

_BORDERS = (re.compile(r"\n\s*\n"), re.compile(r"[.!?…]['\"”’)]*\s|[。！？]|\n"), re.compile(r"\s"))
"""Where a text is best cut: after a paragraph, after a sentence, after a word."""


def split_text(text: str, max_chars: int) -> list[str]:
    """A text in parts of at most ``max_chars`` characters, cut at the best border in the second half of each.

    Nothing is left out but what comes after the 64th part. A text that is short enough is one part.
    """
    parts: list[str] = []
    start = 0
    while start < len(text) and len(parts) < MAX_PARTS:
        end = len(text) if len(text) - start <= max_chars else _find_border(text, start, start + max_chars)
        parts.append(text[start:end])
        start = end
    return parts


def _find_border(text: str, start: int, end: int) -> int:
    """The last good position for a cut between the middle and the end; the end itself where there is none."""
    middle = (start + end + 1) // 2
    for border in _BORDERS:
        positions = [match.end() for match in border.finditer(text, middle, end)]
        if positions:
            return positions[-1]
    return end
