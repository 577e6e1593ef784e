"""Long texts in parts, each short enough for an embedding model to read to its end."""

from __future__ import annotations

import re

MAX_PARTS = 64
"""So many parts of a text get a vector; an entry's 380 KB are 48 of 8,000 characters."""

_BORDERS = (re.compile(r"\n\s*\n"), re.compile(r"[.!?…]['\"”’)]*\s|[。！？]|\n"), re.compile(r"\s"))
"""Where a text is best cut: behind a paragraph, behind a sentence, behind a word."""


def parts_of(text: str, longest: int) -> list[str]:
    """A text in parts of at most ``longest`` characters, cut at the best border in the second half of each.

    Nothing is left out but what is behind the 64th part. A text that is short enough is one part.
    """
    parts: list[str] = []
    start = 0
    while start < len(text) and len(parts) < MAX_PARTS:
        end = len(text) if len(text) - start <= longest else _border(text, start, start + longest)
        parts.append(text[start:end])
        start = end
    return parts


def _border(text: str, start: int, end: int) -> int:
    """The last good place to cut between the middle and the end; the end itself where there is none."""
    middle = (start + end + 1) // 2
    for border in _BORDERS:
        places = [found.end() for found in border.finditer(text, middle, end)]
        if places:
            return places[-1]
    return end
