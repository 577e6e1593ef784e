"""What a question asks for: its words, the text to embed, the speakers and the date that it names."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from annals.search import words
from annals.search.dates import MONTHS, NamedDate, asks_when, named_date

MAX_TERMS = 64
MAX_LENGTH = 4_000

QUESTION_WORDS = frozenset(
    """
    what when where who whom whose which why how did does do is are was were has have had would could
    should can will the a an of to in on at for and or by with from that this it its be been being there
    their they them he she his her him i me my you your we us our as if so than then not no but about
    into any some
""".split()
)


@dataclass(frozen=True)
class Question:
    """A question, taken apart.

    Parameters
    ----------
    terms : the words to look for, at most 64; empty where it holds none but question words
    text : the text to embed, without speakers' names; empty where it holds no word at all
    speakers : the speakers that it names
    asks_when : whether it wants a time for an answer
    date : the day or month that it names
    """

    terms: tuple[str, ...]
    text: str
    speakers: frozenset[str] = frozenset()
    date: NamedDate | None = None
    asks_when: bool = False

    @property
    def speaker(self) -> str | None:
        """The speaker, where exactly one is named."""
        return next(iter(self.speakers)) if len(self.speakers) == 1 else None


def analyse(text: str, speakers: Collection[str]) -> Question:
    """Take a question apart, given the names of those who spoke where it is asked."""
    text = text[:MAX_LENGTH]
    named = _named_speakers(text, speakers)
    names = {name for found in named.values() for name in found}
    asked = [word for word in dict.fromkeys(words.words(text)) if word not in QUESTION_WORDS or word in names]
    terms = [word for word in asked if word not in names] or asked
    return Question(
        terms=tuple(terms[:MAX_TERMS]),
        text=_without(text, names) if words.has_words(text) else "",
        speakers=frozenset(named),
        date=named_date(text),
        asks_when=asks_when(text),
    )


def _named_speakers(text: str, speakers: Collection[str]) -> dict[str, frozenset[str]]:
    """Each speaker that the text names, with the words that name him; not one whom another fits better."""
    said = _name_words(text)
    found = {speaker: said.intersection(words.words(speaker)) for speaker in speakers}
    return {
        speaker: names
        for speaker, names in found.items()
        if names and not any(names < others for others in found.values())
    }


def _name_words(text: str) -> frozenset[str]:
    """The words that can be a name: will, may and the like only with a capital and not in front."""
    return frozenset(
        word
        for place, (start, _, word) in enumerate(words.spans(text))
        if len(word) > 1 and (word not in _NOT_NAMES or (place > 0 and text[start].isupper()))
    )


_NOT_NAMES = QUESTION_WORDS | frozenset(MONTHS) | {"mark", "art", "grace", "hope", "faith", "joy", "rose", "bill"}


def _without(text: str, names: Collection[str]) -> str:
    """The text without these words, as it is where nothing else would be left."""
    kept, end = "", 0
    for start, stop, word in words.spans(text):
        if word in names:
            kept, end = kept + text[end:start], stop
    kept = re.sub(r"\s+", " ", kept + text[end:]).strip()
    return kept if words.has_words(kept) else text
