"""The files that the command reads, plain or gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

GZIP = b"\x1f\x8b"


class CommandFailed(Exception):
    """A sentence that says why the command failed."""


@dataclass(frozen=True)
class LineFile:
    """A file of lines that is read as it is needed; ``size`` is in bytes as it lies on the disk."""

    path: Path
    size: int
    raw: BinaryIO
    text: BinaryIO

    def lines(self) -> Iterator[bytes]:
        """The lines. Raises CommandFailed where gzip's own checks fail."""
        try:
            yield from self.text
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise CommandFailed(f"{self.path} is damaged: {error}") from None

    def position(self) -> int:
        """How many bytes of the disk's file were read."""
        return self.raw.tell()


@contextmanager
def open_lines(path: Path) -> Iterator[LineFile]:
    """Open a file of lines, plain or gzip. Raises CommandFailed."""
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            text = gzip.GzipFile(fileobj=raw) if is_gzip else raw
            yield LineFile(path, path.stat().st_size, raw, text)  # type: ignore[arg-type]  # reads lines like a file
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror or error}") from None
