"""The index for a laptop: one SQLite file, FTS5 for words, sqlite-vec for vectors.

Any number of processes and threads may use the file. Readers never wait; writers wait for each other.
"""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import apsw
import sqlite_vec

from annals.errors import ConfigurationError, SearchUnavailable
from annals.search import embedded_sql as sql
from annals.search import words
from annals.search.dates import Period
from annals.search.documents import INDEX_VERSION, Document, Embedding, Vector, from_source, printable
from annals.search.port import NAMED_FILTERS, Candidates, Failure, Filters, Scope

BUSY_MS = 10_000
MAX_NEAREST = 4_096
MAX_SPEAKERS = 1_000
MAX_INTEGER = 2**63 - 1

LARGE = 20_000
"""From so many documents on, only the rarer words of a question choose what is scored."""
CHOSEN_FROM = 3_000

_NOT_ANSWERING = (
    apsw.BusyError, apsw.LockedError, apsw.CantOpenError, apsw.IOError, apsw.NotADBError, apsw.CorruptError,
    apsw.FullError, apsw.ReadOnlyError,
)  # fmt: skip


class EmbeddedIndex:
    """A search index in the file ``path``, which is made where it is missing."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._local = threading.local()

    def ensure(self, *, model: str, dimensions: int) -> None:
        """Create the tables; see SearchIndex.ensure."""
        wanted = {"version": str(INDEX_VERSION), "model": model, "dimensions": str(dimensions)}
        if self._settings() == wanted:
            return
        with self._writing() as database:
            found = _settings(database)
            if not found:
                _create(database, wanted, dimensions)
            elif found != wanted:
                raise ConfigurationError(_mismatch(str(self._path), found, wanted))

    def upsert(self, documents: Sequence[tuple[Document, str]]) -> list[Failure]:
        """Store documents in one transaction; see SearchIndex.upsert."""
        failures = []
        with self._writing() as database:
            dimensions = int(_settings(database).get("dimensions", 0))
            for document, fingerprint in documents:
                reason = _refusal(document, dimensions)
                if reason:
                    failures.append(Failure(document.memory_id, reason))
                else:
                    _put(database, document, fingerprint)
        return failures

    def delete(self, tenant: str, memory_ids: Collection[str]) -> None:
        """Remove documents; see SearchIndex.delete."""
        self._delete(sql.Condition("tenant = ?", (tenant,)) & sql.one_of("memory_id", memory_ids))

    def delete_conversation(self, tenant: str, conversation_id: str) -> None:
        """Remove a conversation's documents; see SearchIndex.delete_conversation."""
        self._delete(sql.Condition("tenant = ? AND conversation_id = ?", (tenant, conversation_id)))

    def fingerprints(self, tenant: str, memory_ids: Collection[str]) -> dict[str, str]:
        """The stored fingerprints; see SearchIndex.fingerprints."""
        condition = sql.Condition("tenant = ?", (tenant,)) & sql.one_of("memory_id", memory_ids)
        query = f"SELECT memory_id, fingerprint FROM memory WHERE {condition.sql}"  # noqa: S608
        with self._reading() as database:
            return dict(database.execute(query, condition.values)) if _settings(database) else {}

    def vectors(self, tenant: str, memory_ids: Collection[str]) -> dict[str, Vector]:
        """The stored vectors by digest; see SearchIndex.vectors."""
        condition = sql.Condition("tenant = ? AND digest != ''", (tenant,)) & sql.one_of("memory_id", memory_ids)
        query = f"SELECT digest, vector FROM memory JOIN embedding ON {sql.PARTS_OF_MEMORY} WHERE {condition.sql}"  # noqa: S608
        with self._reading() as database:
            found = database.execute(query, condition.values) if _settings(database) else ()
            return {digest: _unpacked(vector) for digest, vector in found}

    def candidates(
        self,
        scope: Scope,
        *,
        terms: Sequence[str],
        vector: Sequence[float] | None,
        period: Period | None,
        depth: int,
    ) -> Candidates:
        """Search words, vectors and time; see SearchIndex.candidates."""
        with self._reading() as database:
            spaces = _spaces(database, scope)
            if not spaces:
                return Candidates()
            self._demand_dimensions(database, vector)
            lexical = _by_words(database, scope, spaces, terms, depth)
            own, window = (_nearest(database, table, scope, spaces, vector, depth) for table in sql.NEAR_TABLES)
            dated = _dated(database, scope, spaces, terms, period, depth) if period else []
            documents = _documents(database, {*lexical, *own, *window, *dated})
        return Candidates(
            documents={document.memory_id: document for document in documents.values()},
            lexical={documents[row].memory_id: score for row, score in lexical.items()},
            own={documents[row].memory_id: score for row, score in own.items()},
            window={documents[row].memory_id: score for row, score in window.items()},
        )

    def speakers(self, scope: Scope) -> frozenset[str]:
        """Who spoke; see SearchIndex.speakers."""
        found: set[str] = set()
        with self._reading() as database:
            for space in _spaces(database, scope):
                found.update(name for (name,) in database.execute(sql.SPEAKERS, (space, MAX_SPEAKERS)))
                if len(found) >= MAX_SPEAKERS:
                    break
        return frozenset(sorted(found)[:MAX_SPEAKERS])

    def page(self, scope: Scope, *, limit: int, after: tuple[int, str] | None = None) -> list[Document]:
        """Documents, newest first; see SearchIndex.page."""
        with self._reading() as database:
            spaces = _spaces(database, scope)
            condition = sql.in_spaces(spaces) & sql.passing(scope.filters)
            if after is not None:
                condition &= sql.Condition("(memory.at, memory.memory_id) < (?, ?)", after)
            query = f"SELECT document FROM memory WHERE {condition.sql} ORDER BY at DESC, memory_id DESC LIMIT ?"  # noqa: S608
            rows = database.execute(query, (*condition.values, limit)) if spaces else ()
            return [from_source(json.loads(text)) for (text,) in rows]

    def count(self, scope: Scope) -> int:
        """How many documents; see SearchIndex.count."""
        with self._reading() as database:
            spaces = _spaces(database, scope)
            condition = sql.in_spaces(spaces) & sql.passing(scope.filters)
            query = f"SELECT count(*) FROM memory WHERE {condition.sql}"  # noqa: S608
            return int(database.execute(query, condition.values).get) if spaces else 0

    def refresh(self) -> None:
        """What was written is found at once here."""

    def drop(self) -> None:
        """Remove every table; see SearchIndex.drop."""
        with self._writing() as database:
            for table in sql.TABLES:
                database.execute(f"DROP TABLE IF EXISTS {table}")

    def close(self) -> None:
        """Close this thread's connection."""
        database = getattr(self._local, "database", None)
        if database is not None:
            database.close()
            del self._local.database

    def _settings(self) -> dict[str, str]:
        with self._reading() as database:
            return _settings(database)

    def _delete(self, condition: sql.Condition) -> None:
        with self._writing() as database:
            if _settings(database):
                query = f"SELECT id FROM memory WHERE {condition.sql}"  # noqa: S608
                for (row,) in database.execute(query, condition.values).fetchall():
                    _remove(database, row)

    def _demand_dimensions(self, database: apsw.Connection, vector: Sequence[float] | None) -> None:
        found = _settings(database)["dimensions"]
        if vector is not None and len(vector) != int(found):
            raise ConfigurationError(
                f"The index {self._path} holds vectors of {found} dimensions, the question's has {len(vector)}: "
                "set EMBEDDINGS_MODEL back, or drop and rebuild the index."
            )

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        """The state at one moment, whatever is written meanwhile."""
        with _answering(self._path):
            database = self._connection()
            with database:
                yield database

    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        with _answering(self._path):
            database = self._connection()
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _connection(self) -> apsw.Connection:
        """This thread's own connection."""
        if not hasattr(self._local, "database"):
            self._local.database = _open(self._path)
        database: apsw.Connection = self._local.database
        return database


@contextmanager
def _answering(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_NOT_ANSWERING, OSError) as error:
        raise SearchUnavailable(f"The search index {path} does not answer: {error}") from error


def _open(path: Path) -> apsw.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = apsw.Connection(str(path))
    database.set_busy_timeout(BUSY_MS)
    database.enable_load_extension(True)
    database.load_extension(sqlite_vec.loadable_path())
    database.enable_load_extension(False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA cache_size = -65536")
    return database


def _settings(database: apsw.Connection) -> dict[str, str]:
    """What the index was made with; empty where there is none."""
    made = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'setting'").get
    return dict(database.execute("SELECT name, value FROM setting")) if made else {}


def _create(database: apsw.Connection, settings: dict[str, str], dimensions: int) -> None:
    database.execute(sql.SCHEMA)
    for table in sql.NEAR_TABLES:
        database.execute(sql.NEAR.format(table=table, dimensions=dimensions))
    database.executemany("INSERT INTO setting VALUES (?, ?)", settings.items())


def _mismatch(path: str, found: dict[str, str], wanted: dict[str, str]) -> str:
    made, asked = (
        f"{each['model']} ({each['dimensions']} dimensions, form {each['version']})" for each in (found, wanted)
    )
    return (
        f"The index {path} was made with {made}, not {asked}: set EMBEDDINGS_MODEL back, or drop and rebuild the index."
    )


def _refusal(document: Document, dimensions: int) -> str | None:
    """Why a document cannot be stored."""
    for each in document.embeddings():
        if len(each.vector) != dimensions:
            return f"a vector of {len(each.vector)} dimensions, where the index holds {dimensions}"
    if not -MAX_INTEGER <= document.at <= MAX_INTEGER:
        return "a time that is no 64-bit integer"
    return None


def _put(database: apsw.Connection, document: Document, fingerprint: str) -> None:
    tenant, space = document.tenant, document.memory_space_id
    database.execute("INSERT OR IGNORE INTO space (tenant, name) VALUES (?, ?)", (tenant, space))
    place = database.execute("SELECT id FROM space WHERE tenant = ? AND name = ?", (tenant, space)).get
    known = database.execute(
        "SELECT id FROM memory WHERE tenant = ? AND memory_id = ?", (tenant, document.memory_id)
    ).get
    if known is not None:
        _remove(database, known)
    row = _insert_memory(database, document, place, fingerprint)
    texts = [words.separated(printable(text)) for text in (document.content, document.window)]
    scope = sql.scope_tokens(tenant, space)
    database.execute("INSERT INTO words (rowid, own, win, scope) VALUES (?, ?, ?, ?)", (row, *texts, scope))
    database.executemany("INSERT INTO facet VALUES (?, ?)", ((term, row) for term in document.facets()))
    for part, each in enumerate(document.embeddings()):
        _put_embedding(database, row * sql.PARTS + part, place, document.status, each)


def _put_embedding(database: apsw.Connection, row: int, space: int, status: str, embedding: Embedding) -> None:
    vector = _packed(embedding.vector)
    database.execute("INSERT INTO embedding VALUES (?, ?, ?)", (row, embedding.digest, vector))
    query = f"INSERT INTO near_{embedding.of} (rowid, space, status, vector) VALUES (?, ?, ?, ?)"  # noqa: S608
    database.execute(query, (row, space, status, vector))


def _insert_memory(database: apsw.Connection, document: Document, space: int, fingerprint: str) -> int:
    source = document.source()
    columns = {name: source[name] for name in (*NAMED_FILTERS, "tenant", "memory_id", "importance", "at")}
    columns |= {
        "space": space,
        "month": document.moment.month,
        "fingerprint": fingerprint,
        "document": json.dumps(source),
    }
    query = f"INSERT INTO memory ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    database.execute(query, tuple(columns.values()))
    return database.last_insert_rowid()


def _remove(database: apsw.Connection, row: apsw.SQLiteValue) -> None:
    database.execute("DELETE FROM memory WHERE id = ?", (row,))
    database.execute("DELETE FROM facet WHERE memory = ?", (row,))
    database.execute("DELETE FROM words WHERE rowid = ?", (row,))
    for (part,) in database.execute(f"SELECT id FROM embedding WHERE {sql.PARTS_OF}", (row,)).fetchall():  # noqa: S608
        for table in ("embedding", *sql.NEAR_TABLES):
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (part,))  # noqa: S608


def _spaces(database: apsw.Connection, scope: Scope) -> list[int]:
    """The numbers of the scope's spaces that the index knows."""
    if not _settings(database):
        return []
    condition = sql.Condition("tenant = ?", (scope.tenant,))
    if scope.spaces is not None:
        condition &= sql.one_of("name", sorted(scope.spaces))
    return [space for (space,) in database.execute(f"SELECT id FROM space WHERE {condition.sql}", condition.values)]  # noqa: S608


def _by_words(
    database: apsw.Connection, scope: Scope, spaces: Sequence[int], terms: Sequence[str], depth: int
) -> dict[int, float]:
    """The best by BM25 among those that the scope lets through; SQLite's is the better the lower it is."""
    if not terms:
        return {}
    condition = sql.in_spaces(spaces) & sql.passing(scope.filters)
    if _is_large(database, spaces):
        rare, common = _by_rarity(database, terms)
        found = _matching(database, sql.match(scope, rare, common), condition, depth)
        if len(found) == depth:
            return found
    return _matching(database, sql.match(scope, terms), condition, depth)


def _is_large(database: apsw.Connection, spaces: Sequence[int]) -> bool:
    condition = sql.in_spaces(spaces)
    query = f"SELECT count(*) = ? FROM (SELECT 1 FROM memory WHERE {condition.sql} LIMIT ?)"  # noqa: S608
    return bool(database.execute(query, (LARGE, *condition.values, LARGE)).get)


def _by_rarity(database: apsw.Connection, terms: Sequence[str]) -> tuple[list[str], list[str]]:
    """The rarest terms, which have enough matches between them to choose from, and the others."""
    query = "SELECT count(*) FROM words WHERE words MATCH ?"
    counts = {term: int(database.execute(query, (sql.any_of([term]),)).get) for term in terms}
    rare: list[str] = []
    for term in sorted(terms, key=lambda term: counts[term]):
        matches = sum(counts[chosen] for chosen in rare)
        if matches >= CHOSEN_FROM or (matches >= CHOSEN_FROM // 5 and matches + counts[term] > CHOSEN_FROM):
            break
        rare.append(term)
    return rare, [term for term in terms if term not in rare]


def _matching(database: apsw.Connection, match: str, condition: sql.Condition, limit: int) -> dict[int, float]:
    query = f"""
        SELECT memory.id, -words.rank FROM words CROSS JOIN memory ON memory.id = words.rowid
        WHERE words MATCH ? AND {condition.sql} ORDER BY words.rank LIMIT ?
    """  # noqa: S608
    return dict(database.execute(query, (match, *condition.values, limit)))


def _nearest(
    database: apsw.Connection,
    table: str,
    scope: Scope,
    spaces: Sequence[int],
    vector: Sequence[float] | None,
    depth: int,
) -> dict[int, float]:
    """The nearest in any of the spaces, by cosine; each space is a partition of its own."""
    if vector is None:
        return {}
    found: list[tuple[int, float]] = []
    for space in spaces:
        condition = _nearest_condition(scope.filters, space)
        query = f"""
            SELECT rowid / {sql.PARTS}, 1 - distance FROM {table}
            WHERE vector MATCH ? AND k = {MAX_NEAREST} AND space = ? AND {condition.sql}
        """  # noqa: S608
        found += database.execute(query, (_packed(vector), space, *condition.values))
    best: dict[int, float] = {}
    for row, cosine in sorted(found, key=lambda each: -each[1]):
        best.setdefault(row, cosine)
    return dict(islice(best.items(), depth))


def _nearest_condition(filters: Filters, space: int) -> sql.Condition:
    """The status alone is known to the vectors' table itself; for other filters the rows are named."""
    if isinstance(filters.status, str) and filters == Filters(status=filters.status):
        return sql.Condition("status = ?", (filters.status,))
    rows = sql.in_spaces([space]) & sql.passing(filters)
    chosen = f"SELECT embedding.id FROM memory JOIN embedding ON {sql.PARTS_OF_MEMORY} WHERE {rows.sql}"  # noqa: S608
    return sql.Condition(f"rowid IN ({chosen})", rows.values)


def _dated(
    database: apsw.Connection, scope: Scope, spaces: Sequence[int], terms: Sequence[str], period: Period, depth: int
) -> list[int]:
    """Turns of a time: those that share a word with the question, then the latest."""
    condition = sql.in_spaces(spaces) & sql.passing(scope.filters) & sql.within(period)
    worded = _matching(database, sql.match(scope, terms), condition, depth) if terms else {}
    query = f"SELECT id FROM memory WHERE {condition.sql} ORDER BY at DESC LIMIT ?"  # noqa: S608
    return [*worded, *(row for (row,) in database.execute(query, (*condition.values, depth)))]


def _documents(database: apsw.Connection, rows: Collection[int]) -> dict[int, Document]:
    condition = sql.one_of("id", rows)
    found = database.execute(f"SELECT id, document FROM memory WHERE {condition.sql}", condition.values)  # noqa: S608
    return {row: from_source(json.loads(text)) for row, text in found}


def _packed(vector: Sequence[float]) -> bytes:
    return array("f", vector).tobytes()


def _unpacked(vector: bytes) -> Vector:
    return tuple(array("f", vector))
