"""The files of an embedded index: ``<path>.000001`` and on, of which the symbolic link ``<path>`` names one.

A second link, ``<path>.next``, names the one that is being built; renamed to ``<path>`` it is in service. At first
``<path>`` is a file itself, until the first switch puts the link in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """Which file is behind a path now; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def following(path: Path) -> Path | None:
    """The file that is being built."""
    link = _next(path)
    return path.parent / link.readlink() if link.is_symlink() else None


def begin(path: Path, beside: str) -> Path:
    """Name the file that is to be built."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = max((number for number, _ in _numbered(path)), default=0) + 1
    made = path.with_name(f"{path.name}.{number:06d}")
    for served in (path, Path(beside)) if beside else (path,):
        with suppress(FileExistsError):  # somebody began at the same time
            _next(served).symlink_to(os.path.relpath(made, served.parent))
    return following(path) or made


def switch(path: Path) -> None:
    """Put the next file in service, in one step."""
    _next(path).replace(path)


def drop_former(path: Path) -> None:
    """Delete the files that are neither in service nor being built."""
    kept = {path.resolve().name, getattr(following(path), "name", "")}
    for _, file in _numbered(path):
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


def _drop_logs(path: Path) -> None:
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _numbered(path: Path) -> Iterator[tuple[int, Path]]:
    for file in path.parent.glob(f"{path.name}.*"):
        found = re.fullmatch(rf"{re.escape(path.name)}\.([0-9]{{6}})(-wal|-shm|-journal)?", file.name)
        if found:
            yield int(found[1]), file


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")
