"""What is written to an embedded index: its tables, and documents with their words, facets and vectors."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence

import apsw

from annals.errors import SearchUnavailable
from annals.search.documents import Document, Embedding, encodable
from annals.search.embedded import bm25, sql, vectors
from annals.search.protocol import NAMED_FILTERS
from annals.search.words import separate_ideographs

MAX_INTEGER = 2**63 - 1


def create_tables(database: apsw.Connection, settings: Mapping[str, str]) -> None:
    """Create the tables, and store what the index is made with."""
    database.execute(sql.SCHEMA)
    database.executemany("INSERT INTO setting VALUES (?, ?)", settings.items())


def drop_tables(database: apsw.Connection) -> None:
    """Remove every table."""
    for table in sql.TABLES:
        database.execute(f"DROP TABLE IF EXISTS {table}")


def put_setting(database: apsw.Connection, name: str, value: str) -> None:
    """Store a setting."""
    database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))


def find_refusal(document: Document, dimensions: int) -> str | None:
    """Why a document cannot be stored."""
    for each in document.embeddings():
        if len(each.vector) != dimensions:
            return f"a vector of {len(each.vector)} dimensions, where the index holds {dimensions}"
    if not -MAX_INTEGER <= document.at <= MAX_INTEGER:
        return "a time that is no 64-bit integer"
    return None


def put_documents(database: apsw.Connection, documents: Sequence[tuple[Document, str]]) -> bool:
    """Store documents with their fingerprints, each instead of what has its key; whether anything had."""
    by_key = "SELECT id FROM memory WHERE tenant = ? AND memory_id = ?"
    former = (database.execute(by_key, (document.tenant, document.memory_id)).get for document, _ in documents)
    replaced = [int(row) for row in former if row is not None]
    _delete_rows(database, replaced)
    by_space: dict[tuple[str, str], list[tuple[Document, str]]] = defaultdict(list)
    for document, fingerprint in documents:
        by_space[document.tenant, document.memory_space_id].append((document, fingerprint))
    for (tenant, name), added in by_space.items():
        rows = _free_rows(database, _ensure_space(database, tenant, name), len(added))
        for row, (document, fingerprint) in zip(rows, added, strict=True):
            _insert(database, row, document, fingerprint)
        for kind in vectors.KINDS:
            numbered = [
                (row, each.vector)
                for row, (document, _) in zip(rows, added, strict=True)
                for each in document.embeddings()
                if each.kind == kind
            ]
            vectors.add(database, kind, numbered)
    return bool(replaced)


def delete_documents(database: apsw.Connection, condition: sql.Condition) -> None:
    """Remove the documents that meet a condition."""
    query = f"SELECT id FROM memory WHERE {condition.sql}"  # noqa: S608
    _delete_rows(database, [int(row) for (row,) in database.execute(query, condition.values)])


def _ensure_space(database: apsw.Connection, tenant: str, name: str) -> int:
    """The number of a space, which follows those of its tenant's other spaces.

    So a tenant's spaces are one run of numbers, and the memories of them one range of rows for FTS5.
    """
    stored = database.execute("SELECT id FROM space WHERE tenant = ? AND name = ?", (tenant, name)).get
    if stored is not None:
        return int(stored)
    last = database.execute("SELECT max(id) FROM space WHERE tenant = ?", (tenant,)).get
    if last is None:
        highest = int(database.execute("SELECT ifnull(max(id), -1) FROM space").get)
        last = (highest // sql.MAX_SPACES + 1) * sql.MAX_SPACES - 1
    elif (last + 1) % sql.MAX_SPACES == 0:
        raise SearchUnavailable(f"The search index holds no more than {sql.MAX_SPACES:,} spaces of a tenant.")
    database.execute("INSERT INTO space (id, tenant, name) VALUES (?, ?, ?)", (last + 1, tenant, name))
    return int(last) + 1


def _free_rows(database: apsw.Connection, space_id: int, count: int) -> range:
    """Numbers for new memories, after those that the space holds."""
    space = sql.Space(space_id, 0, 0)
    last = database.execute("SELECT max(id) FROM memory WHERE id BETWEEN ? AND ?", (space.first, space.last)).get
    start = space.first if last is None else int(last) + 1
    if start + count > space.last:
        raise SearchUnavailable(f"The search index holds no more than {sql.MAX_MEMORIES:,} memories of a space.")
    return range(start, start + count)


def _insert(database: apsw.Connection, row: int, document: Document, fingerprint: str) -> None:
    source, space = document.source(), sql.space_of(row)
    columns = {name: source[name] for name in (*NAMED_FILTERS, "owner", "tenant", "memory_id", "importance", "at")}
    columns |= {"id": row, "space": space, "month": document.moment.month, "fingerprint": fingerprint}
    query = f"INSERT INTO memory ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    database.execute(query, tuple(columns.values()))
    database.execute("INSERT INTO document VALUES (?, ?)", (row, json.dumps(source)))
    database.executemany("INSERT INTO facet VALUES (?, ?)", ((term, row) for term in document.facets()))
    texts = [separate_ideographs(encodable(text)) for text in (document.content, document.window)]
    database.execute("INSERT INTO words (rowid, own, win) VALUES (?, ?, ?)", (row, *texts))
    own, window = (bm25.stem_numbers(database, text) for text in texts)
    database.execute("INSERT INTO stems VALUES (?, ?, ?)", (row, own.tobytes(), window.tobytes()))
    change = "UPDATE space SET documents = documents + 1, stems = stems + ? WHERE id = ?"
    database.execute(change, (len(own) + len(window), space))
    database.execute("INSERT INTO vectors VALUES (?, ?, ?, ?)", (row, *_pack_vectors(document.embeddings())))


def _delete_rows(database: apsw.Connection, rows: Sequence[int]) -> None:
    vectors.remove(database, rows)
    change = """
        UPDATE space SET documents = documents - 1,
        stems = stems - (SELECT (length(own) + length(win)) / 4 FROM stems WHERE id = ?1) WHERE id = ?2
    """
    for row in rows:
        database.execute(change, (row, sql.space_of(row)))
        database.execute("DELETE FROM memory WHERE id = ?", (row,))
        database.execute("DELETE FROM facet WHERE memory = ?", (row,))
        for table in sql.MEMORY_TABLES:
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608


def _pack_vectors(embeddings: Sequence[Embedding]) -> tuple[bytes, bytes, str]:
    """Own vectors, the window's, and the digests of both; see ``reading``, which unpacks them."""
    numbers = {kind: array("f") for kind in vectors.KINDS}
    for each in embeddings:
        numbers[each.kind].extend(each.vector)
    return numbers["own"].tobytes(), numbers["window"].tobytes(), json.dumps([each.digest for each in embeddings])
