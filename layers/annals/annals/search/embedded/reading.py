"""What is read from an embedded index: settings, spaces, documents, and what a scope selects."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import apsw

from annals.search.dates import DateRange
from annals.search.documents import Document, Vector, from_source
from annals.search.embedded import bm25, sql
from annals.search.protocol import NO_SPACE, DocumentKey, Filters, Scope

MAX_SPEAKERS = 1_000

MAX_LISTED = 20_000
"""Up to so many memories that pass a filter are listed before the search."""


def read_settings(database: apsw.Connection) -> dict[str, str]:
    """What the index was made with, and how far its rebuild has come; empty where there are no tables."""
    has_table = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'setting'").get
    return dict(database.execute("SELECT name, value FROM setting")) if has_table else {}


def read_fingerprints(database: apsw.Connection, condition: sql.Condition) -> dict[str, str]:
    """The fingerprints of some memories, by memory id."""
    query = f"SELECT memory_id, fingerprint FROM memory WHERE {condition.sql}"  # noqa: S608
    return dict(database.execute(query, condition.values))


def read_vectors(database: apsw.Connection, condition: sql.Condition, dimensions: int) -> dict[str, Vector]:
    """The vectors of some memories that have a digest, by it."""
    query = f"SELECT own, win, digests FROM memory JOIN vectors USING (id) WHERE {condition.sql}"  # noqa: S608
    rows: list[Any] = database.execute(query, condition.values).fetchall()
    return {digest: vector for packed in rows for digest, vector in _unpack_vectors(dimensions, *packed) if digest}


def read_documents(database: apsw.Connection, rows: Collection[int]) -> dict[int, Document]:
    """Documents by their numbers."""
    condition = sql.one_of("id", rows)
    query = f"SELECT id, source FROM document WHERE {condition.sql}"  # noqa: S608
    return {row: from_source(json.loads(text)) for row, text in database.execute(query, condition.values)}


def list_documents(
    database: apsw.Connection, condition: sql.Condition, limit: int, after: tuple[int, str] | None
) -> list[Document]:
    """Documents, newest first, those after a time and a memory id."""
    if after is not None:
        condition &= sql.Condition("(memory.at, memory.memory_id) < (?, ?)", after)
    query = f"""
        SELECT source FROM memory JOIN document USING (id) WHERE {condition.sql}
        ORDER BY at DESC, memory_id DESC LIMIT ?
    """  # noqa: S608
    return [from_source(json.loads(text)) for (text,) in database.execute(query, (*condition.values, limit))]


def count_documents(database: apsw.Connection, condition: sql.Condition) -> int:
    """How many documents meet a condition."""
    query = f"SELECT count(*) FROM memory WHERE {condition.sql}"  # noqa: S608
    return int(database.execute(query, condition.values).get)


def list_keys(database: apsw.Connection, limit: int, after: DocumentKey | None) -> list[DocumentKey]:
    """The keys of all tenants' documents in order, those after a key."""
    query = "SELECT tenant, memory_id FROM memory WHERE (tenant, memory_id) > (?, ?) ORDER BY 1, 2 LIMIT ?"
    rows = database.execute(query, (*(after or ("", "")), limit))
    return [(str(tenant), str(memory_id)) for tenant, memory_id in rows]


def list_speakers(database: apsw.Connection, spaces: Sequence[sql.Space]) -> frozenset[str]:
    """The first names, in order, of those who spoke in some spaces."""
    speakers: set[str] = set()
    for space in spaces:
        speakers.update(name for (name,) in database.execute(sql.SPEAKERS, (space.id, MAX_SPEAKERS)))
        if len(speakers) >= MAX_SPEAKERS:
            break
    return frozenset(sorted(speakers)[:MAX_SPEAKERS])


def list_spaces(database: apsw.Connection, scope: Scope) -> list[sql.Space]:
    """The scope's spaces that the index knows, in the order of their numbers."""
    if not read_settings(database):
        return []
    condition = sql.Condition("tenant = ?", (scope.tenant,))
    if scope.spaces is not None:
        names = scope.spaces | {NO_SPACE} if scope.adds_spaceless else scope.spaces
        condition &= sql.one_of("name", sorted(names))
    query = f"SELECT id, documents, stems, version FROM space WHERE {condition.sql} ORDER BY id"  # noqa: S608
    return [sql.Space(*row) for row in database.execute(query, condition.values)]


def select(database: apsw.Connection, scope: Scope, spaces: Sequence[sql.Space]) -> sql.Selection:
    """What is in the scope; where filters may leave few memories, their numbers are listed.

    Without filters there is nothing to list: the usual status, which is a filter, too, leaves nearly all.
    """
    condition = sql.in_scope(scope, spaces)
    if scope.filters == Filters() and scope.for_user is None:
        return sql.Selection(spaces, condition)
    listed = condition & sql.by_first_facet(scope.filters, spaces)
    query = f"SELECT id FROM memory WHERE {listed.sql} LIMIT ?"  # noqa: S608
    rows = [int(row) for (row,) in database.execute(query, (*listed.values, MAX_LISTED + 1))]
    return sql.Selection(spaces, condition, sorted(rows) if len(rows) <= MAX_LISTED else None)


def list_dated(
    database: apsw.Connection, selection: sql.Selection, terms: Sequence[str], dates: DateRange, depth: int
) -> list[int]:
    """Memories of a time: those that share a word with the query, then the latest."""
    condition = selection.condition & sql.in_dates(dates)
    by_words = bm25.find_best(database, sql.Selection(selection.spaces, condition), terms, depth)
    query = f"SELECT id FROM memory WHERE {condition.sql} ORDER BY at DESC LIMIT ?"  # noqa: S608
    return [*by_words, *(int(row) for (row,) in database.execute(query, (*condition.values, depth)))]


def _unpack_vectors(dimensions: int, own: bytes, window: bytes, digests: str) -> Iterator[tuple[str, Vector]]:
    """Each vector with its digest before it; see ``writing``, which packs them."""
    numbers = array("f", own + window)
    for index, digest in enumerate(json.loads(digests)):
        yield digest, tuple(numbers[index * dimensions : (index + 1) * dimensions])
