"""The embedded index' tables, and what a scope is in SQL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from annals.search.dates import Period
from annals.search.documents import metadata_facet, printable, tag_facet
from annals.search.port import NAMED_FILTERS, Filters, Scope

SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE space (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (tenant, name));
CREATE TABLE memory (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, memory_id TEXT NOT NULL, space INTEGER NOT NULL,
    conversation_id TEXT, speaker TEXT, role TEXT, user_id TEXT, agent_id TEXT, participant_id TEXT, thread_id TEXT,
    run_id TEXT, content_type TEXT, source_type TEXT, status TEXT, importance INTEGER NOT NULL, at INTEGER NOT NULL,
    month INTEGER NOT NULL, fingerprint TEXT NOT NULL, document TEXT NOT NULL, UNIQUE (tenant, memory_id)
);
CREATE INDEX memory_conversation ON memory (tenant, conversation_id);
CREATE INDEX memory_speaker ON memory (space, speaker);
CREATE INDEX memory_at ON memory (space, at, memory_id);
CREATE INDEX memory_month ON memory (space, month, at);
CREATE INDEX memory_user ON memory (space, user_id);
CREATE TABLE facet (term TEXT, memory INTEGER, PRIMARY KEY (term, memory)) WITHOUT ROWID;
CREATE INDEX facet_memory ON facet (memory);
CREATE TABLE embedding (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, vector BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (own, win, scope, tokenize = 'porter unicode61 remove_diacritics 2');
INSERT INTO words (words, rank) VALUES ('rank', 'bm25(0.5, 1.0, 0.0)');
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
"""
NEAR_TABLES = ("near_own", "near_window")
NEAR = """
CREATE VIRTUAL TABLE {table} USING vec0 (
    space INTEGER PARTITION KEY, status TEXT, vector FLOAT[{dimensions}] DISTANCE_METRIC=cosine, chunk_size=64
);
"""
PARTS = 1_024
"""So many vectors a memory may have: its number times this, and on, are their numbers."""
PARTS_OF_MEMORY = f"embedding.id BETWEEN memory.id * {PARTS} AND memory.id * {PARTS} + {PARTS - 1}"
PARTS_OF = f"id BETWEEN ?1 * {PARTS} AND ?1 * {PARTS} + {PARTS - 1}"

TABLES = ("setting", "space", "memory", "facet", "embedding", "words", *NEAR_TABLES)

SPEAKERS = """
WITH RECURSIVE name (value) AS (
    SELECT min(speaker) FROM memory WHERE space = ?1
    UNION ALL
    SELECT (SELECT min(speaker) FROM memory WHERE space = ?1 AND speaker > value) FROM name WHERE value IS NOT NULL
    LIMIT ?2
)
SELECT value FROM name WHERE value IS NOT NULL
"""

SCOPE_TOKENS = 50
"""So many spaces are named in a full-text query; for more the tenant's own token is."""


@dataclass(frozen=True)
class Condition:
    """A part of a WHERE clause about the table ``memory``, with its values in order."""

    sql: str
    values: tuple[str | int, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.sql} AND {other.sql}", self.values + other.values)


def one_of(column: str, values: Iterable[str | int]) -> Condition:
    """A row whose column has one of these values."""
    wanted = [printable(value) if isinstance(value, str) else value for value in values]
    return Condition(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(wanted),))  # noqa: S608


def in_spaces(spaces: Sequence[int]) -> Condition:
    """A memory of one of these spaces, given by their numbers."""
    if len(spaces) == 1:
        return Condition("memory.space = ?", (spaces[0],))
    return one_of("memory.space", spaces)


def passing(filters: Filters) -> Condition:
    """A memory that passes every filter."""
    condition = Condition("1")
    for each in (*_named(filters), *_faceted(filters), *_ranged(filters)):
        condition &= each
    return condition


def within(period: Period) -> Condition:
    """A memory of this time."""
    if period.start is not None and period.end is not None:
        return Condition("memory.at >= ? AND memory.at < ?", (period.start, period.end))
    return one_of("memory.month", period.months)


def scope_tokens(tenant: str, space: str) -> str:
    """The words by which the full-text index knows whose document it is."""
    return f"{_token(tenant)} {_token(tenant, space)}"


def match(scope: Scope, terms: Sequence[str], common: Sequence[str] = ()) -> str:
    """The full-text query for any of these terms within the scope. Quoted: nothing in a term is syntax.

    Terms that are ``common`` count where they are, but don't make a match: without that, a word that half of a large
    space has would have half of it scored.
    """
    spaces = sorted(scope.spaces or ())
    few = 0 < len(spaces) <= SCOPE_TOKENS
    tokens = [_token(scope.tenant, space) for space in spaces] if few else [_token(scope.tenant)]
    wanted, also = any_of(terms), any_of(common)
    matching = f"(({wanted} AND {also}) OR ({wanted} NOT {also}))" if common else wanted
    return f"scope : ({' OR '.join(tokens)}) AND {matching}"


def any_of(terms: Sequence[str]) -> str:
    """The full-text query for any of these terms, whoever's document they are in."""
    return f"({{own win}} : ({' OR '.join(_quoted(term) for term in terms)}))"


def _token(*names: str) -> str:
    """A word that no text has and that stemming leaves alone, because it ends with a digit."""
    joined = "\0".join(names)
    return f"s{hashlib.sha256(joined.encode('utf-8', 'replace')).hexdigest()[:20]}0"


def _quoted(term: str) -> str:
    cleaned = term.replace("\0", " ").replace('"', '""')
    return f'"{cleaned}"'


def _named(filters: Filters) -> Iterator[Condition]:
    for name in NAMED_FILTERS:
        wanted = getattr(filters, name)
        if isinstance(wanted, str):
            yield Condition(f"memory.{name} = ?", (printable(wanted),))
        elif wanted is not None:
            yield one_of(f"memory.{name}", wanted)


def _faceted(filters: Filters) -> Iterator[Condition]:
    if filters.tags_any:
        yield _with_facet([tag_facet(tag) for tag in filters.tags_any])
    for tag in filters.tags_all:
        yield _with_facet([tag_facet(tag)])
    for path, value in filters.metadata.items():
        alternatives = value if isinstance(value, tuple) else (value,)
        yield _with_facet([metadata_facet(path, alternative) for alternative in alternatives])


def _with_facet(terms: Sequence[str]) -> Condition:
    wanted = one_of("term", terms)
    exists = f"EXISTS (SELECT 1 FROM facet WHERE {wanted.sql} AND facet.memory = memory.id)"  # noqa: S608
    return Condition(exists, wanted.values)


def _ranged(filters: Filters) -> Iterator[Condition]:
    bounds = (
        ("importance >=", filters.importance_min), ("importance <=", filters.importance_max),
        ("at >=", filters.since), ("at <=", filters.until),
    )  # fmt: skip
    for comparison, bound in bounds:
        if bound is not None:
            yield Condition(f"memory.{comparison} ?", (bound,))
