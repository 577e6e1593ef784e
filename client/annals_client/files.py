"""Files: exports that are written as they come, and imports that are sent in parts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

from typing_extensions import Self

from annals_client.wire import invalid, utf8

JSON = "application/json"
JSON_LINES = "application/x-ndjson"

MAX_PART_BYTES = 4 * 1024 * 1024
"""How many bytes of lines one request carries; the server takes 6 MB."""

MAX_PART_CONVERSATIONS = 500
"""How many conversations one request carries: as many as are stored well before it times out."""

Destination = str | os.PathLike[str] | BinaryIO
Source = str | os.PathLike[str] | Iterable[bytes] | Iterable[str]


class FileTarget:
    """Where a file is written to. A path gets its file when all of it is there, and keeps the old one until then."""

    def __init__(self, to: Destination) -> None:
        self.size = 0
        self._path = Path(to) if isinstance(to, str | os.PathLike) else None
        self._part = self._path.with_name(f".{self._path.name}.{uuid4().hex[:8]}.part") if self._path else None
        self._file: BinaryIO = self._part.open("wb") if self._part else to  # type: ignore[assignment]
        self._begin = self._file.tell() if self._file.seekable() else 0

    def write(self, chunk: bytes) -> None:
        """Write what came next."""
        self._file.write(chunk)
        self.size += len(chunk)

    def restart(self) -> bool:
        """Forget what was written; False for a file where that cannot be."""
        if self.size:
            if not self._file.seekable():
                return False
            self._file.seek(self._begin)
            self._file.truncate()
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


def parts_of(source: Source, max_bytes: int = MAX_PART_BYTES) -> Iterator[bytes]:
    """A file of JSON lines in parts that one request can carry. Raises InvalidArgument for what is no JSON object."""
    with ExitStack() as stack:
        lines: Iterable[bytes | str] = (
            stack.enter_context(Path(source).open("rb")) if isinstance(source, str | os.PathLike) else source
        )
        parts = Parts(max_bytes)
        for number, line in enumerate(lines, start=1):
            yield from parts.take(line if isinstance(line, bytes) else utf8(line, _place(number)).encode(), number)
        yield from parts.end()


class Parts:
    """Lines that are made into parts. A part that begins inside a conversation begins with that one's own line."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._part: list[bytes] = []
        self._size = 0
        self._count = 0
        self._named: set[str] = set()
        self._conversations: dict[str, dict[str, Any]] = {}

    def take(self, line: bytes, number: int) -> Iterator[bytes]:
        """Add a line; the part that was full before it, if one was."""
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not line:
            return
        is_full = self._size + len(line) > self._max_bytes or self._count >= MAX_PART_CONVERSATIONS
        if self._part and is_full:
            yield from self.end()
        self._note(_object(line, number), line)

    def end(self) -> Iterator[bytes]:
        """The part that was begun."""
        if self._part:
            yield b"\n".join(self._part)
        self._part, self._size, self._count, self._named = [], 0, 0, set()

    def _note(self, said: Mapping[str, Any], line: bytes) -> None:
        conversation = said.get("conversationId", "")
        if said.get("type") == "conversation":
            self._conversations[conversation] = {"offset": 0, **said}
            self._named.add(conversation)
            self._count += 1
        elif "type" not in said:
            self._count += 1
        elif said.get("type") == "message" and conversation in self._conversations:
            self._name(conversation)
            self._conversations[conversation]["offset"] += said.get("kind", "message") == "message"
        self._add(line)

    def _name(self, conversation: str) -> None:
        if conversation not in self._named:
            self._named.add(conversation)
            self._count += 1
            self._add(json.dumps(self._conversations[conversation], ensure_ascii=False).encode())

    def _add(self, line: bytes) -> None:
        self._part.append(line)
        self._size += len(line) + 1


def _object(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as failure:
        raise invalid(_place(number), f"is not JSON: {failure}") from failure
    if not isinstance(said, dict):
        raise invalid(_place(number), "is not a JSON object")
    return said


def _place(number: int) -> str:
    return f"line {number}"
