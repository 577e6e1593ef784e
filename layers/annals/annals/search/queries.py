"""What a question asks for: its words, the text to embed, the speakers and the date that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from annals.search import words
from annals.search.dates import MONTHS, NamedDate, find_date, is_when_question
from annals.search.documents import MAX_SPEAKER_CHARS

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

AUXILIARIES = frozenset(
    """
    do does did is are was were has have had will would can could shall should may might must
""".split()
)


@dataclass(frozen=True)
class ParsedQuery:
    """A question, taken apart.

    Parameters
    ----------
    terms : the words to look for, at most 64; empty where it holds none but question words
    text : the text to embed, as the speakers that it names would say it; empty where it holds no word at all
    speaker : the speaker whom it is about
    is_when_question : whether it wants a time for an answer
    date : the day or month that it names
    """

    terms: tuple[str, ...]
    text: str
    speaker: str | None = None
    date: NamedDate | None = None
    is_when_question: bool = False


def parse_query(text: str, speakers: Collection[str]) -> ParsedQuery:
    """Take a question apart, given the names of those who spoke where it is asked."""
    text = text[:MAX_LENGTH]
    named = _named_speakers(text, speakers)
    names = {name for found in named.values() for name in found}
    asked = [word for word in dict.fromkeys(words.words(text)) if word not in QUESTION_WORDS or word in names]
    terms = [word for word in asked if word not in names] or asked
    return ParsedQuery(
        terms=tuple(terms[:MAX_TERMS]),
        text=_in_first_person(text, names) if words.has_words(text) else "",
        speaker=_asked_about(text, named),
        date=find_date(text),
        is_when_question=is_when_question(text),
    )


def _named_speakers(text: str, speakers: Collection[str]) -> dict[str, frozenset[str]]:
    """Each speaker that the text names, with the words that name him; not one whom another fits better."""
    said = _name_words(text)
    found = {speaker: said.intersection(words.words(speaker[:MAX_SPEAKER_CHARS])) for speaker in speakers}
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


@dataclass(frozen=True)
class _Mention:
    """Where a text names someone: by which words, whether as an owner, and whether as the subject of "did Ann say"."""

    start: int
    stop: int
    names: frozenset[str]
    owns: bool
    acts: bool


def _mentions(text: str, names: Collection[str]) -> Iterator[_Mention]:
    """Each run of names in a text."""
    runs = [list(run) for _, run in groupby(words.spans(text), key=lambda span: span[2] in names)]
    for before, run, after in zip([[], *runs], runs, [*runs[1:], []], strict=False):
        (start, *_), (last, stop, name) = run[0], run[-1]
        if name in names:
            owns = text[last:stop].lower() != name
            alone = not after or after[0][2] not in ("and", "or")
            acts = bool(before) and before[-1][2] in AUXILIARIES and alone and not owns
            yield _Mention(start, stop, frozenset(word for *_, word in run), owns, acts)


def _asked_about(text: str, named: Mapping[str, frozenset[str]]) -> str | None:
    """The only speaker named; of several, the one who acts: Ann in "What did Ann tell Ben?"."""
    if len(named) < 2:
        return next(iter(named), None)
    acting = [mention.names for mention in _mentions(text, frozenset().union(*named.values())) if mention.acts]
    subjects = [speaker for speaker, names in named.items() if any(each <= names for each in acting)]
    return subjects[0] if len(subjects) == 1 else None


def _in_first_person(text: str, names: Collection[str]) -> str:
    """The text with "I" and "my" for names, as what answers says them; as it is where it holds nothing but names."""
    if all(word in names for word in words.words(text)):
        return text
    said, end = "", 0
    for mention in _mentions(text, names):
        said += text[end : mention.start] + ("my" if mention.owns else "I")
        end = mention.stop
    return said + text[end:]
