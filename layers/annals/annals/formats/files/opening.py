"""Opening a file: plain, gzip or zip, as texts that come in chunks."""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_END
from typing import BinaryIO, NamedTuple

CHUNK_BYTES = 1 << 20

GZIP, ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
"""How compressed files begin."""

MAX_RATIO, MIN_MAX_BYTES = 200, 1 << 30
"""How many times its size a compressed file may hold, where nothing else bounds it; and what any may hold. Text of
people is compressed some five times."""

MAX_MEMBERS = 100_000
"""How many files a zip may hold."""

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")
"""The ends of the names of files that are read in a zip."""

CONVERSATIONS = "conversations"
"""How the names begin of the files that hold conversations; where a zip has such, no others are read."""

ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""The encodings that a file's first bytes tell, beside UTF-8."""


class UnreadableFile(ValueError):
    """A file as a whole cannot be read; the message says why."""


class FileTooLarge(UnreadableFile):
    """A file holds more than it may; the message says how much that is."""


class TextFile(NamedTuple):
    """A text that comes in chunks, and its name within a zip."""

    name: str
    chunks: Iterator[str]


def open_texts(file: BinaryIO, max_bytes: int | None = None) -> Iterator[TextFile]:
    """The texts in a file, each to be read before the next one. Raises UnreadableFile, also while they are read.

    Parameters
    ----------
    file : at its beginning; it can be gone back in
    max_bytes : how much all texts may have together, unpacked; a compressed file is bounded in any case
    """
    begin = file.read(4)
    if max_bytes is None and begin.startswith((GZIP, *ZIP)):
        file.seek(0, SEEK_END)
        max_bytes = max(MIN_MAX_BYTES, MAX_RATIO * file.tell())
    room = _Room(max_bytes)
    file.seek(0)
    with _naming_damage():
        if begin.startswith(ZIP):
            yield from _open_members(file, room)
        elif begin.startswith(GZIP):
            yield TextFile("", _chunks(gzip.GzipFile(fileobj=file, mode="rb"), room))
        else:
            yield TextFile("", _chunks(file, room))


def _open_members(file: BinaryIO, room: _Room) -> Iterator[TextFile]:
    with zipfile.ZipFile(file) as archive:
        members = [each for each in archive.infolist() if _is_text(each)]
        if len(archive.infolist()) > MAX_MEMBERS:
            raise UnreadableFile(f"the zip holds more than {MAX_MEMBERS} files")
        own = [each for each in members if _base(each).startswith(CONVERSATIONS)]
        chosen = sorted(own or members, key=lambda each: each.filename)
        if not chosen:
            raise UnreadableFile(f"the zip holds no file whose name ends in {', '.join(SUFFIXES)}")
        for member in chosen:
            if member.flag_bits & 1:
                raise UnreadableFile(f"{member.filename} in the zip is encrypted")
            with archive.open(member) as opened:
                yield TextFile(_base(member), _chunks(opened, room))  # type: ignore[arg-type]  # it reads like a file


def _is_text(member: zipfile.ZipInfo) -> bool:
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in member.filename.split("/"))
    return not member.is_dir() and not is_hidden and member.filename.lower().endswith(SUFFIXES)


def _base(member: zipfile.ZipInfo) -> str:
    return member.filename.rpartition("/")[2]


class _Room:
    """How many bytes may still come."""

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = self._left = max_bytes

    def take(self, count: int) -> None:
        """Take some. Raises UnreadableFile where there are no more."""
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise FileTooLarge(f"it holds more than {self._max_bytes} bytes")


def _chunks(binary: BinaryIO | gzip.GzipFile, room: _Room) -> Iterator[str]:
    with _naming_damage():
        data = binary.read(CHUNK_BYTES)
        decoder = codecs.getincrementaldecoder(ENCODINGS.get(data[:2], "utf-8-sig"))()
        while data:
            room.take(len(data))
            if text := decoder.decode(data):
                yield text
            data = binary.read(CHUNK_BYTES)
        if text := decoder.decode(b"", final=True):
            yield text


@contextmanager
def _naming_damage() -> Iterator[None]:
    """Raise UnreadableFile for what the readers of compressed files and of text raise."""
    try:
        yield
    except UnicodeDecodeError:
        raise UnreadableFile("it is not UTF-8 text") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(f"it is damaged: {error}") from None
