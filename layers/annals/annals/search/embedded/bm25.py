"""Words in the embedded index: FTS5 says which memories hold them, BM25 is counted here from their stems.

FTS5's own BM25 walks through every memory of every tenant that holds one of the words. Here the work is bounded by
what is searched, and in a large space the rarer words of a query choose which memories are scored.
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

from annals.search.documents import encodable
from annals.search.embedded.sql import Selection, Space, index_in_space, space_of
from annals.search.words import separate_ideographs

SCORED = 3_000
"""About so many memories are scored; in a space that holds no more, all that match."""
COUNTED = 3_000
"""So many memories with a word are counted; how many more there are is estimated from how dense these lie."""

OWN_WEIGHT, WINDOW_WEIGHT = 0.3, 1.0
K1, B = 1.2, 0.75
MIN_IDF = 1e-6

SPLITTER = ("unicode61", ["remove_diacritics", "2"])
STEMMER = ("porter", [SPLITTER[0], *SPLITTER[1]])

StemNumbers = NDArray[np.uint32]


@dataclass(frozen=True)
class QueryWord:
    """A word that is looked for: its text, its stem's number, and about how many memories hold it."""

    text: str
    stem: int
    frequency: float


def stem_numbers(database: apsw.Connection, text: str) -> StemNumbers:
    """The stems of a text in their order, each as a number."""
    return np.fromiter((zlib.crc32(stem.encode()) for stem in _tokens(database, STEMMER, text)), np.uint32)


def find_best(database: apsw.Connection, selection: Selection, terms: Sequence[str], depth: int) -> dict[int, float]:
    """The best memories by BM25 of own text and window, with their scores, best first."""
    words = _query_words(database, selection.spaces, terms)
    rows = _choose_scored(database, selection, words, depth) if words else []
    return _score(database, rows, words, selection.spaces, depth) if rows else {}


def _tokens(database: apsw.Connection, tokenizer: tuple[str, list[str]], text: str) -> list[str]:
    tokenize = database.fts5_tokenizer(*tokenizer)
    encoded = encodable(separate_ideographs(text)).encode()
    tokens = tokenize(encoded, apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False)
    return cast("list[str]", tokens)


def _query_words(database: apsw.Connection, spaces: Sequence[Space], terms: Sequence[str]) -> list[QueryWord]:
    """The words of the terms, rarest first; those that no memory holds are left out."""
    texts = dict.fromkeys(text for term in terms for text in _tokens(database, SPLITTER, term))
    by_stem = {int(stem): text for text in texts for stem in stem_numbers(database, text)}
    words = [QueryWord(text, stem, _frequency(database, spaces, text)) for stem, text in by_stem.items()]
    return sorted((word for word in words if word.frequency), key=lambda word: word.frequency)


def _frequency(database: apsw.Connection, spaces: Sequence[Space], text: str) -> float:
    """About how many memories of the spaces hold a word."""
    query = """
        SELECT count(*), max(rowid) FROM
        (SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid LIMIT ?)
    """
    counted = 0
    for low, high in _row_ranges(spaces):
        count, last = database.execute(query, (_match_any([text]), low, high, COUNTED - counted)).get
        counted += int(count)
        if counted >= COUNTED:
            return counted * _count_memories(spaces) / max(1, _count_memories_until(spaces, int(last)))
    return counted


def _count_memories(spaces: Iterable[Space]) -> int:
    return sum(space.documents for space in spaces)


def _count_memories_until(spaces: Sequence[Space], row: int) -> int:
    """About how many memories of the spaces have a number up to this one."""
    reached = next(space for space in spaces if space.id == space_of(row))
    before = _count_memories(space for space in spaces if space.id < reached.id)
    return before + min(reached.documents, index_in_space(row))


def _row_ranges(spaces: Sequence[Space]) -> list[tuple[int, int]]:
    """The numbers of the spaces' memories, from and to; neighbouring spaces are one range."""
    ranges: list[tuple[int, int]] = []
    for space in spaces:
        if ranges and ranges[-1][1] + 1 == space.first:
            ranges[-1] = (ranges[-1][0], space.last)
        else:
            ranges.append((space.first, space.last))
    return ranges


def _choose_scored(
    database: apsw.Connection, selection: Selection, words: Sequence[QueryWord], depth: int
) -> list[int]:
    """The memories that are scored: all that match where those are few, else those with the rarer words.

    A common word adds little to a score, so that who holds no rarer one would hardly be among the best.
    """
    if selection.rows is not None and len(selection.rows) <= SCORED:
        return selection.rows
    texts, most = [word.text for word in words], max(SCORED, depth)
    if _count_memories(selection.spaces) <= most:
        return _matching(database, selection, texts, most)
    rare = _matching(database, selection, texts[: _count_rare(words)], most)
    return rare if len(rare) >= depth else list({*rare, *_matching(database, selection, texts, most)})


def _count_rare(words: Sequence[QueryWord]) -> int:
    """How many of the words, from the rarest on, have enough matches between them to choose from."""
    for number, (matches, more) in enumerate(pairwise(accumulate(word.frequency for word in words)), 1):
        if matches >= SCORED or (matches >= SCORED // 5 and more > SCORED):
            return number
    return len(words)


def _matching(database: apsw.Connection, selection: Selection, texts: Sequence[str], limit: int) -> list[int]:
    """Memories with any of these words; of more than the limit those stored last."""
    query = f"""
        SELECT memory.id FROM words CROSS JOIN memory ON memory.id = words.rowid
        WHERE words MATCH ? AND words.rowid BETWEEN ? AND ? AND {selection.condition.sql}
        ORDER BY words.rowid DESC LIMIT ?
    """  # noqa: S608
    rows: list[int] = []
    for low, high in _row_ranges(selection.spaces):
        values = (_match_any(texts), low, high, *selection.condition.values, limit - len(rows))
        rows += (row for (row,) in database.execute(query, values))
    return rows


def _match_any(texts: Sequence[str]) -> str:
    """The full-text query for any of these words. Quoted: nothing in a word is syntax."""
    return " OR ".join('"' + text.replace('"', '""') + '"' for text in texts)


def _score(
    database: apsw.Connection, rows: Sequence[int], words: Sequence[QueryWord], spaces: Sequence[Space], depth: int
) -> dict[int, float]:
    query = "SELECT id, own, win FROM stems WHERE id IN (SELECT value FROM json_each(?))"
    stored = database.execute(query, (json.dumps(rows),)).fetchall()
    if not stored:
        return {}
    ids, own, window = zip(*stored, strict=True)
    fields = [(OWN_WEIGHT, *_join(own)), (WINDOW_WEIGHT, *_join(window))]
    lengths = sum(np.bincount(holders, minlength=len(ids)) for _, _, holders in fields)
    memories = _count_memories(spaces)
    mean_length = max(1.0, sum(space.stems for space in spaces) / max(1, memories))
    norms = K1 * (1 - B + B * lengths / mean_length)
    scores = np.zeros(len(ids))
    for word in words:
        occurrences = sum(
            weight * np.bincount(holders[numbers == word.stem], minlength=len(ids))
            for weight, numbers, holders in fields
        )
        scores += _idf(word.frequency, memories) * occurrences * (K1 + 1) / (occurrences + norms)
    order = [int(index) for index in np.argsort(-scores, kind="stable")[:depth] if scores[index] > 0]
    return {ids[index]: float(scores[index]) for index in order}


def _join(texts: Sequence[bytes]) -> tuple[StemNumbers, NDArray[np.intp]]:
    """The stems of all texts in one row, and for each the index of its text."""
    holders = np.repeat(np.arange(len(texts)), [len(text) // 4 for text in texts])
    return np.frombuffer(b"".join(texts), np.uint32), holders


def _idf(frequency: float, memories: int) -> float:
    """How much a word tells; as SQLite has it, one that most memories hold tells next to nothing."""
    if frequency >= memories:
        return MIN_IDF
    return max(MIN_IDF, float(np.log((memories - frequency + 0.5) / (frequency + 0.5))))
