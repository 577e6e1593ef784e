"""Server-sent events, read from bytes that are cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ServerSentEvent:
    """An event that has data."""

    data: str
    name: str = "message"
    id: str = ""


def read_events(whole: bytes) -> list[ServerSentEvent]:
    """The events of a stream that is there as a whole. Raises UnicodeDecodeError."""
    reader = EventReader()
    return [*reader.read(whole), *reader.end()]


class EventReader:
    """Reads events. A line ends with LF, CR or CRLF; it is kept in pieces until its end comes, and joined once."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._fields: dict[str, list[str]] = {}
        self._ended_by_cr = False
        self._is_first_line = True

    def read(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that end in this chunk. Raises UnicodeDecodeError for a line that is not UTF-8."""
        if self._ended_by_cr:
            chunk = chunk.removeprefix(b"\n")
        self._ended_by_cr = chunk.endswith(b"\r") or (self._ended_by_cr and not chunk)
        *ended, tail = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for part in ended:
            line, self._rest = b"".join((*self._rest, part)), []
            yield from self._take_line(line)
        self._rest.append(tail)

    def end(self) -> Iterator[ServerSentEvent]:
        """The event that the end of the bytes ends, if there is one. Raises UnicodeDecodeError."""
        line, self._rest = b"".join(self._rest), []
        if line:
            yield from self._take_line(line)
        yield from self._take_event()

    def _take_line(self, line: bytes) -> Iterator[ServerSentEvent]:
        if self._is_first_line:
            self._is_first_line, line = False, line.removeprefix(BOM)
        if not line:
            yield from self._take_event()
            return
        name, _, value = line.decode().partition(":")
        self._fields.setdefault(name, []).append(value.removeprefix(" "))

    def _take_event(self) -> Iterator[ServerSentEvent]:
        fields, self._fields = self._fields, {}
        if "data" in fields:
            data = "\n".join(fields["data"])
            yield ServerSentEvent(data, fields.get("event", ["message"])[-1], fields.get("id", [""])[-1])
