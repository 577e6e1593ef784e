"""Files that are written as they come: exports."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

from typing_extensions import Self

JSON = "application/json"
JSON_LINES = "application/x-ndjson"

Destination = str | os.PathLike[str] | BinaryIO


class FileTarget:
    """Where a file is written to. A path gets its file when all of it is there, and keeps the old one until then.

    Parameters
    ----------
    on_write : called with the size of each piece that is written, and, where writing begins anew, with that of all
        before as a negative number
    """

    def __init__(self, to: Destination, on_write: Callable[[int], Any] = lambda _: None) -> None:
        self.size = 0
        self._on_write = on_write
        self._path = Path(to) if isinstance(to, str | os.PathLike) else None
        self._part = self._path.with_name(f".{self._path.name}.{uuid4().hex[:8]}.part") if self._path else None
        self._file: BinaryIO = self._part.open("wb") if self._part else to  # type: ignore[assignment]
        self._begin = self._file.tell() if self._file.seekable() else 0

    def write(self, chunk: bytes) -> None:
        """Write what came next."""
        self._file.write(chunk)
        self.size += len(chunk)
        self._on_write(len(chunk))

    def restart(self) -> bool:
        """Forget what was written; False for a file where that cannot be."""
        if self.size:
            if not self._file.seekable():
                return False
            self._file.seek(self._begin)
            self._file.truncate()
            self._on_write(-self.size)
            self.size = 0
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._part is None or self._path is None:
            return
        self._file.close()
        if failure is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()
