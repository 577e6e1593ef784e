"""Blobs in a folder, on a machine without S3: a file for each, which is there as a whole or not at all."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from annals.blobs.store import BINARY, CHUNK_BYTES, BlobInfo, BlobMissing, NewBlob, UploadTarget, digest_of

KEY_FILE = ".key"
"""The file of the key by which a folder's URLs are signed."""

PARTIAL = ".partial"
"""The folder of the files that are still written."""

TRIES = 5
"""How often a file is put into its folder, which another process takes away meanwhile where it is empty."""

PATH = "/blobs/"
"""Where the development server answers the URLs of a folder's blobs."""


class WrongBytes(Exception):
    """What was uploaded is not what the URL was made for."""


@dataclass(frozen=True)
class Ticket:
    """What a signed URL allows: to read a blob, or to write exactly these bytes, until a Unix time."""

    method: Literal["GET", "PUT"]
    key: str
    media_type: str
    until: int
    size: int = 0
    sha256: str = ""


class FolderStore:
    """Blobs as files of a folder. Processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def at(folder: str) -> FolderStore:
        """The store of a folder, which is made where it is missing."""
        (Path(folder) / PARTIAL).mkdir(parents=True, exist_ok=True)
        return FolderStore(Path(folder))

    def put(self, key: str, data: bytes, media_type: str) -> None:
        with self.receive(key) as file:
            file.write(data)

    def copy(self, source: str, target: str, media_type: str) -> None:
        with self.receive(target) as file:
            for chunk in self.read(source):
                file.write(chunk)

    def find(self, key: str) -> BlobInfo | None:
        try:
            return BlobInfo(self._path(key).stat().st_size, BINARY, None)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_intact(self, key: str, size: int, sha256: bytes) -> bool:
        info = self.find(key)
        try:
            return info is not None and info.size == size and digest_of(self.read(key)) == sha256
        except BlobMissing:
            return False

    def read(self, key: str) -> Iterator[bytes]:
        try:
            file = self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise BlobMissing(key) from None
        return _chunks(file)

    def keys(self, prefix: str) -> Iterator[str]:
        """See BlobStore. A prefix ends with ``/``, as those of all owners do."""
        for folder, _, names in os.walk(self._folder / prefix):
            for name in names:
                yield (Path(folder) / name).relative_to(self._folder).as_posix()

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # another blob is in it, or another process was faster
                for parent in path.parents:
                    if parent == self._folder:
                        break
                    parent.rmdir()

    def delete_older(self, prefix: str, than_s: float) -> None:
        """Delete the blobs under a prefix that were stored so many seconds ago, as a bucket's lifecycle does."""
        for key in list(self.keys(prefix)):
            if _is_older(self._path(key), than_s):
                self.delete([key])
        for partial in (self._folder / PARTIAL).iterdir():
            if _is_older(partial, than_s):
                partial.unlink(missing_ok=True)

    def download_url(self, key: str, media_type: str, lifetime_s: int, base_url: str) -> str:
        return base_url + PATH + self._sign(Ticket("GET", key, media_type, int(time.time()) + lifetime_s))

    def upload_target(self, blob: NewBlob, lifetime_s: int, base_url: str) -> UploadTarget:
        until = int(time.time()) + lifetime_s
        ticket = Ticket("PUT", blob.key, blob.media_type, until, blob.size, blob.sha256.hex())
        headers = {"Content-Type": blob.media_type, "Content-Length": str(blob.size)}
        return UploadTarget(base_url + PATH + self._sign(ticket), headers)

    def open_ticket(self, text: str, method: str) -> Ticket | None:
        """What a URL of this folder allows; None for one that is not of it, is over, or is for another method."""
        signed, _, tag = text.partition(".")
        if not hmac.compare_digest(tag.encode(), self._tag(signed).encode()):
            return None
        ticket = Ticket(**json.loads(urlsafe_b64decode(signed)))
        return ticket if ticket.method == method and time.time() < ticket.until else None

    def receive(self, key: str, size: int | None = None, sha256: str | None = None) -> Receiving:
        """Begin to write a blob, perhaps one of which it is known what it will be."""
        return Receiving(self._folder / PARTIAL / secrets.token_hex(16), self._path(key), size, sha256)

    def _path(self, key: str) -> Path:
        if not all(part.replace("-", "").isalnum() for part in key.split("/")):
            raise ValueError(f"{key!r} is no key of a blob")
        return self._folder / key

    def _sign(self, ticket: Ticket) -> str:
        signed = urlsafe_b64encode(json.dumps(vars(ticket)).encode()).decode()
        return f"{signed}.{self._tag(signed)}"

    def _tag(self, signed: str) -> str:
        return hmac.new(self._signing_key(), signed.encode(), "sha256").hexdigest()

    def _signing_key(self) -> bytes:
        """The folder's key; whoever needs it first makes it."""
        path = self._folder / KEY_FILE
        if not path.exists():
            partial = self._folder / PARTIAL / secrets.token_hex(16)
            partial.touch(mode=0o600)
            partial.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                path.hardlink_to(partial)
            partial.unlink()
        return path.read_bytes()


class Receiving:
    """A blob that is written piece by piece. It gets its name at the end, once it is on the disk; or it goes."""

    def __init__(self, partial: Path, path: Path, size: int | None, expected: str | None) -> None:
        self._partial = partial
        self._path = path
        self._size = size
        self._expected = expected
        self._received = 0
        self._digest = sha256()

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._partial.open("xb")
        return self

    def write(self, chunk: bytes) -> None:
        """Write what came next. Raises WrongBytes where it is more than was to come."""
        self._received += len(chunk)
        if self._size is not None and self._received > self._size:
            raise WrongBytes
        self._digest.update(chunk)
        self._file.write(chunk)

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        try:
            if failure is None:
                self._require_expected()
                self._name()
        finally:
            self._partial.unlink(missing_ok=True)

    def _require_expected(self) -> None:
        is_expected = self._size in (None, self._received)
        if not is_expected or self._expected not in (None, self._digest.hexdigest()):
            raise WrongBytes

    def _name(self) -> None:
        for left in reversed(range(TRIES)):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._partial.replace(self._path)
            except FileNotFoundError:
                if not left:
                    raise
            else:
                break
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _is_older(path: Path, than_s: float) -> bool:
    """Whether a file was written before so many seconds; one that is gone was not."""
    try:
        return path.stat().st_mtime < time.time() - than_s
    except FileNotFoundError:
        return False


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
