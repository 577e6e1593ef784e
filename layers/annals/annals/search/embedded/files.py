"""The files of an embedded index: ``<path>.000001`` and on, one for each generation.

The symbolic link ``<path>`` names the file in service, the link ``<path>.next`` the one that is being built; renamed to
``<path>`` it is in service, in one step. At first ``<path>`` is a file itself, until the first switch puts the link
there. Whoever opens, makes, names or deletes one of these files locks ``<path>.lock`` meanwhile. The lock file also
holds the last number given, so that none is given twice, and a process that still has an older file open notices.
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

FileIdentity = tuple[int, int]
"""The device and the inode of a file."""

LOCK_WAIT_S = 60.0
"""How long the lock is waited for. It is held for milliseconds."""
LOCK_PAUSE_S = 0.001

_NUMBER = r"\.([0-9]{6})"


def identify(path: Path) -> FileIdentity | None:
    """Which file a path leads to now; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep the index' files as they are: nobody else opens, makes, names or deletes one meanwhile."""
    with _lock_path(path).open("a") as file:
        _wait_for(file)
        yield


def find_next(path: Path) -> Path | None:
    """The file that is being built."""
    try:
        file = path.parent / _next_path(path).readlink()
    except FileNotFoundError:
        return None
    return file if file.exists() else None


def new_path(path: Path) -> Path:
    """The path of a new file, which no file of the index had before; the index is locked."""
    lock_path = _lock_path(path)
    numbers = [number for number, _ in _numbered_files(path)]
    number = max([int(lock_path.read_text() or 0), *numbers]) + 1
    lock_path.write_text(str(number))
    return path.with_name(f"{path.name}.{number:06d}")


def link_next(path: Path, file: Path) -> None:
    """Name a file as the one that is being built, unless another one is."""
    link = _next_path(path)
    if find_next(path) is None:
        link.unlink(missing_ok=True)  # of a file that is gone
    with suppress(FileExistsError):
        link.symlink_to(os.path.relpath(file, path.parent))


def switch_to(path: Path, file: Path) -> bool:
    """Put the file that is being built in service, in one step; whether it is, or was, in service then."""
    if not _is_same(find_next(path), file):
        return _number_of(path.resolve()) >= _number_of(file)
    _next_path(path).replace(path)
    return True


def drop_former(path: Path) -> None:
    """Delete the files that are neither in service nor being built."""
    used = {path.resolve().name, getattr(find_next(path), "name", "")}
    # A file before its logs: without them it is not whole.
    for _, file in sorted(_numbered_files(path)):
        if re.sub("-(wal|shm|journal)$", "", file.name) not in used:
            file.unlink(missing_ok=True)
    if path.is_symlink():
        _drop_logs(path)


def drop_next(path: Path) -> None:
    """Delete the file that is being built."""
    file = find_next(path)
    _next_path(path).unlink(missing_ok=True)
    if file is not None:
        file.unlink(missing_ok=True)
        _drop_logs(file)


def _wait_for(file: IO[str]) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOCK_PAUSE_S)
        else:
            return


def _is_same(one: Path | None, other: Path) -> bool:
    return one is not None and one.resolve() == other.resolve()


def _drop_logs(path: Path) -> None:
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _numbered_files(path: Path) -> Iterator[tuple[int, Path]]:
    for file in path.parent.glob(f"{path.name}.*"):
        match = re.fullmatch(rf"{re.escape(path.name)}{_NUMBER}(-wal|-shm|-journal)?", file.name)
        if match:
            yield int(match[1]), file


def _number_of(file: Path) -> int:
    """The number in a file's name, 0 where it has none."""
    match = re.search(f"{_NUMBER}$", file.name)
    return int(match[1]) if match else 0


def _next_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _lock_path(path: Path) -> Path:
    return path.with_name(re.sub(f"{_NUMBER}$", "", path.name) + ".lock")
