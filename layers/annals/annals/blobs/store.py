"""The protocol of a place for blobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

MAX_BLOB_BYTES = 100_000_000
"""The most that one blob may hold."""

MAX_MEDIA_TYPE_CHARS = 100
"""How long a media type may be."""

BINARY = "application/octet-stream"
"""The media type of bytes of which nothing else is known."""

CHUNK_BYTES = 256 * 1024
"""How many bytes are read at once where a blob is read in pieces."""


class BlobMissing(Exception):
    """There is no blob under this key."""


@dataclass(frozen=True)
class BlobInfo:
    """What is known of a blob without reading it; ``sha256`` is None where the place does not keep it."""

    size: int
    media_type: str
    sha256: bytes | None


@dataclass(frozen=True)
class NewBlob:
    """What a blob that is still to be uploaded will be."""

    key: str
    size: int
    sha256: bytes
    media_type: str


@dataclass(frozen=True)
class UploadTarget:
    """Where a blob is uploaded to: by ``PUT``, with these headers."""

    url: str
    headers: Mapping[str, str]


class BlobStore(Protocol):
    """A place for blobs. Keys are texts of letters, digits, ``-`` and ``/``.

    Other exceptions than those that are named are the place's own, and may be over at the next try.
    """

    def put(self, key: str, data: bytes, media_type: str) -> None:
        """Store a blob. It is there for good when this returns."""

    def copy(self, source: str, target: str, media_type: str) -> None:
        """Store the bytes of a blob under another key as well. Raises BlobMissing."""

    def find(self, key: str) -> BlobInfo | None:
        """What is known of a blob, or None where there is none."""

    def is_intact(self, key: str, size: int, sha256: bytes) -> bool:
        """Whether these bytes are under a key: by the checksum that the place keeps, else by reading them."""

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of a blob in pieces. Raises BlobMissing."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs; what is gone already is no error."""

    def download_url(self, key: str, media_type: str, lifetime_s: int, base_url: str) -> str:
        """A URL that reads a blob for so many seconds; ``base_url`` is where this service answers."""

    def upload_target(self, blob: NewBlob, lifetime_s: int, base_url: str) -> UploadTarget:
        """Where exactly these bytes can be uploaded for so many seconds, and no others."""


def digest_of(chunks: Iterable[bytes]) -> bytes:
    """The SHA-256 of bytes that come in pieces."""
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def delete_under(store: BlobStore, prefix: str) -> list[str]:
    """Delete all blobs whose keys begin so, and return their keys. It can be done again, and then finishes."""
    keys = list(store.keys(prefix))
    store.delete(keys)
    return keys
