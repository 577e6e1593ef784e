"""The database of a data folder: dynoxide, or MiniStack where dynoxide cannot be had.

A folder that held data once is never served empty: what is missing, damaged or newer than this program stops the start.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from local import dynoxide, emulator, ministack
from local.copying import copy_tables
from local.dynoxide import NotInstalled
from local.emulator import Emulator

log = logging.getLogger("annals")

FORMAT = 1
"""How the folder's files are laid out; rises when a program of before could misread them."""

SCHEMA = 9
"""The layout of its file that this dynoxide writes."""

LOOK_EVERY_S = 0.5

STREAM_INDEX = """
CREATE INDEX IF NOT EXISTS annals_stream_places
ON _stream_records (table_name, CAST(sequence_number AS INTEGER), shard_id, sequence_number)
"""
"""Without it dynoxide goes through all records of the streams at each write, for the number of the next one."""

VOLATILE = (
    "dynoxide is not here (%s), so MiniStack keeps the data: in memory, written to disk at a clean stop only. "
    "A crash or kill -9 loses all that was stored since the start."
)


class Unusable(Exception):
    """The data cannot be served; the message says why and what to do."""


@contextlib.contextmanager
def serving(folder: Path, tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Emulator]:
    """The database of a data folder, answering, until the block ends.

    Parameters
    ----------
    tables : CloudFormation properties of the tables, by their names here: what is taken over from another database

    Raises
    ------
    Unusable, EmulatorFailed
    """
    _require_format(folder)
    program = _program(folder)
    if program is None:
        running = ministack.start(folder)
        try:
            yield running
        finally:
            running.stop(ministack.files(folder))
        return
    _prepare(folder, program, tables)
    keeper = Keeper(program, folder)
    _layout_file(folder).write_text(
        json.dumps({"format": FORMAT, "database": dynoxide.database_file(folder).name}) + "\n"
    )
    try:
        _index_streams(dynoxide.database_file(folder))
        yield keeper.running
    finally:
        keeper.stop()


def _index_streams(file: Path) -> None:
    """Have a write and a look at a stream take as long as before, however much is in the streams."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=10)) as opened, opened:
            opened.execute(STREAM_INDEX)
    except sqlite3.OperationalError as error:
        log.warning("The streams in %s have no index, so writes get slower as they grow: %s", file, error)


class Keeper:
    """Starts a folder's dynoxide, and starts it again, at the same port, where it dies."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.running = _started(program, folder)
        self._stopping = threading.Event()
        self._thread = threading.Thread(name="database", target=self._keep)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._stopping.set()
        self._thread.join()
        self.running.stop(dynoxide.files(self._folder))

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            if not self.running.is_alive():
                log.error(
                    "The database ended by itself and is started again; see %s.", dynoxide.files(self._folder).log
                )
                self.running = dynoxide.launch_at(self.running.port, self._program, self._folder)


def _program(folder: Path) -> Path | None:
    """dynoxide's program; None where there is none, and the folder holds no data that need it."""
    try:
        return dynoxide.find_or_install()
    except NotInstalled as error:
        if dynoxide.database_file(folder).exists():
            detail = f"The data in {folder} need dynoxide, which is not here: {error}."
            raise Unusable(f"{detail} Put one on PATH, or install it with: cargo install dynoxide-rs") from error
        if not ministack.is_installed():
            detail = f"There is no database here: dynoxide cannot be installed ({error}), and MiniStack is not."
            raise Unusable(f"{detail} Put a dynoxide on PATH: cargo install dynoxide-rs") from error
        log.warning(VOLATILE, error)
        return None


def _prepare(folder: Path, program: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the file that is there, or take over what MiniStack kept before."""
    if emulator.find_running(dynoxide.files(folder)) is None:
        _require_sound(dynoxide.database_file(folder), dynoxide.program_version(program))
    if not dynoxide.database_file(folder).exists() and _tables_of_ministack(folder).exists():
        _take_over(folder, program, tables)


def _started(program: Path, folder: Path) -> Emulator:
    running = dynoxide.launch(program, folder)
    running.wait(dynoxide.files(folder))
    return running


def _layout_file(folder: Path) -> Path:
    return folder / "format.json"


def _require_format(folder: Path) -> None:
    """Raise Unusable for a folder of a newer layout, or whose database is gone."""
    note = _layout_file(folder)
    if not note.exists():
        return
    try:
        described = json.loads(note.read_text())
        layout, database = int(described["format"]), folder / str(described["database"])
    except (ValueError, TypeError, KeyError) as error:
        raise Unusable(f"{note} is damaged: put it back from a backup of the folder.") from error
    if layout > FORMAT:
        raise Unusable(
            f"The data in {folder} are of format {layout}; this Annals reads up to {FORMAT}. Take a newer one."
        )
    if not database.exists():
        detail = f"{database} is missing, though {note} says that it holds the data."
        raise Unusable(f"{detail} Put it back from a backup, or choose another folder with DATA=….")


def _require_sound(file: Path, version: str) -> None:
    """Raise Unusable for a file that is damaged, no database of dynoxide's, or written by a newer one."""
    if not file.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            (schema,) = database.execute("SELECT value FROM _config WHERE key = 'schema_version'").fetchone()
    except (sqlite3.DatabaseError, TypeError) as error:
        raise Unusable(_damaged(file, error)) from error
    if verdict != "ok":
        raise Unusable(_damaged(file, verdict))
    if version == dynoxide.VERSION and int(schema) > SCHEMA:
        detail = f"{file} was written by a newer dynoxide (layout {schema}, dynoxide {version} reads {SCHEMA})."
        raise Unusable(f"{detail} Put that one on PATH.")


def _damaged(file: Path, reason: object) -> str:
    return f"{file} is damaged ({reason}). Put it back from a backup, or choose another folder with DATA=…."


def _tables_of_ministack(folder: Path) -> Path:
    return ministack.state_folder(folder) / "dynamodb.json"


def _take_over(folder: Path, program: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Copy the tables of MiniStack into a new file, put it in its place whole, and let the old ones go.

    What was withdrawn later would stay in the old ones for ever.
    """
    log.info("The data that MiniStack kept in %s are taken over by dynoxide, once.", folder)
    workshop = folder / "taking-over"
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir()
    source, target = ministack.start(folder), _started(program, workshop)
    try:
        copied = copy_tables(source.url, target.url, tables)
    finally:
        target.stop(dynoxide.files(workshop))
        source.stop(ministack.files(folder))
    dynoxide.database_file(workshop).replace(dynoxide.database_file(folder))
    shutil.rmtree(workshop)
    _tables_of_ministack(folder).unlink()
    (folder / "streams.json").unlink(missing_ok=True)  # places in the streams that ended with MiniStack's tables
    log.info("%d items were taken over; the streams are read again from there.", copied)
