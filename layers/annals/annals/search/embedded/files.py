"""The files of an embedded index: ``<path>.000001`` and on, of which the symbolic link ``<path>`` names one.

A second link, ``<path>.next``, names the one that is being built; renamed to ``<path>`` it is in service. At first
``<path>`` is a file itself, until the first switch puts the link in its place. Whoever opens, makes, names or deletes
one of these files has ``<path>.lock`` meanwhile; it also holds the last number given, so that none is given twice.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

Identity = tuple[int, int]

WAIT_S = 60.0
"""How long the lock is waited for. It is held for milliseconds."""
PAUSE_S = 0.001

_NUMBER = r"\.([0-9]{6})"


def identity(path: Path) -> Identity | None:
    """Which file is behind a path now; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep the index' files as they are: nobody else opens, makes, names or deletes one meanwhile."""
    with _lock_file(path).open("a") as lock:
        _wait_for(lock)
        yield


def following(path: Path) -> Path | None:
    """The file that is being built."""
    try:
        made = path.parent / _next(path).readlink()
    except FileNotFoundError:
        return None
    return made if made.exists() else None


def new_file(path: Path) -> Path:
    """A name that no file of the index had before; the index is locked."""
    lock = _lock_file(path)
    given = [number for number, _ in _numbered(path)]
    number = max([int(lock.read_text() or 0), *given]) + 1
    lock.write_text(str(number))
    return path.with_name(f"{path.name}.{number:06d}")


def name_next(path: Path, made: Path) -> None:
    """Say that a file is being built to take the place of the one in service, unless another is."""
    link = _next(path)
    if following(path) is None:
        link.unlink(missing_ok=True)  # of a file that is gone
    with suppress(FileExistsError):
        link.symlink_to(os.path.relpath(made, path.parent))


def switch(path: Path, made: Path) -> bool:
    """Put the file that is being built in service, in one step; whether it is, or was, in service then."""
    if not _same(following(path), made):
        return _number(path.resolve()) >= _number(made)
    _next(path).replace(path)
    return True


def drop_former(path: Path) -> None:
    """Delete the files that are neither in service nor being built."""
    kept = {path.resolve().name, getattr(following(path), "name", "")}
    # A file before its logs: without them it is not whole.
    for _, file in sorted(_numbered(path)):
        if re.sub("-(wal|shm|journal)$", "", file.name) not in kept:
            file.unlink(missing_ok=True)
    if path.is_symlink():
        _drop_logs(path)


def drop_next(path: Path) -> None:
    """Delete the file that is being built."""
    made = following(path)
    _next(path).unlink(missing_ok=True)
    if made is not None:
        made.unlink(missing_ok=True)
        _drop_logs(made)


def _wait_for(lock: IO[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
        else:
            return


def _same(one: Path | None, other: Path) -> bool:
    return one is not None and one.resolve() == other.resolve()


def _drop_logs(path: Path) -> None:
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _numbered(path: Path) -> Iterator[tuple[int, Path]]:
    for file in path.parent.glob(f"{path.name}.*"):
        found = re.fullmatch(rf"{re.escape(path.name)}{_NUMBER}(-wal|-shm|-journal)?", file.name)
        if found:
            yield int(found[1]), file


def _number(file: Path) -> int:
    """The number in a file's name, 0 where it has none."""
    found = re.search(f"{_NUMBER}$", file.name)
    return int(found[1]) if found else 0


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _lock_file(path: Path) -> Path:
    return path.with_name(re.sub(f"{_NUMBER}$", "", path.name) + ".lock")
