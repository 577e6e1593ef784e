"""Connections to the file of an embedded index: which one is in service, who reads it, who may write it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from annals.errors import SearchUnavailable
from annals.search.embedded import files
from annals.search.embedded.files import FileIdentity
from annals.search.embedded.vectors import BlockCache

BUSY_MS = 60_000
"""How long a writer waits for the others, each of which takes milliseconds; SQLite keeps no order among them."""
CLEARING_MS = 1_000
"""How long clearing the log waits for readers."""
CLEARING_PAUSE_S = 0.01
MAX_REOPENED = 100
"""So many times in a row the file may be replaced while a writer waits for it."""
GONE = "is gone: another one has taken its place, or it was given up"

_UNAVAILABLE = (
    apsw.BusyError, apsw.LockedError, apsw.CantOpenError, apsw.IOError, apsw.NotADBError, apsw.CorruptError,
    apsw.FullError, apsw.ReadOnlyError, apsw.ProtocolError,
)  # fmt: skip


class Connections:
    """Each thread's own connection to the file that a path names now, which a rebuild may replace at any time.

    Parameters
    ----------
    path : of the index; the file is created where it is missing
    must_exist : a missing file is not created, but unavailable
    """

    def __init__(self, path: Path, *, must_exist: bool) -> None:
        self.path = path
        self._must_exist = must_exist
        self._thread = threading.local()
        self._has_former_pages = False

    @property
    def block_cache(self) -> BlockCache:
        """What this thread's connection has read of the vectors' blocks."""
        cache: BlockCache = self._thread.block_cache
        return cache

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """The state at one moment, whatever is written meanwhile."""
        with self.answering():
            database = self._connect()
            with database:
                yield database

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """A transaction that is written entirely or, after an error, not at all."""
        with self.answering():
            database = self._begin()
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The index' files as they are now: nobody else opens, makes, names or deletes one meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with files.lock(self.path):
            yield

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raise SearchUnavailable where SQLite, or the file system, does not answer."""
        try:
            yield
        except (*_UNAVAILABLE, OSError) as error:
            raise SearchUnavailable(f"The search index {self.path} does not answer: {error}") from error

    def clear_log(self, *, is_needed: bool) -> None:
        """Empty the file's log after a removal, since it holds pages as they were before.

        Where somebody reads for so long that this has to wait, it is left to the next write.
        """
        if not (is_needed or self._has_former_pages):
            return
        with self.answering():
            database = self._connect()
            database.set_busy_timeout(CLEARING_MS)
            try:
                self._has_former_pages = not _empty_log(database)
            finally:
                database.set_busy_timeout(BUSY_MS)

    def close(self) -> None:
        """Close this thread's connection."""
        opened = getattr(self._thread, "opened", None)
        if opened is not None:
            opened[1].close()
            del self._thread.opened

    def _begin(self) -> apsw.Connection:
        """A connection that alone may write the file in service.

        Which file that is, is looked at once more when the write lock is held: a switch takes that lock, too, so that
        from then on the file stays in service until the transaction ends.
        """
        for _ in range(MAX_REOPENED):
            database = self._connect()
            database.execute("BEGIN IMMEDIATE")
            if self._is_current():
                return database
            database.execute("ROLLBACK")
        raise SearchUnavailable(f"The search index {self.path} is replaced faster than it can be written.")

    def _connect(self) -> apsw.Connection:
        """This thread's own connection to the file that is in service now."""
        if not self._is_current():
            self.close()
            with self.locked():
                if self._must_exist and not self.path.exists():
                    raise SearchUnavailable(f"The search index {self.path} {GONE}.")
                database = _open(self.path)
                self._thread.opened = (files.identify(self.path), database)
            self._thread.block_cache = BlockCache()
        opened: tuple[FileIdentity, apsw.Connection] = self._thread.opened
        return opened[1]

    def _is_current(self) -> bool:
        """Whether this thread has opened the file that is in service now."""
        opened = getattr(self._thread, "opened", None)
        return opened is not None and opened[0] == files.identify(self.path)


@contextmanager
def new_database(path: Path) -> Iterator[apsw.Connection]:
    """A transaction on a new file of an index that is locked; the file is closed after it."""
    with closing(_open(path)) as database, database:
        yield database


def _open(path: Path) -> apsw.Connection:
    """Open a file of an index that is locked: SQLite fails at once, without waiting, where two make a file's first log.

    ``secure_delete`` overwrites what is deleted, so that erased words are not left in free pages.
    """
    database = apsw.Connection(str(path))
    database.set_busy_timeout(BUSY_MS)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")
    database.execute("PRAGMA cache_size = -65536")
    database.execute("PRAGMA mmap_size = 4294967296")
    return database


def _empty_log(database: apsw.Connection) -> bool:
    """Bring everything from the log into the file; whether the log could be emptied."""
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
