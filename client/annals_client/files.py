"""Files: exports that are written as they come, and imports that are sent in parts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

from typing_extensions import Self

from annals_client.errors import AnnalsError, to_error
from annals_client.wire import invalid, utf8

JSON = "application/json"
JSON_LINES = "application/x-ndjson"

MAX_PART_BYTES = 4 * 1024 * 1024
"""How many bytes of lines one request carries; the server takes 6 MB."""

MAX_PART_CONVERSATIONS = 500
"""How many conversations one request carries: as many as are stored well before it times out."""

LINE_FIELD = re.compile(r"line ([0-9]+)")
"""How a refusal names a line."""

Destination = str | os.PathLike[str] | BinaryIO
Source = str | os.PathLike[str] | Iterable[bytes] | Iterable[str]


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


@dataclass(frozen=True)
class Part:
    """Lines that one request carries, and the number that each of them has in the file."""

    content: bytes
    line_numbers: Sequence[int]

    def in_file(self, refusal: AnnalsError) -> AnnalsError:
        """A refusal that names a line of the part, with the line's number in the file; any other as it is."""
        match = LINE_FIELD.fullmatch(refusal.field or "")
        if not match or not 1 <= int(match[1]) <= len(self.line_numbers):
            return refusal
        number = self.line_numbers[int(match[1]) - 1]
        detail = refusal.detail.replace(f"Line {match[1]}:", f"Line {number}:", 1)
        return to_error(replace(refusal.problem, field=_line_field(number), detail=detail))


def parts_of(source: Source, max_bytes: int = MAX_PART_BYTES) -> Iterator[Part]:
    """A file of JSON lines in parts that one request can carry. Raises InvalidArgument for what is no JSON object."""
    with ExitStack() as stack:
        lines: Iterable[bytes | str] = (
            stack.enter_context(Path(source).open("rb")) if isinstance(source, str | os.PathLike) else source
        )
        parts = Parts(max_bytes)
        for number, line in enumerate(lines, start=1):
            text = line if isinstance(line, bytes) else utf8(line, _line_field(number)).encode()
            yield from parts.add_line(text, number)
        yield from parts.end()


class Parts:
    """Makes lines into parts. A part that begins inside a conversation begins with that one's own line."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lines: list[bytes] = []
        self._numbers: list[int] = []
        self._size = 0
        self._count = 0
        self._named: set[str] = set()
        self._conversations: dict[str, _Begun] = {}

    def add_line(self, line: bytes, number: int) -> Iterator[Part]:
        """Add a line of the file; the part that was full before it, if one was."""
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not line:
            return
        is_full = self._size + len(line) > self._max_bytes or self._count >= MAX_PART_CONVERSATIONS
        if self._lines and is_full:
            yield from self.end()
        self._add_value(_parse_object(line, number), line, number)

    def end(self) -> Iterator[Part]:
        """The part that was begun."""
        if self._lines:
            yield Part(b"\n".join(self._lines), self._numbers)
        self._lines, self._numbers, self._size, self._count, self._named = [], [], 0, 0, set()

    def _add_value(self, value: Mapping[str, Any], line: bytes, number: int) -> None:
        name = str(value.get("conversationId", ""))
        if value.get("type") == "conversation":
            offset = value.get("offset", 0)
            values = {**value, "offset": offset if isinstance(offset, int) else 0}
            self._conversations[name] = _Begun(values, number)
            self._named.add(name)
            self._count += 1
        elif "type" not in value:
            self._count += 1
        elif value.get("type") == "message" and name in self._conversations:
            self._name_conversation(name)
            self._conversations[name].values["offset"] += value.get("kind", "message") == "message"
        self._append(line, number)

    def _name_conversation(self, name: str) -> None:
        """Let the part name the conversation of its next line, and how many messages were in earlier parts."""
        if name not in self._named:
            self._named.add(name)
            self._count += 1
            begun = self._conversations[name]
            self._append(json.dumps(begun.values, ensure_ascii=False).encode(), begun.number)

    def _append(self, line: bytes, number: int) -> None:
        self._lines.append(line)
        self._numbers.append(number)
        self._size += len(line) + 1


@dataclass(frozen=True)
class _Begun:
    """A conversation's own line, with the offset at which its next message is, and the line's number in the file."""

    values: dict[str, Any]
    number: int


def _parse_object(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as failure:
        raise invalid(_line_field(number), f"is not JSON: {failure}") from failure
    if not isinstance(value, dict):
        raise invalid(_line_field(number), "is not a JSON object")
    return value


def _line_field(number: int) -> str:
    return f"line {number}"
