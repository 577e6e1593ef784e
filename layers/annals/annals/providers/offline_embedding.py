"""Embeddings without a model: hashed words and pieces of words.

Lexical, not semantic: two texts are near each other if they share words or parts of words. "car" and "automobile" are
as far apart as any two words. Good enough to try everything without network or key, and to keep tests deterministic.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from zlib import crc32

from annals.providers.embedding import Vector, embed_nonblank, unit_vector

DIMENSIONS = 256
PIECE_WEIGHT = 0.5
"""What a piece of a word weighs beside the word itself."""
STOP_WORD_WEIGHT = 0.1
LONGEST_TEXT = 100_000

_WORD = re.compile(r"\w+")
_SUFFIX = re.compile(r"(?<=\w{3})(?:ing|edly|ed|ies|es|s|ly)$")
STOP_WORDS = frozenset(
    """
    a an and are as at be been but by can did do does for from had has have he her his how i if in is it
    its me my of on or our she so that the their them there they this to was we were what when where
    which who why will with would you your
""".split()
)

Feature = tuple[int, float]


class OfflineEmbedder:
    """An embedder that needs nothing: the same text has the same vector in every process and on every machine."""

    semantic = False
    model = "offline-hashing-1"
    dimensions = DIMENSIONS

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts; see Embedder.embed. A text without a letter or digit is hashed as a whole."""
        return embed_nonblank(texts, lambda worded: map(_embed, worded))


def _embed(text: str) -> Vector:
    plain = unicodedata.normalize("NFKC", text[:LONGEST_TEXT]).casefold()
    vector = [0.0] * DIMENSIONS
    for word, count in Counter(_WORD.findall(plain)).items():
        often = 1 + math.log(count)
        for index, weight in _features(word):
            vector[index] += weight * often
    if not any(vector):
        vector[_hashed(plain)[0]] = 1.0
    return unit_vector(vector)


@lru_cache(maxsize=20_000)
def _features(word: str) -> tuple[Feature, ...]:
    """Which elements of the vector a word changes, and by how much."""
    if word in STOP_WORDS:
        index, sign = _hashed(word)
        return ((index, sign * STOP_WORD_WEIGHT),)
    stem = _SUFFIX.sub("", word)
    whole, sign = _hashed(stem)
    pieces = (_hashed(f"piece {piece}") for piece in _pieces(stem))
    return ((whole, sign), *((index, sign * PIECE_WEIGHT) for index, sign in pieces))


def _pieces(word: str) -> Iterator[str]:
    """Three characters at a time, two where words are short or unspaced (as in Chinese)."""
    length = 3 if word.isascii() else 2
    bounded = f"<{word}>"
    return (bounded[start : start + length] for start in range(len(bounded) - length + 1))


def _hashed(text: str) -> Feature:
    """An index and a sign, from bits that are far apart in the hash."""
    mixed = (crc32(text.encode("utf-8", "replace")) * 0x9E3779B1) & 0xFFFFFFFF
    return mixed >> 24, 1.0 if mixed & 0x10000 else -1.0
