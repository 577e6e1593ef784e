"""Words in the embedded index: FTS5 says which memories hold them, BM25 is counted here from their stems.

FTS5's own BM25 walks through every memory of every tenant that holds one of the words. Here the work is bounded by
what is searched, and in a large space the rarer words of a question choose what is scored.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import cast

import apsw
import numpy as np
from numpy.typing import NDArray

from annals.search import words
from annals.search.documents import encodable
from annals.search.embedded.sql import Chosen, Space, place_in_space, space_of

SCORED = 3_000
"""About so many memories are scored; in a space that holds no more, all that match."""
COUNTED = 3_000
"""So many memories with a word are counted; how many more there are is told from how dense these lie."""

OWN_WEIGHT, WINDOW_WEIGHT = 0.3, 1.0
K1, B = 1.2, 0.75
LEAST_IDF = 1e-6

SPLITTER = ("unicode61", ["remove_diacritics", "2"])
STEMMER = ("porter", [SPLITTER[0], *SPLITTER[1]])

Stems = NDArray[np.uint32]


@dataclass(frozen=True)
class Word:
    """A word that is looked for: as it is asked, its stem's number, and about how many memories hold it."""

    text: str
    stem: int
    frequency: float


def stems(database: apsw.Connection, text: str) -> Stems:
    """The stems of a text in their order, each as a number."""
    return np.fromiter((zlib.crc32(stem.encode()) for stem in _tokens(database, STEMMER, text)), np.uint32)


def best(database: apsw.Connection, chosen: Chosen, terms: Sequence[str], depth: int) -> dict[int, float]:
    """The best memories by BM25 of own text and window, with their scores, best first."""
    asked = _words(database, chosen.spaces, terms)
    rows = _to_score(database, chosen, asked, depth) if asked else []
    return _scores(database, rows, asked, chosen.spaces, depth) if rows else {}


def _tokens(database: apsw.Connection, tokenizer: tuple[str, list[str]], text: str) -> list[str]:
    tokenize = database.fts5_tokenizer(*tokenizer)
    encoded = encodable(words.separate_ideographs(text)).encode()
    found = tokenize(encoded, apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False)
    return cast("list[str]", found)


def _words(database: apsw.Connection, spaces: Sequence[Space], terms: Sequence[str]) -> list[Word]:
    """The words of the terms, rarest first; those that no memory holds are left out."""
    texts = dict.fromkeys(text for term in terms for text in _tokens(database, SPLITTER, term))
    by_stem = {int(stem): text for text in texts for stem in stems(database, text)}
    found = [Word(text, stem, _frequency(database, spaces, text)) for stem, text in by_stem.items()]
    return sorted((word for word in found if word.frequency), key=lambda word: word.frequency)


def _frequency(database: apsw.Connection, spaces: Sequence[Space], text: str) -> float:
    """About how many memories of the spaces hold a word."""
    query = """
        SELECT count(*), max(rowid) FROM
        (SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid LIMIT ?)
    """
    found = 0
    for low, high in _runs(spaces):
        counted, last = database.execute(query, (_any_of([text]), low, high, COUNTED - found)).get
        found += int(counted)
        if found >= COUNTED:
            return found * _held(spaces) / max(1, _held_until(spaces, int(last)))
    return found


def _held(spaces: Iterable[Space]) -> int:
    return sum(space.documents for space in spaces)


def _held_until(spaces: Sequence[Space], row: int) -> int:
    """About how many memories of the spaces have a number up to this one."""
    reached = next(space for space in spaces if space.id == space_of(row))
    before = _held(space for space in spaces if space.id < reached.id)
    return before + min(reached.documents, place_in_space(row))


def _runs(spaces: Sequence[Space]) -> list[tuple[int, int]]:
    """The numbers of the spaces' memories, from and to; neighbouring spaces are one run."""
    runs: list[tuple[int, int]] = []
    for space in spaces:
        if runs and runs[-1][1] + 1 == space.first:
            runs[-1] = (runs[-1][0], space.last)
        else:
            runs.append((space.first, space.last))
    return runs


def _to_score(database: apsw.Connection, chosen: Chosen, asked: Sequence[Word], depth: int) -> list[int]:
    """The memories that are scored: all that match where those are few, else those with the rarer words."""
    if chosen.rows is not None and len(chosen.rows) <= SCORED:
        return chosen.rows
    texts, most = [word.text for word in asked], max(SCORED, depth)
    if _held(chosen.spaces) <= most:
        return _matching(database, chosen, texts, most)
    rare = _matching(database, chosen, texts[: _rarest(asked)], most)
    return rare if len(rare) >= depth else list({*rare, *_matching(database, chosen, texts, most)})


def _rarest(asked: Sequence[Word]) -> int:
    """How many of the words, from the rarest on, have enough matches between them to choose from."""
    for number, (matches, more) in enumerate(pairwise(accumulate(word.frequency for word in asked)), 1):
        if matches >= SCORED or (matches >= SCORED // 5 and more > SCORED):
            return number
    return len(asked)


def _matching(database: apsw.Connection, chosen: Chosen, texts: Sequence[str], limit: int) -> list[int]:
    """Memories with any of these words; of more than the limit those stored last."""
    query = f"""
        SELECT memory.id FROM words CROSS JOIN memory ON memory.id = words.rowid
        WHERE words MATCH ? AND words.rowid BETWEEN ? AND ? AND {chosen.condition.sql}
        ORDER BY words.rowid DESC LIMIT ?
    """  # noqa: S608
    found: list[int] = []
    for low, high in _runs(chosen.spaces):
        values = (_any_of(texts), low, high, *chosen.condition.values, limit - len(found))
        found += (row for (row,) in database.execute(query, values))
    return found


def _any_of(texts: Sequence[str]) -> str:
    """The full-text query for any of these words. Quoted: nothing in a word is syntax."""
    return " OR ".join('"' + text.replace('"', '""') + '"' for text in texts)


def _scores(
    database: apsw.Connection, rows: Sequence[int], asked: Sequence[Word], spaces: Sequence[Space], depth: int
) -> dict[int, float]:
    found = database.execute(
        "SELECT id, own, win FROM stems WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(rows),)
    ).fetchall()
    if not found:
        return {}
    ids, own, window = zip(*found, strict=True)
    fields = [(OWN_WEIGHT, *_joined(own)), (WINDOW_WEIGHT, *_joined(window))]
    lengths = sum(np.bincount(holders, minlength=len(ids)) for _, _, holders in fields)
    held = _held(spaces)
    mean = max(1.0, sum(space.stems for space in spaces) / max(1, held))
    norms = K1 * (1 - B + B * lengths / mean)
    scores = np.zeros(len(ids))
    for word in asked:
        times = sum(
            weight * np.bincount(holders[all_stems == word.stem], minlength=len(ids))
            for weight, all_stems, holders in fields
        )
        scores += _idf(word.frequency, held) * times * (K1 + 1) / (times + norms)
    order = [int(place) for place in np.argsort(-scores, kind="stable")[:depth] if scores[place] > 0]
    return {ids[place]: float(scores[place]) for place in order}


def _joined(texts: Sequence[bytes]) -> tuple[Stems, NDArray[np.intp]]:
    """The stems of all texts in one row, and for each the place of its text."""
    holders = np.repeat(np.arange(len(texts)), [len(text) // 4 for text in texts])
    return np.frombuffer(b"".join(texts), np.uint32), holders


def _idf(frequency: float, held: int) -> float:
    """How much a word tells; as SQLite has it, one that most memories hold tells next to nothing."""
    return (
        max(LEAST_IDF, float(np.log((held - frequency + 0.5) / (frequency + 0.5)))) if frequency < held else LEAST_IDF
    )
