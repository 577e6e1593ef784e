"""Queries, parsed: the words to look for, the text to embed, the speaker and the date that a query names."""

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


_NOT_NAMES = QUESTION_WORDS | frozenset(MONTHS) | {"mark", "art", "grace", "hope", "faith", "joy", "rose", "bill"}
"""Words that are names only with a capital, and not as the first word."""


@dataclass(frozen=True)
class ParsedQuery:
    """A query, parsed.

    Parameters
    ----------
    terms : the words to look for, at most 64; empty where it holds none but question words
    text : the text to embed, as the speakers that it names would say it; empty where it holds no word at all
    speaker : the speaker whom it is about
    date : the day or month that it names
    is_when_question : whether it asks for a time
    """

    terms: tuple[str, ...]
    text: str
    speaker: str | None = None
    date: NamedDate | None = None
    is_when_question: bool = False


def parse_query(text: str, speakers: Collection[str]) -> ParsedQuery:
    """Parse a query, given the names of those who spoke in what is searched."""
    text = text[:MAX_LENGTH]
    named = _named_speakers(text, speakers)
    names = frozenset().union(*named.values())
    candidates = [word for word in dict.fromkeys(words.words(text)) if word not in QUESTION_WORDS or word in names]
    terms = [word for word in candidates if word not in names] or candidates
    return ParsedQuery(
        terms=tuple(terms[:MAX_TERMS]),
        text=_to_first_person(text, names) if words.has_words(text) else "",
        speaker=_find_subject(text, named),
        date=find_date(text),
        is_when_question=is_when_question(text),
    )


def _named_speakers(text: str, speakers: Collection[str]) -> dict[str, frozenset[str]]:
    """Each speaker that the text names, with the words that name him; not one whom another fits better."""
    possible = _possible_names(text)
    names = {speaker: possible.intersection(words.words(speaker[:MAX_SPEAKER_CHARS])) for speaker in speakers}
    return {
        speaker: own for speaker, own in names.items() if own and not any(own < others for others in names.values())
    }


def _possible_names(text: str) -> frozenset[str]:
    """The words that can be a name: will, may and the like only with a capital and not as the first word."""
    return frozenset(
        word
        for index, (start, _, word) in enumerate(words.spans(text))
        if len(word) > 1 and (word not in _NOT_NAMES or (index > 0 and text[start].isupper()))
    )


@dataclass(frozen=True)
class _Mention:
    """Where a text names someone.

    Parameters
    ----------
    names : the words that name
    is_owner : whether something is theirs, as in "Ann's"
    is_subject : whether they act, as in "did Ann say"
    """

    start: int
    stop: int
    names: frozenset[str]
    is_owner: bool
    is_subject: bool


def _mentions(text: str, names: Collection[str]) -> Iterator[_Mention]:
    """Each run of names in a text."""
    runs = [list(run) for _, run in groupby(words.spans(text), key=lambda span: span[2] in names)]
    for before, run, after in zip([[], *runs], runs, [*runs[1:], []], strict=False):
        (start, *_), (last, stop, name) = run[0], run[-1]
        if name in names:
            is_owner = text[last:stop].lower() != name
            is_alone = not after or after[0][2] not in ("and", "or")
            is_subject = bool(before) and before[-1][2] in AUXILIARIES and is_alone and not is_owner
            yield _Mention(start, stop, frozenset(word for *_, word in run), is_owner, is_subject)


def _find_subject(text: str, named: Mapping[str, frozenset[str]]) -> str | None:
    """The only speaker named; of several, the one who acts: Ann in "What did Ann tell Ben?"."""
    if len(named) < 2:
        return next(iter(named), None)
    mentions = _mentions(text, frozenset().union(*named.values()))
    acting = [mention.names for mention in mentions if mention.is_subject]
    subjects = [speaker for speaker, names in named.items() if any(each <= names for each in acting)]
    return subjects[0] if len(subjects) == 1 else None


def _to_first_person(text: str, names: Collection[str]) -> str:
    """The text with "I" and "my" for names, as an answer says it; as it is where it holds nothing but names."""
    if all(word in names for word in words.words(text)):
        return text
    rewritten, end = "", 0
    for mention in _mentions(text, names):
        rewritten += text[end : mention.start] + ("my" if mention.is_owner else "I")
        end = mention.stop
    return rewritten + text[end:]
