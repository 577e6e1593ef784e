"""How texts are split into words, for all that is done outside the indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Combining marks of the scripts that write with them; Python's \w leaves them out.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u109f"
# Scripts without spaces between words: each character counts as a word, as in OpenSearch.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER = rf"(?:(?![{_IDEOGRAPHS}])[^\W_]|[{_MARKS}])"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|{_LETTER}+(?:['’]{_LETTER}+)*")
_ASCII_WORD = re.compile("[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
"""The same, three times as fast, for a text that is ASCII."""
_IDEOGRAPH = re.compile(f"([{_IDEOGRAPHS}])")
_POSSESSIVE = re.compile(r"['’]s?$")


def _word_pattern(text: str) -> re.Pattern[str]:
    return _ASCII_WORD if text.isascii() else _WORD


def spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Each word of a text with where it starts and ends: lower-case, without a possessive 's."""
    for match in _word_pattern(text).finditer(text):
        yield match.start(), match.end(), _POSSESSIVE.sub("", match[0].lower())


def words(text: str) -> list[str]:
    """The words of a text, lower-case, in order."""
    return [word for _, _, word in spans(text)]


def has_words(text: str) -> bool:
    """Whether a text has a word: emoji and punctuation are none."""
    return _word_pattern(text).search(text) is not None


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(_word_pattern(text).findall(text))


def separate_ideographs(text: str) -> str:
    """A text with spaces around its ideographs, for an index that splits words at spaces only."""
    return _IDEOGRAPH.sub(r" \1 ", text)
