"""How texts are quoted to a model, so that nobody's words look like Annals' own.

Annals' own structure is lines: headings, ``- [day] who:`` before a memory, ``[who]`` above a message. So a text within
such a line is put on one line, and in a text that keeps its lines, those that look like Annals' own are marked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

LINE_BREAK = " ⏎ "
"""What replaces the line breaks of a text."""

FACTS_HEADING = "What is known:"
MEMORIES_HEADING = "What is remembered from earlier, oldest first:"

MAX_NAME_CHARS = 64

_JOINERS = "\u200c\u200d"
_COLONS = ":\ua789\ufe13\ufe55\uff1a\u2236\u02d0\u0589"
_BEFORE_WORDS = re.compile(r"^[^\w\[]+")
_OURS = ("[", *(heading.rstrip(":").partition(",")[0].casefold() for heading in (FACTS_HEADING, MEMORIES_HEADING)))


def to_one_line(text: str) -> str:
    """A text without line breaks of any kind; blank lines are left out."""
    return LINE_BREAK.join(line for line in text.splitlines() if line.strip())


def quote_lines(text: str) -> str:
    """A text with its lines; one that looks like a line of ours gets ``> `` before it."""
    return "".join(f"> {line}" if _looks_like_ours(line) else line for line in text.splitlines(keepends=True))


def display_name(name: str) -> str:
    """A name without what could end it: brackets, colons, line breaks, invisible characters; it may be empty then."""
    return " ".join("".join(each if _is_of_names(each) else " " for each in name).split())[:MAX_NAME_CHARS].strip()


def speaker_name(message: Mapping[str, Any]) -> str:
    """The name of who wrote a message, among agents the agent's; empty where it is not known."""
    return display_name(str(message.get("name") or message.get("from") or ""))


def _is_of_names(character: str) -> bool:
    is_bracket = unicodedata.category(character) in ("Ps", "Pe")
    return character in _JOINERS or (character.isprintable() and not is_bracket and character not in _COLONS)


def _looks_like_ours(line: str) -> bool:
    return _BEFORE_WORDS.sub("", unicodedata.normalize("NFKC", line)).casefold().startswith(_OURS)
