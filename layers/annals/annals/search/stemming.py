"""The Porter stemmer (M. F. Porter, 1980), as SQLite's and OpenSearch's English analysis have it.

The indexes stem by themselves. This is for what is matched outside them: the words that a snippet marks, which are to
be those that the index has matched. Both indexes have Porter's two later rules (-bli, -logi), which the ``porter`` of
the Snowball library lacks; its ``english`` is another algorithm.
"""

from __future__ import annotations

import re
from functools import lru_cache

_STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4 = dict.fromkeys(
    """
    al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize
""".split(), ""
)  # fmt: skip
_SUFFIXES = [
    (re.compile(f"({'|'.join(sorted(endings, key=len, reverse=True))})$"), endings, measure)
    for endings, measure in ((_STEP_2, 1), (_STEP_3, 1), (_STEP_4, 2))
]


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """The stem of a lower-case English word; other words come back as they are."""
    if len(word) <= 2 or not word.isascii() or not word.isalpha():
        return word
    word = _strip_participle(_strip_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    for pattern, endings, measure in _SUFFIXES:
        word = _replace_suffix(word, pattern, endings, measure)
    return _strip_last_letter(word)


def _strip_plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _strip_participle(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    ending = next((ending for ending in ("ed", "ing") if word.endswith(ending)), None)
    if ending is None or not _has_vowel(word[: -len(ending)]):
        return word
    rest = word[: -len(ending)]
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _ends_in_double_consonant(rest) and rest[-1] not in "lsz":
        return rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _ends_short(rest) else rest


def _replace_suffix(word: str, pattern: re.Pattern[str], endings: dict[str, str], measure: int) -> str:
    match = pattern.search(word)
    if match is None:
        return word
    rest = word[: match.start()]
    if _measure(rest) < measure or (match[0] == "ion" and not rest.endswith(("s", "t"))):
        return word
    return rest + endings[match[0]]


def _strip_last_letter(word: str) -> str:
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _ends_short(word[:-1])):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word


def _shape(word: str) -> str:
    """One letter for each: ``v`` for a vowel, ``c`` for a consonant; ``y`` is a vowel after a consonant."""
    shape = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and shape.endswith("c"))
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    return _shape(word).count("vc")


def _has_vowel(word: str) -> bool:
    return "v" in _shape(word)


def _ends_in_double_consonant(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _ends_short(word: str) -> bool:
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"
