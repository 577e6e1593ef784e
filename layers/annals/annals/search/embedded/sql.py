"""The embedded index' tables, and what a scope is in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from annals.search.dates import DateRange
from annals.search.documents import encodable, metadata_facet, tag_facet
from annals.search.protocol import NAMED_FILTERS, NO_SPACE, USER_MEMORY, Filters, Scope

SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE space (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, documents INTEGER NOT NULL DEFAULT 0,
    stems INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT (random()), UNIQUE (tenant, name)
);
CREATE TABLE memory (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, memory_id TEXT NOT NULL, space INTEGER NOT NULL,
    owner TEXT NOT NULL, conversation_id TEXT, speaker TEXT, role TEXT, user_id TEXT, agent_id TEXT,
    participant_id TEXT, thread_id TEXT, run_id TEXT, content_type TEXT, source_type TEXT, status TEXT,
    importance INTEGER NOT NULL, at INTEGER NOT NULL, month INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    UNIQUE (tenant, memory_id)
);
CREATE INDEX memory_conversation ON memory (tenant, conversation_id);
CREATE INDEX memory_speaker ON memory (space, speaker);
CREATE INDEX memory_at ON memory (space, at, memory_id);
CREATE INDEX memory_month ON memory (space, month, at);
CREATE INDEX memory_user ON memory (space, user_id);
CREATE INDEX memory_owner ON memory (space, owner);
CREATE TABLE facet (term TEXT, memory INTEGER, PRIMARY KEY (term, memory)) WITHOUT ROWID;
CREATE INDEX facet_memory ON facet (memory);
CREATE TABLE document (id INTEGER PRIMARY KEY, source TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (
    own, win, tokenize = 'porter unicode61 remove_diacritics 2', detail = none, columnsize = 0
);
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
CREATE TABLE stems (id INTEGER PRIMARY KEY, own BLOB NOT NULL, win BLOB NOT NULL);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, own BLOB NOT NULL, win BLOB NOT NULL, digests TEXT NOT NULL);
CREATE TABLE block (
    id INTEGER PRIMARY KEY, space INTEGER NOT NULL, of TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    rows BLOB NOT NULL, codes BLOB NOT NULL
);
CREATE INDEX block_space ON block (space, of, last);
"""
"""The tables. A row of ``document``, ``words``, ``stems`` and ``vectors`` belongs to the memory of the same number, and
that number tells the memory's space, so that a space's memories are one range of rows: FTS5 can be asked for a range of
rows, and for no other condition, before it has read all matches.
"""
MEMORY_TABLES = ("document", "words", "stems", "vectors")
TABLES = ("setting", "space", "memory", "facet", "block", *MEMORY_TABLES)

MAX_MEMORIES = 2**24
"""So many memories a space may hold: they are numbered from the space's number times this on."""
MAX_SPACES = 2**20
"""So many spaces a tenant may have, with neighbouring numbers."""

SPEAKERS = """
WITH RECURSIVE name (value) AS (
    SELECT min(speaker) FROM memory WHERE space = ?1
    UNION ALL
    SELECT (SELECT min(speaker) FROM memory WHERE space = ?1 AND speaker > value) FROM name WHERE value IS NOT NULL
    LIMIT ?2
)
SELECT value FROM name WHERE value IS NOT NULL
"""


@dataclass(frozen=True)
class Condition:
    """A part of a WHERE clause about the table ``memory``, with its values in order."""

    sql: str
    values: tuple[str | int, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.sql} AND {other.sql}", self.values + other.values)


@dataclass(frozen=True)
class Space:
    """A space: its number, how many memories it holds, how many words are in them, and its vectors' version."""

    id: int
    documents: int
    stems: int
    version: int = 0

    @property
    def first(self) -> int:
        """The least number that a memory of it can have."""
        return self.id * MAX_MEMORIES

    @property
    def last(self) -> int:
        """The greatest number that a memory of it can have."""
        return self.first + MAX_MEMORIES - 1


@dataclass(frozen=True)
class Selection:
    """The memories that a search may find.

    Parameters
    ----------
    spaces : in the order of their numbers
    condition : what a memory of them has to be
    rows : the numbers of all those memories, in order; None where they are not listed, or are many
    """

    spaces: Sequence[Space]
    condition: Condition
    rows: list[int] | None = None


def space_of(row: int) -> int:
    """The number of a memory's space."""
    return row // MAX_MEMORIES


def index_in_space(row: int) -> int:
    """A memory's number counted from its space's first."""
    return row % MAX_MEMORIES


def one_of(column: str, values: Iterable[str | int]) -> Condition:
    """A row whose column has one of these values."""
    alternatives = [encodable(value) if isinstance(value, str) else value for value in values]
    return Condition(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(alternatives),))  # noqa: S608


def by_id(tenant: str, memory_ids: Iterable[str]) -> Condition:
    """A memory of a tenant with one of these ids."""
    return Condition("tenant = ?", (tenant,)) & one_of("memory_id", memory_ids)


def in_spaces(spaces: Sequence[Space]) -> Condition:
    """A memory of one of these spaces."""
    if len(spaces) == 1:
        return Condition("memory.space = ?", (spaces[0].id,))
    return one_of("memory.space", (space.id for space in spaces))


def in_scope(scope: Scope, spaces: Sequence[Space]) -> Condition:
    """A memory in the scope, whose spaces are given."""
    return in_spaces(spaces) & _passing(scope.filters) & _owned(scope)


def _owned(scope: Scope) -> Condition:
    """A memory that is the scope's user's or nobody's; of those in no space only the user's own user memories."""
    if scope.owners is None:
        return Condition("1")
    condition = one_of("memory.owner", scope.owners)
    if not scope.adds_spaceless:
        return condition
    is_spaceless = "memory.space IN (SELECT id FROM space WHERE tenant = ? AND name = ?)"
    own = Condition(
        f"(NOT {is_spaceless} OR (memory.owner = ? AND memory.source_type = ?))",
        (scope.tenant, NO_SPACE, scope.owners[0], USER_MEMORY),
    )
    return condition & own


def _passing(filters: Filters) -> Condition:
    """A memory that passes every filter."""
    condition = Condition("1")
    for each in (*_named(filters), *_faceted(filters), *_ranged(filters)):
        condition &= each
    return condition


def by_first_facet(filters: Filters, spaces: Sequence[Space]) -> Condition:
    """A memory that passes the first filter on facets, as a condition that SQLite answers from the facets' index.

    The same filter in ``in_scope`` is looked up for one memory after the other, which is slow where few pass.
    """
    terms_json = next((each.values for each in _faceted(filters)), None)
    if terms_json is None:
        return Condition("1")
    terms = "term IN (SELECT value FROM json_each(?)) AND memory BETWEEN ? AND ?"
    query = f"memory.id IN (SELECT memory FROM facet WHERE {terms})"  # noqa: S608
    return Condition(query, (*terms_json, spaces[0].first, spaces[-1].last))


def in_dates(dates: DateRange) -> Condition:
    """A memory of these dates."""
    if dates.start is not None and dates.end is not None:
        return Condition("memory.at >= ? AND memory.at < ?", (dates.start, dates.end))
    return one_of("memory.month", dates.months)


def _named(filters: Filters) -> Iterator[Condition]:
    for name in NAMED_FILTERS:
        expected = getattr(filters, name)
        if isinstance(expected, str):
            yield Condition(f"memory.{name} = ?", (encodable(expected),))
        elif expected is not None:
            yield one_of(f"memory.{name}", expected)


def _faceted(filters: Filters) -> Iterator[Condition]:
    if filters.tags_any:
        yield _with_facet([tag_facet(tag) for tag in filters.tags_any])
    for tag in filters.tags_all:
        yield _with_facet([tag_facet(tag)])
    for path, value in filters.metadata.items():
        alternatives = value if isinstance(value, tuple) else (value,)
        yield _with_facet([metadata_facet(path, alternative) for alternative in alternatives])


def _with_facet(terms: Sequence[str]) -> Condition:
    alternatives = one_of("term", terms)
    exists = f"EXISTS (SELECT 1 FROM facet WHERE {alternatives.sql} AND facet.memory = memory.id)"  # noqa: S608
    return Condition(exists, alternatives.values)


def _ranged(filters: Filters) -> Iterator[Condition]:
    bounds = (
        ("importance >=", filters.importance_min), ("importance <=", filters.importance_max),
        ("at >=", filters.since), ("at <=", filters.until),
    )  # fmt: skip
    for comparison, bound in bounds:
        if bound is not None:
            yield Condition(f"memory.{comparison} ?", (bound,))
