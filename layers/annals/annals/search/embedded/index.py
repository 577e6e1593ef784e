"""The index for a laptop: one SQLite file, FTS5 for words, NumPy for vectors.

Any number of processes and threads may open, make, read, write and replace the file at once. Readers never wait for
writers; writers wait for each other.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from annals.errors import ConfigurationError, SearchUnavailable
from annals.search.dates import DateRange
from annals.search.documents import Document, Embedding, Vector, encodable, from_source
from annals.search.embedded import bm25, files, sql, vectors
from annals.search.embedded.files import Identity
from annals.search.profiles import index_profile, require_owners, require_profile
from annals.search.protocol import NAMED_FILTERS, NO_SPACE, Candidates, DocumentKey, Failure, Filters, Scope
from annals.search.words import separate_ideographs

BUSY_MS = 60_000
"""How long a writer waits for the others, of which each takes milliseconds and none is ever next."""
CLEARING_MS = 1_000
"""How long clearing the log waits for readers."""
CLEARING_PAUSE_S = 0.01
GONE = "is there no more: another one has taken its place, or it was given up"
REOPENED = 100
"""So many times in a row the file may be replaced while a writer waits for it."""
MAX_SPEAKERS = 1_000
MAX_INTEGER = 2**63 - 1
NOTED = "noted"
"""The setting that says how far the index' building has come."""

FEW = 20_000
"""Up to so many memories that pass a filter are looked up before the search."""

_NOT_ANSWERING = (
    apsw.BusyError, apsw.LockedError, apsw.CantOpenError, apsw.IOError, apsw.NotADBError, apsw.CorruptError,
    apsw.FullError, apsw.ReadOnlyError, apsw.ProtocolError,
)  # fmt: skip


class EmbeddedIndex:
    """A search index in the file ``path``, which is made where it is missing, unless it is to be there."""

    def __init__(self, path: str | Path, *, is_there: bool = False) -> None:
        self._path = Path(path)
        self._is_there = is_there
        self._local = threading.local()
        self._has_former_pages = False

    def ensure(self, *, model: str, dimensions: int) -> None:
        """Create the tables; see SearchIndex.ensure."""
        wanted = index_profile(model, dimensions)
        if self.find_profile() == wanted:
            return
        with self._writing() as database:
            if not _settings(database):
                _create(database, wanted)
        require_profile(str(self._path), self.find_profile(), wanted)

    def upsert(self, documents: Sequence[tuple[Document, str]]) -> list[Failure]:
        """Store documents in one transaction; see SearchIndex.upsert."""
        failures = []
        fresh: dict[tuple[str, str], tuple[Document, str]] = {}
        with self._writing() as database:
            dimensions = int(self._demand_made(database)["dimensions"])
            for document, fingerprint in documents:
                if reason := _refusal(document, dimensions):
                    failures.append(Failure(document.memory_id, reason))
                else:
                    fresh[document.tenant, document.memory_id] = (document, fingerprint)
            removed = _put(database, list(fresh.values()))
        self._clear_log(after=removed)
        return failures

    def delete(self, tenant: str, memory_ids: Collection[str]) -> None:
        """Remove documents; see SearchIndex.delete."""
        self._delete(sql.Condition("tenant = ?", (tenant,)) & sql.one_of("memory_id", memory_ids))

    def delete_conversation(self, tenant: str, conversation_id: str) -> None:
        """Remove a conversation's documents; see SearchIndex.delete_conversation."""
        self._delete(sql.Condition("tenant = ? AND conversation_id = ?", (tenant, conversation_id)))

    def find_fingerprints(self, tenant: str, memory_ids: Collection[str]) -> dict[str, str]:
        """The stored fingerprints; see SearchIndex.find_fingerprints."""
        condition = sql.Condition("tenant = ?", (tenant,)) & sql.one_of("memory_id", memory_ids)
        query = f"SELECT memory_id, fingerprint FROM memory WHERE {condition.sql}"  # noqa: S608
        with self._reading() as database:
            return dict(database.execute(query, condition.values)) if _settings(database) else {}

    def find_vectors(self, tenant: str, memory_ids: Collection[str]) -> dict[str, Vector]:
        """The stored vectors by digest; see SearchIndex.find_vectors."""
        condition = sql.Condition("tenant = ?", (tenant,)) & sql.one_of("memory_id", memory_ids)
        query = f"SELECT own, win, digests FROM memory JOIN vectors USING (id) WHERE {condition.sql}"  # noqa: S608
        with self._reading() as database:
            if not (made_with := _settings(database)):
                return {}
            found: list[Any] = database.execute(query, condition.values).fetchall()
        dimensions = int(made_with["dimensions"])
        return {digest: vector for packed in found for digest, vector in _unpacked(dimensions, *packed) if digest}

    def find_candidates(
        self,
        scope: Scope,
        *,
        terms: Sequence[str],
        vector: Sequence[float] | None,
        dates: DateRange | None,
        depth: int,
        model: str = "",
    ) -> Candidates:
        """Search words, vectors and time; see SearchIndex.find_candidates."""
        with self._reading() as database:
            spaces = _spaces(database, scope)
            if not spaces:
                return Candidates()
            if vector is not None:
                self._require_model(_settings(database), len(vector), model)
            if scope.for_user is not None:
                require_owners(str(self._path), _settings(database))
            chosen = _chosen(database, scope, spaces)
            lexical = bm25.best(database, chosen, terms, depth)
            near = vectors.nearest(database, self._local.blocks, chosen, vector, depth) if vector is not None else {}
            own, window = near.get("own", {}), near.get("window", {})
            dated = _dated(database, chosen, terms, dates, depth) if dates else []
            documents = _documents(database, {*lexical, *own, *window, *dated})
        return Candidates(
            documents={document.memory_id: document for document in documents.values()},
            lexical={documents[row].memory_id: score for row, score in lexical.items()},
            own={documents[row].memory_id: score for row, score in own.items()},
            window={documents[row].memory_id: score for row, score in window.items()},
        )

    def list_speakers(self, scope: Scope) -> frozenset[str]:
        """Who spoke; see SearchIndex.list_speakers."""
        found: set[str] = set()
        with self._reading() as database:
            for space in _spaces(database, scope):
                found.update(name for (name,) in database.execute(sql.SPEAKERS, (space.id, MAX_SPEAKERS)))
                if len(found) >= MAX_SPEAKERS:
                    break
        return frozenset(sorted(found)[:MAX_SPEAKERS])

    def list_documents(self, scope: Scope, *, limit: int, after: tuple[int, str] | None = None) -> list[Document]:
        """Documents, newest first; see SearchIndex.list_documents."""
        with self._reading() as database:
            spaces = _spaces(database, scope)
            condition = sql.within_scope(scope, spaces)
            if after is not None:
                condition &= sql.Condition("(memory.at, memory.memory_id) < (?, ?)", after)
            query = f"""
                SELECT source FROM memory JOIN document USING (id) WHERE {condition.sql}
                ORDER BY at DESC, memory_id DESC LIMIT ?
            """  # noqa: S608
            rows = database.execute(query, (*condition.values, limit)) if spaces else ()
            return [from_source(json.loads(text)) for (text,) in rows]

    def count(self, scope: Scope) -> int:
        """How many documents; see SearchIndex.count."""
        with self._reading() as database:
            spaces = _spaces(database, scope)
            condition = sql.within_scope(scope, spaces)
            query = f"SELECT count(*) FROM memory WHERE {condition.sql}"  # noqa: S608
            return int(database.execute(query, condition.values).get) if spaces else 0

    def refresh(self) -> None:
        """What was written is found at once here."""

    def drop(self) -> None:
        """Remove every table; see SearchIndex.drop."""
        with self._writing() as database:
            for table in sql.TABLES:
                database.execute(f"DROP TABLE IF EXISTS {table}")

    def find_profile(self) -> dict[str, str]:
        """What the index was made with; see RebuildableIndex.find_profile."""
        return {name: value for name, value in self._settings().items() if name != NOTED}

    def find_next(self) -> EmbeddedIndex | None:
        """The index that is being built; see RebuildableIndex.find_next."""
        with _answering(self._path):
            found = files.following(self._path)
        return EmbeddedIndex(found, is_there=True) if found else None

    def ensure_next(self, *, model: str, dimensions: int, beside: str = "") -> EmbeddedIndex:
        """Make the next index; see RebuildableIndex.ensure_next."""
        with _answering(self._path), self._locked():
            found = files.following(self._path)
            if found is None:
                found = files.new_file(self._path)
                _make(found, index_profile(model, dimensions))  # whole before it has a name, and others write it, too
                for served in (self._path, Path(beside)) if beside else (self._path,):
                    files.name_next(served, found)
        made = EmbeddedIndex(found, is_there=True)
        made.ensure(model=model, dimensions=dimensions)
        return made

    def switch_to(self, new: EmbeddedIndex) -> None:
        """Put the next file in service; see RebuildableIndex.switch_to. Whoever has the former one open notices."""
        # Nobody writes the former one meanwhile, and whoever waits to do so then writes the new one.
        with self._writing(), self._locked():
            is_done = files.switch(self._path, new._path)
        if not is_done:
            raise SearchUnavailable(f"The search index {new._path} was given up while it was built.")

    def drop_former(self) -> None:
        """Delete former files; see RebuildableIndex.drop_former."""
        with _answering(self._path), self._locked():
            files.drop_former(self._path)

    def drop_next(self) -> None:
        """Delete the file that is being built; see RebuildableIndex.drop_next."""
        with _answering(self._path), self._locked():
            files.drop_next(self._path)

    def save_progress(self, position: str) -> None:
        """Keep a note beside the settings; see RebuildableIndex.save_progress."""
        with self._writing() as database:
            self._demand_made(database)
            database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (NOTED, position))

    def get_progress(self) -> str:
        """The note beside the settings; see RebuildableIndex.get_progress."""
        return self._settings().get(NOTED, "")

    def list_keys(self, *, limit: int, after: DocumentKey | None = None) -> list[DocumentKey]:
        """Places in order; see RebuildableIndex.list_keys."""
        query = "SELECT tenant, memory_id FROM memory WHERE (tenant, memory_id) > (?, ?) ORDER BY 1, 2 LIMIT ?"
        with self._reading() as database:
            rows = database.execute(query, (*(after or ("", "")), limit)) if _settings(database) else ()
            return [(str(tenant), str(memory_id)) for tenant, memory_id in rows]

    def close(self) -> None:
        """Close this thread's connection."""
        opened = getattr(self._local, "opened", None)
        if opened is not None:
            opened[1].close()
            del self._local.opened

    def _settings(self) -> dict[str, str]:
        with self._reading() as database:
            return _settings(database)

    def _delete(self, condition: sql.Condition) -> None:
        with self._writing() as database:
            if _settings(database):
                query = f"SELECT id FROM memory WHERE {condition.sql}"  # noqa: S608
                _remove(database, [int(row) for (row,) in database.execute(query, condition.values)])
        self._clear_log(after=True)

    def _clear_log(self, *, after: bool) -> None:
        """Bring the file's log to nothing after a removal: it holds pages as they were before.

        Where somebody reads for so long that this has to wait, it is left to the next write.
        """
        if not (after or self._has_former_pages):
            return
        with _answering(self._path):
            database = self._connection()
            database.set_busy_timeout(CLEARING_MS)
            try:
                self._has_former_pages = not _emptied_log(database)
            finally:
                database.set_busy_timeout(BUSY_MS)

    def _demand_made(self, database: apsw.Connection) -> dict[str, str]:
        if made_with := _settings(database):
            return made_with
        raise SearchUnavailable(f"The search index {self._path} has been removed while it was written.")

    def _require_model(self, made_with: dict[str, str], dimensions: int, model: str) -> None:
        found = (made_with["model"] if model else "", int(made_with["dimensions"]))
        if found != (model, dimensions):
            made = f"{made_with['model']} ({made_with['dimensions']} dimensions)"
            raise ConfigurationError(
                f"The index {self._path} was made with {made}, the question's vector with {model} ({dimensions}): "
                "set EMBEDDINGS_MODEL back, or build another index (docs/search-index.md)."
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
            database = self._begun()
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    def _begun(self) -> apsw.Connection:
        """A connection that alone may write the file in service: one that was replaced meanwhile is let go."""
        for _ in range(REOPENED):
            database = self._connection()
            database.execute("BEGIN IMMEDIATE")
            if self._is_open():
                return database
            database.execute("ROLLBACK")
        raise SearchUnavailable(f"The search index {self._path} is replaced faster than it can be written.")

    def _connection(self) -> apsw.Connection:
        """This thread's own connection to the file that is in service now."""
        if not self._is_open():
            self.close()
            with self._locked():
                if self._is_there and not self._path.exists():
                    raise SearchUnavailable(f"The search index {self._path} {GONE}.")
                database = _open(self._path)
                self._local.opened = (files.identity(self._path), database)
            self._local.blocks = vectors.Blocks()
        opened: tuple[Identity, apsw.Connection] = self._local.opened
        return opened[1]

    def _is_open(self) -> bool:
        """Whether this thread has opened the file that is in service now."""
        opened = getattr(self._local, "opened", None)
        return opened is not None and opened[0] == files.identity(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(self._path):
            yield


@contextmanager
def _answering(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_NOT_ANSWERING, OSError) as error:
        raise SearchUnavailable(f"The search index {path} does not answer: {error}") from error


def _open(path: Path) -> apsw.Connection:
    """Open a file of an index that is locked: SQLite refuses at once what is in the way of a file's first log."""
    database = apsw.Connection(str(path))
    database.set_busy_timeout(BUSY_MS)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")
    database.execute("PRAGMA cache_size = -65536")
    database.execute("PRAGMA mmap_size = 4294967296")
    return database


def _make(path: Path, settings: dict[str, str]) -> None:
    """Make the file of an index that is locked."""
    with closing(_open(path)) as database, database:
        _create(database, settings)


def _emptied_log(database: apsw.Connection) -> bool:
    """Bring everything from the log into the file; whether it could be emptied then."""
    deadline = time.monotonic() + CLEARING_MS / 1000
    while True:
        try:
            database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):  # at once, where somebody else is just doing the same
            if time.monotonic() > deadline:
                return False
            time.sleep(CLEARING_PAUSE_S)
        else:
            return True


def _settings(database: apsw.Connection) -> dict[str, str]:
    """What the index was made with; empty where there is none."""
    made = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'setting'").get
    return dict(database.execute("SELECT name, value FROM setting")) if made else {}


def _create(database: apsw.Connection, settings: dict[str, str]) -> None:
    database.execute(sql.SCHEMA)
    database.executemany("INSERT INTO setting VALUES (?, ?)", settings.items())


def _refusal(document: Document, dimensions: int) -> str | None:
    """Why a document cannot be stored."""
    for each in document.embeddings():
        if len(each.vector) != dimensions:
            return f"a vector of {len(each.vector)} dimensions, where the index holds {dimensions}"
    if not -MAX_INTEGER <= document.at <= MAX_INTEGER:
        return "a time that is no 64-bit integer"
    return None


def _put(database: apsw.Connection, documents: Sequence[tuple[Document, str]]) -> bool:
    """Store documents, each with its fingerprint, in the place of what has their ids; whether anything had."""
    known = "SELECT id FROM memory WHERE tenant = ? AND memory_id = ?"
    former = (database.execute(known, (document.tenant, document.memory_id)).get for document, _ in documents)
    replaced = [int(row) for row in former if row is not None]
    _remove(database, replaced)
    spaces: dict[tuple[str, str], list[tuple[Document, str]]] = defaultdict(list)
    for document, fingerprint in documents:
        spaces[document.tenant, document.memory_space_id].append((document, fingerprint))
    for (tenant, name), stored in spaces.items():
        space = _require_space(database, tenant, name)
        rows = _free_rows(database, space, len(stored))
        for row, (document, fingerprint) in zip(rows, stored, strict=True):
            _insert(database, row, document, fingerprint)
        for of in vectors.OF:
            numbered = [
                (row, each.vector)
                for row, (document, _) in zip(rows, stored, strict=True)
                for each in document.embeddings()
                if each.of == of
            ]
            vectors.add(database, of, numbered)
    return bool(replaced)


def _require_space(database: apsw.Connection, tenant: str, name: str) -> int:
    """The number of a space, which is next to those of its tenant's other spaces."""
    known = database.execute("SELECT id FROM space WHERE tenant = ? AND name = ?", (tenant, name)).get
    if known is not None:
        return int(known)
    last = database.execute("SELECT max(id) FROM space WHERE tenant = ?", (tenant,)).get
    if last is None:
        last = (int(database.execute("SELECT ifnull(max(id), -1) FROM space").get) // sql.SPACES + 1) * sql.SPACES - 1
    elif (last + 1) % sql.SPACES == 0:
        raise SearchUnavailable(f"The search index holds no more than {sql.SPACES:,} spaces of a tenant.")
    database.execute("INSERT INTO space (id, tenant, name) VALUES (?, ?, ?)", (last + 1, tenant, name))
    return int(last) + 1


def _free_rows(database: apsw.Connection, space: int, count: int) -> range:
    """Numbers for memories behind those that the space holds."""
    place = sql.Space(space, 0, 0)
    last = database.execute("SELECT max(id) FROM memory WHERE id BETWEEN ? AND ?", (place.first, place.last)).get
    start = place.first if last is None else int(last) + 1
    if start + count > place.last:
        raise SearchUnavailable(f"The search index holds no more than {sql.MEMORIES:,} memories of a space.")
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
    own, window = (bm25.stems(database, text) for text in texts)
    database.execute("INSERT INTO stems VALUES (?, ?, ?)", (row, own.tobytes(), window.tobytes()))
    change = "UPDATE space SET documents = documents + 1, stems = stems + ? WHERE id = ?"
    database.execute(change, (len(own) + len(window), space))
    database.execute("INSERT INTO vectors VALUES (?, ?, ?, ?)", (row, *_packed(document.embeddings())))


def _remove(database: apsw.Connection, rows: Sequence[int]) -> None:
    vectors.remove(database, rows)
    change = """
        UPDATE space SET documents = documents - 1,
        stems = stems - (SELECT (length(own) + length(win)) / 4 FROM stems WHERE id = ?1) WHERE id = ?2
    """
    for row in rows:
        database.execute(change, (row, sql.space_of(row)))
        database.execute("DELETE FROM memory WHERE id = ?", (row,))
        database.execute("DELETE FROM facet WHERE memory = ?", (row,))
        for table in sql.BY_MEMORY:
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608


def _spaces(database: apsw.Connection, scope: Scope) -> list[sql.Space]:
    """The scope's spaces that the index knows, in the order of their numbers."""
    if not _settings(database):
        return []
    condition = sql.Condition("tenant = ?", (scope.tenant,))
    if scope.spaces is not None:
        names = scope.spaces | {NO_SPACE} if scope.adds_spaceless else scope.spaces
        condition &= sql.one_of("name", sorted(names))
    query = f"SELECT id, documents, stems, version FROM space WHERE {condition.sql} ORDER BY id"  # noqa: S608
    return [sql.Space(*found) for found in database.execute(query, condition.values)]


def _chosen(database: apsw.Connection, scope: Scope, spaces: Sequence[sql.Space]) -> sql.Chosen:
    """What the scope lets through; where that may be few, each by its number. Nearly all have the usual status."""
    condition = sql.within_scope(scope, spaces)
    if scope.filters == Filters() and scope.for_user is None:
        return sql.Chosen(spaces, condition)
    looked_up = condition & sql.faceted(scope.filters, spaces)
    query = f"SELECT id FROM memory WHERE {looked_up.sql} LIMIT ?"  # noqa: S608
    rows = [int(row) for (row,) in database.execute(query, (*looked_up.values, FEW + 1))]
    return sql.Chosen(spaces, condition, sorted(rows) if len(rows) <= FEW else None)


def _dated(
    database: apsw.Connection, chosen: sql.Chosen, terms: Sequence[str], dates: DateRange, depth: int
) -> list[int]:
    """Turns of a time: those that share a word with the question, then the latest."""
    condition = chosen.condition & sql.within(dates)
    worded = bm25.best(database, sql.Chosen(chosen.spaces, condition), terms, depth)
    query = f"SELECT id FROM memory WHERE {condition.sql} ORDER BY at DESC LIMIT ?"  # noqa: S608
    return [*worded, *(int(row) for (row,) in database.execute(query, (*condition.values, depth)))]


def _documents(database: apsw.Connection, rows: Collection[int]) -> dict[int, Document]:
    condition = sql.one_of("id", rows)
    found = database.execute(f"SELECT id, source FROM document WHERE {condition.sql}", condition.values)  # noqa: S608
    return {row: from_source(json.loads(text)) for row, text in found}


def _packed(embeddings: Sequence[Embedding]) -> tuple[bytes, bytes, str]:
    """Own vectors, the window's, and the digests of both."""
    numbers = {of: array("f") for of in vectors.OF}
    for each in embeddings:
        numbers[each.of].extend(each.vector)
    return numbers["own"].tobytes(), numbers["window"].tobytes(), json.dumps([each.digest for each in embeddings])


def _unpacked(dimensions: int, own: bytes, window: bytes, digests: str) -> Iterator[tuple[str, Vector]]:
    """Each vector behind its digest."""
    numbers = array("f", own + window)
    for place, digest in enumerate(json.loads(digests)):
        yield digest, tuple(numbers[place * dimensions : (place + 1) * dimensions])
