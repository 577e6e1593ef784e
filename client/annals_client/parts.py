"""Parts of messages that are stored beside them: what is uploaded, and what is fetched and put back in its place."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from annals_client.calls import Call, Save, require_success
from annals_client.files import Destination
from annals_client.formats.references import (
    BINARY,
    FIELD,
    Reference,
    read_reference,
    references_in,
    restore,
    with_references,
)
from annals_client.models import Message
from annals_client.wire import invalid

CHUNK_BYTES = 256 * 1024

PartSource = str | os.PathLike[str] | bytes | BinaryIO
"""What can be uploaded: a path, bytes, or a binary file from where it is."""

PartName = str | Mapping[str, Any]
"""How a part of a message is named: by its SHA-256, or by the reference that stands in the message."""


@dataclass(frozen=True)
class Content:
    """The bytes of a part, read as often as they are needed, and never held as a whole."""

    file: BinaryIO
    begin: int
    size: int
    sha256: str

    def chunks(self) -> Iterator[bytes]:
        """The bytes, piece by piece."""
        self.file.seek(self.begin)
        while chunk := self.file.read(CHUNK_BYTES):
            yield chunk

    async def async_chunks(self) -> AsyncIterator[bytes]:
        """The same for asyncio, which goes on while the disk is read."""
        self.file.seek(self.begin)
        while chunk := await asyncio.to_thread(self.file.read, CHUNK_BYTES):
            yield chunk


def open_source(source: PartSource) -> BinaryIO:
    """The file of what is to be uploaded. One that can be read only once is copied to the disk."""
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesIO(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).open("rb")
    if not hasattr(source, "read"):
        raise TypeError(f"a part is a path, bytes or a binary file, not {type(source).__name__}")
    if source.seekable():
        return source
    copied: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - whoever has it opened closes it
    shutil.copyfileobj(source, copied)
    copied.seek(0)
    return copied


def read_content(file: BinaryIO) -> Content:
    """The bytes of a file from where it is, counted and digested. Raises TypeError for a file of text."""
    begin, size, digest = file.tell(), 0, hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        if not isinstance(chunk, bytes):
            raise TypeError("the file of a part must be opened as binary: open(path, 'rb')")
        digest.update(chunk)
        size += len(chunk)
    return Content(file, begin, size, digest.hexdigest())


def media_type_of(source: PartSource) -> str:
    """What a path's name says of its content."""
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", "")
    return mimetypes.guess_type(name)[0] or BINARY if isinstance(name, str) else BINARY


def put_call(upload: Mapping[str, Any], content: Content) -> Call[None]:
    """The call that brings the bytes to where they go."""
    return Call("PUT", upload["url"], require_success, headers=upload["headers"], stream=content, signed=True)


def read_call(url: str) -> Call[bytes]:
    """The call that reads a part by its URL."""
    return Call("GET", url, _read, signed=True)


def save_step(url: str, to: Destination) -> Save:
    """The step that writes a part into a file."""
    return Save(Call("GET", url, lambda _: None, signed=True), to)


def sha256_of(part: PartName) -> str:
    """The SHA-256 by which a part is named. Raises InvalidArgument."""
    if isinstance(part, str):
        return part
    try:
        return read_reference(part).sha256
    except ValueError as failure:
        raise invalid("part", f"must be a SHA-256, or the {FIELD} of a message: {failure}") from None


def has_parts(message: Message) -> bool:
    """Whether parts of a message are stored beside it."""
    return any(True for _ in references_of(message))


def references_of(message: Message) -> Iterator[Reference]:
    """The references in a message."""
    yield from references_in(message.parts)
    yield from references_in(message.content_part)


def with_values(message: Message, bytes_of: Mapping[str, bytes]) -> Message:
    """The message as it was sent, with the values of its parts in their places."""

    def value(reference: Reference) -> Any:
        return restore(reference, bytes_of[reference.sha256])

    values: dict[str, Any] = {"parts": with_references(message.parts, value)}
    if message.content_part is not None:
        values |= {"content": with_references(message.content_part, value), "content_part": None}
    return message.model_copy(update=values)


def _read(response: httpx.Response) -> bytes:
    require_success(response)
    return response.content
