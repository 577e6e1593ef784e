"""Files that are imported: read however large they are, and sent in parts that one request can carry."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from annals_client.errors import AnnalsError, to_error
from annals_client.formats.files.conversation import Broken, Line, Place
from annals_client.formats.files.opening import UnreadableFile
from annals_client.formats.files.reading import chat_lines, read_file
from annals_client.models import BrokenImport
from annals_client.wire import invalid, utf8

MAX_PART_BYTES = 4 * 1024 * 1024
"""How many bytes of lines one request carries; the server takes 6 MB."""

MAX_LINE_BYTES = 5 * 1024 * 1024
"""How many bytes one line may have, which no part can divide."""

MAX_PART_CONVERSATIONS = 500
"""How many conversations one request carries: as many as are stored well before it times out."""

LINE_NAME = re.compile(r"line ([0-9]+)")
LINE_DETAIL = re.compile(r"Line ([0-9]+): ")
"""How the server names a line of a part: in a field, and at the beginning of a sentence."""

Source = str | os.PathLike[str] | BinaryIO | Iterable[bytes] | Iterable[str]

OnRead = Callable[[int], Any]
"""Called with how many bytes of the file were read so far; it begins anew where the file is read once more."""


@dataclass(frozen=True)
class Part:
    """Lines that one request carries; of each, where in the file it comes from, and what its conversation is called."""

    content: bytes
    places: list[Place]
    names: list[str]

    def in_file(self, refusal: AnnalsError) -> AnnalsError:
        """A refusal that names a line of the part, with its place in the file; any other as it is."""
        place = self._place(LINE_NAME.fullmatch(refusal.field or ""))
        detail = self._detail(refusal.detail)
        if place is None and detail == refusal.detail:
            return refusal
        field_name = refusal.field if place is None else place.name
        return to_error(replace(refusal.problem, field=field_name, detail=detail))

    def broken_in_file(self, broken: BrokenImport) -> tuple[str, BrokenImport]:
        """What the server left out: the name of that conversation, and where it is in the file."""
        match = LINE_NAME.fullmatch(broken.place)
        place = self._place(match)
        if match is None or place is None:
            return broken.place, broken
        changes = {"place": place.name, "title": place.title or broken.title, "detail": self._detail(broken.detail)}
        return self.names[int(match[1]) - 1], broken.model_copy(update=changes)

    def _detail(self, detail: str) -> str:
        match = LINE_DETAIL.match(detail)
        place = self._place(match)
        return detail if match is None or place is None else place.before(detail[match.end() :])

    def _place(self, match: re.Match[str] | None) -> Place | None:
        return self.places[int(match[1]) - 1] if match and 1 <= int(match[1]) <= len(self.places) else None


class ImportFile:
    """A file to be imported, of which each reading gives the same parts.

    ``broken`` are the conversations that are left out, by name; a further reading leaves out all of their lines.
    """

    def __init__(self, file: BinaryIO, on_read: OnRead | None = None, *, skip_broken: bool = False) -> None:
        self._file = file
        self._on_read = on_read
        self._skip_broken = skip_broken
        self.broken: dict[str, BrokenImport] = {}

    def parts(self, max_bytes: int = MAX_PART_BYTES) -> Iterator[Part]:
        """The parts. Raises InvalidArgument for what cannot be read, unless it is left out."""
        left_out = frozenset(self.broken)
        parts = Parts(max_bytes, left_out)
        self._file.seek(0)
        try:
            for item in read_file(self._file):
                if self._on_read:
                    self._on_read(self._file.tell())
                if isinstance(item, Broken):
                    self._take_broken(item, parts.last_name if item.is_within else item.place.name)
                else:
                    yield from self._add(item, parts)
        except UnreadableFile as failure:
            raise invalid("the file", f"cannot be read: {failure}") from failure
        yield from parts.end()

    def _add(self, line: Line, parts: Parts) -> Iterator[Part]:
        """Add a line to the parts. One that no request can carry is broken, and with it its conversation."""
        try:
            yield from parts.add(line)
        except LineTooLarge as failure:
            self._take_broken(Broken(failure.place, str(failure)), failure.name)

    def leave_out(self, name: str, broken: BrokenImport) -> None:
        """Leave out a conversation; what was found first of it is what is said."""
        self.broken.setdefault(name, broken)

    def _take_broken(self, broken: Broken, name: str) -> None:
        """Leave out the conversation of this name. Raises InvalidArgument, unless what is broken is to be left out."""
        if not self._skip_broken:
            raise invalid(str(broken.place), broken.reason.removeprefix("it "))
        details = BrokenImport(
            place=broken.place.name,
            title=broken.place.title or None,
            code="INVALID_FORMAT",
            detail=broken.place.before(f"{broken.reason}."),
        )
        self.leave_out(name, details)


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """A source as a file that can be read more than once; one that cannot goes into a temporary file."""
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as spool:
        is_file = hasattr(source, "read")
        for number, line in enumerate(source, start=1):
            data = line if isinstance(line, bytes) else utf8(str(line), f"line {number}").encode()
            # Lines that a caller made may lack their ends; those of a file are its very bytes.
            spool.write(data if is_file or data.endswith(b"\n") else data + b"\n")
        yield spool


class LineTooLarge(ValueError):
    """No request can carry a line; the message says how large it is."""

    def __init__(self, place: Place, name: str, size: int) -> None:
        super().__init__(f"it has {size} bytes as JSON, and one request carries {MAX_LINE_BYTES}")
        self.place = place
        self.name = name


class Parts:
    """Makes lines into parts. A part that begins inside a conversation begins with that one's own line.

    Parameters
    ----------
    left_out : the names of conversations whose lines are left out
    """

    def __init__(self, max_bytes: int, left_out: Collection[str] = ()) -> None:
        self._max_bytes = max_bytes
        self._left_out = left_out
        self._lines: list[bytes] = []
        self._places: list[Place] = []
        self._names: list[str] = []
        self._size = 0
        self._count = 0
        self._named: set[str] = set()
        self._conversations: dict[str, _Begun] = {}
        self.last_name = ""
        """What the conversation of the last line is called."""

    def add(self, line: Line) -> Iterator[Part]:
        """Add a line of the file; the part that was full before it, if one was. Raises LineTooLarge."""
        text = line.text.encode("utf-8", "surrogatepass")
        value: Mapping[str, Any] = line.value
        is_chat = "type" not in value
        name = line.place.name if is_chat else str(value.get("conversationId", ""))
        self.last_name = name
        if name in self._left_out:
            return
        if is_chat and len(text) > self._max_bytes and (lines := list(chat_lines(line))):
            for each in lines:
                yield from self.add(each)
            self.last_name = name
            return
        if len(text) > MAX_LINE_BYTES:
            raise LineTooLarge(line.place, name, len(text))
        is_full = self._size + len(text) > self._max_bytes or self._count >= MAX_PART_CONVERSATIONS
        if self._lines and is_full:
            yield from self.end()
        self._add_value(value, name, text, line.place)

    def end(self) -> Iterator[Part]:
        """The part that was begun."""
        if self._lines:
            yield Part(b"\n".join(self._lines), self._places, self._names)
        self._lines, self._places, self._names, self._size, self._count, self._named = [], [], [], 0, 0, set()

    def _add_value(self, value: Mapping[str, Any], name: str, text: bytes, place: Place) -> None:
        if value.get("type") == "conversation":
            offset = value.get("offset", 0)
            values = {**value, "offset": offset if isinstance(offset, int) else 0}
            self._conversations[name] = _Begun(values, place)
            self._named.add(name)
            self._count += 1
        elif "type" not in value:
            self._count += 1
        elif value.get("type") in ("message", "run") and name in self._conversations:
            self._name_conversation(name)
            is_counted = value["type"] == "message" and value.get("kind", "message") == "message"
            self._conversations[name].values["offset"] += is_counted
        self._append(text, place, name)

    def _name_conversation(self, name: str) -> None:
        """Let the part name the conversation of its next line, and how many messages were in earlier parts."""
        if name not in self._named:
            self._named.add(name)
            self._count += 1
            begun = self._conversations[name]
            self._append(json.dumps(begun.values, ensure_ascii=False).encode(), begun.place, name)

    def _append(self, text: bytes, place: Place, name: str) -> None:
        self._lines.append(text)
        self._places.append(place)
        self._names.append(name)
        self._size += len(text) + 1


@dataclass(frozen=True)
class _Begun:
    """A conversation's own line, with the offset at which its next message is, and the line's place in the file."""

    values: dict[str, Any]
    place: Place
