"""The index for a laptop: one SQLite file, FTS5 for words, NumPy for vectors.

Any number of processes and threads may open, make, read, write and replace the file at once. Readers never wait for
writers; writers wait for each other. A rebuild makes the next generation as a file of its own (``files``), and whoever
has the former one open notices at the next read or write (``connections``). Words are found by FTS5 and scored here
(``bm25``), vectors are compared in two stages (``vectors``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import apsw

from annals.errors import SearchUnavailable
from annals.search.dates import DateRange
from annals.search.documents import Document, Vector
from annals.search.embedded import bm25, files, reading, sql, vectors, writing
from annals.search.embedded.connections import Connections, new_database
from annals.search.profiles import index_profile, require_owners, require_profile, require_vector_profile
from annals.search.protocol import Candidates, DocumentKey, Failure, Scope

PROGRESS = "noted"
"""The setting that says how far a rebuild has come."""


class EmbeddedIndex:
    """A search index in a SQLite file; see SearchIndex and RebuildableIndex.

    Parameters
    ----------
    path : of the file, or of the link to the generation in service
    must_exist : whether a missing file is unavailable, and not created
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self._path = Path(path)
        self._connections = Connections(self._path, must_exist=must_exist)

    def ensure(self, *, model: str, dimensions: int) -> None:
        """Create the tables; see SearchIndex.ensure."""
        expected = index_profile(model, dimensions)
        if self.find_profile() == expected:
            return
        with self._connections.writing() as database:
            if not reading.read_settings(database):
                writing.create_tables(database, expected)
        require_profile(str(self._path), self.find_profile(), expected)

    def upsert(self, documents: Sequence[tuple[Document, str]]) -> list[Failure]:
        """Store documents in one transaction; see SearchIndex.upsert."""
        failures = []
        accepted: dict[DocumentKey, tuple[Document, str]] = {}
        with self._connections.writing() as database:
            dimensions = int(self._require_settings(database)["dimensions"])
            for document, fingerprint in documents:
                if reason := writing.find_refusal(document, dimensions):
                    failures.append(Failure(document.memory_id, reason))
                else:
                    accepted[document.tenant, document.memory_id] = (document, fingerprint)
            has_replaced = writing.put_documents(database, list(accepted.values()))
        self._connections.clear_log(is_needed=has_replaced)
        return failures

    def delete(self, tenant: str, memory_ids: Collection[str]) -> None:
        """Remove documents; see SearchIndex.delete."""
        self._delete(sql.by_id(tenant, memory_ids))

    def delete_conversation(self, tenant: str, conversation_id: str) -> None:
        """Remove a conversation's documents; see SearchIndex.delete_conversation."""
        self._delete(sql.Condition("tenant = ? AND conversation_id = ?", (tenant, conversation_id)))

    def find_fingerprints(self, tenant: str, memory_ids: Collection[str]) -> dict[str, str]:
        """The stored fingerprints; see SearchIndex.find_fingerprints."""
        with self._connections.reading() as database:
            has_tables = reading.read_settings(database)
            return reading.read_fingerprints(database, sql.by_id(tenant, memory_ids)) if has_tables else {}

    def find_vectors(self, tenant: str, memory_ids: Collection[str]) -> dict[str, Vector]:
        """The stored vectors by digest; see SearchIndex.find_vectors."""
        with self._connections.reading() as database:
            settings = reading.read_settings(database)
            if not settings:
                return {}
            return reading.read_vectors(database, sql.by_id(tenant, memory_ids), int(settings["dimensions"]))

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
        """Search words, vectors and dates in one read; see SearchIndex.find_candidates."""
        with self._connections.reading() as database:
            spaces = reading.list_spaces(database, scope)
            if not spaces:
                return Candidates()
            settings = reading.read_settings(database)
            if vector is not None:
                require_vector_profile(str(self._path), settings, model, len(vector))
            if scope.for_user is not None:
                require_owners(str(self._path), settings)
            selection = reading.select(database, scope, spaces)
            lexical = bm25.find_best(database, selection, terms, depth)
            nearest: dict[str, dict[int, float]] = {}
            if vector is not None:
                nearest = vectors.find_nearest(database, self._connections.block_cache, selection, vector, depth)
            own, window = nearest.get("own", {}), nearest.get("window", {})
            dated = reading.list_dated(database, selection, terms, dates, depth) if dates else []
            documents = reading.read_documents(database, {*lexical, *own, *window, *dated})
        return Candidates(
            documents={document.memory_id: document for document in documents.values()},
            lexical={documents[row].memory_id: score for row, score in lexical.items()},
            own={documents[row].memory_id: score for row, score in own.items()},
            window={documents[row].memory_id: score for row, score in window.items()},
        )

    def list_speakers(self, scope: Scope) -> frozenset[str]:
        """Who spoke; see SearchIndex.list_speakers."""
        with self._connections.reading() as database:
            return reading.list_speakers(database, reading.list_spaces(database, scope))

    def list_documents(self, scope: Scope, *, limit: int, after: tuple[int, str] | None = None) -> list[Document]:
        """Documents, newest first; see SearchIndex.list_documents."""
        with self._connections.reading() as database:
            spaces = reading.list_spaces(database, scope)
            return reading.list_documents(database, sql.in_scope(scope, spaces), limit, after) if spaces else []

    def count(self, scope: Scope) -> int:
        """How many documents; see SearchIndex.count."""
        with self._connections.reading() as database:
            spaces = reading.list_spaces(database, scope)
            return reading.count_documents(database, sql.in_scope(scope, spaces)) if spaces else 0

    def refresh(self) -> None:
        """Do nothing: what was written is found at once."""

    def drop(self) -> None:
        """Remove every table; see SearchIndex.drop."""
        with self._connections.writing() as database:
            writing.drop_tables(database)

    def find_profile(self) -> dict[str, str]:
        """What the index was made with; see RebuildableIndex.find_profile."""
        return {name: value for name, value in self._settings().items() if name != PROGRESS}

    def find_next(self) -> EmbeddedIndex | None:
        """The generation that is being built; see RebuildableIndex.find_next."""
        with self._connections.answering():
            file = files.find_next(self._path)
        return EmbeddedIndex(file, must_exist=True) if file else None

    def ensure_next(self, *, model: str, dimensions: int, beside: str = "") -> EmbeddedIndex:
        """Make the next generation's file; see RebuildableIndex.ensure_next.

        The file has all its tables before a link names it: from then on others write it, too.
        """
        with self._connections.answering(), self._connections.locked():
            file = files.find_next(self._path)
            if file is None:
                file = files.new_path(self._path)
                with new_database(file) as database:
                    writing.create_tables(database, index_profile(model, dimensions))
                for served in (self._path, Path(beside)) if beside else (self._path,):
                    files.link_next(served, file)
        following = EmbeddedIndex(file, must_exist=True)
        following.ensure(model=model, dimensions=dimensions)
        return following

    def switch_to(self, new: EmbeddedIndex) -> None:
        """Put the next generation's file in service; see RebuildableIndex.switch_to.

        Nobody writes the former file meanwhile, and whoever waits to do so then writes the new one.
        """
        with self._connections.writing(), self._connections.locked():
            is_in_service = files.switch_to(self._path, new._path)
        if not is_in_service:
            raise SearchUnavailable(f"The search index {new._path} was given up while it was built.")

    def drop_former(self) -> None:
        """Delete former generations' files; see RebuildableIndex.drop_former."""
        with self._connections.answering(), self._connections.locked():
            files.drop_former(self._path)

    def drop_next(self) -> None:
        """Delete the file that is being built; see RebuildableIndex.drop_next."""
        with self._connections.answering(), self._connections.locked():
            files.drop_next(self._path)

    def save_progress(self, position: str) -> None:
        """Store a rebuild's position as a setting; see RebuildableIndex.save_progress."""
        with self._connections.writing() as database:
            self._require_settings(database)
            writing.put_setting(database, PROGRESS, position)

    def get_progress(self) -> str:
        """The position that the settings hold; see RebuildableIndex.get_progress."""
        return self._settings().get(PROGRESS, "")

    def list_keys(self, *, limit: int, after: DocumentKey | None = None) -> list[DocumentKey]:
        """Keys in order; see RebuildableIndex.list_keys."""
        with self._connections.reading() as database:
            return reading.list_keys(database, limit, after) if reading.read_settings(database) else []

    def close(self) -> None:
        """Close this thread's connection."""
        self._connections.close()

    def _settings(self) -> dict[str, str]:
        with self._connections.reading() as database:
            return reading.read_settings(database)

    def _require_settings(self, database: apsw.Connection) -> dict[str, str]:
        if settings := reading.read_settings(database):
            return settings
        raise SearchUnavailable(f"The search index {self._path} has been removed while it was written.")

    def _delete(self, condition: sql.Condition) -> None:
        with self._connections.writing() as database:
            if reading.read_settings(database):
                writing.delete_documents(database, condition)
        self._connections.clear_log(is_needed=True)
