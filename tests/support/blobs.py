"""Parts beside the ledger, in a folder of a test's own, and what reads and writes them by their URLs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.testclient import TestClient

from annals.blobs.folder import FolderStore
from annals.formats.references import Reference, restore
from annals.ledger.part_fields import references_of, with_references_of
from local.blobs import BlobRoutes
from tests.conftest import Setting
from tests.support.api import Api

MB = 1024 * 1024


def blobs_in(folder: Path, setting: Setting) -> FolderStore:
    """Have parts stored in a folder."""
    setting("BLOBS_FOLDER", str(folder))
    return FolderStore.at(str(folder))


def no_compression(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two tests have the same, and that no text is."""
    blocks = range(size // 32 + 1)
    return b"".join(sha256(f"{seed} {block}".encode()).digest() for block in blocks)[:size]


def image(size: int, seed: int = 0) -> tuple[bytes, str]:
    """The bytes of something that begins as a PNG does, and the same in Base64."""
    data = b"\x89PNG\r\n\x1a\n" + no_compression(size - 8, seed)
    return data, base64.b64encode(data).decode()


def files_of(folder: Path) -> list[Path]:
    """The files of blobs in a folder, uploads among them."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def fetch(store: FolderStore, url: str) -> Any:
    """The answer to the URL of a part."""
    with TestClient(Starlette(routes=[BlobRoutes(store).route])) as client:
        return client.get(urlsplit(url).path)


def send(store: FolderStore, upload: Mapping[str, Any], data: bytes) -> int:
    """The status of an upload of these bytes."""
    with TestClient(Starlette(routes=[BlobRoutes(store).route])) as client:
        answer = client.put(urlsplit(upload["url"]).path, content=data, headers=upload["headers"])
        return answer.status_code


def restored(store: FolderStore, api: Api, message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it was before its parts were moved, fetched by their routes."""

    def bytes_of(reference: Reference, url: str) -> Any:
        found = api.get(url)
        assert found.status == 200, found.json
        answer = fetch(store, found.json["url"])
        assert answer.status_code == 200
        assert answer.headers["content-type"] == reference.media_type
        return restore(reference, answer.content)

    urls = {part["sha256"]: part["url"] for part in _reference_fields(message)}
    whole = with_references_of(message, lambda reference: bytes_of(reference, urls[reference.sha256]))
    if "contentPart" in whole:
        whole["content"] = whole.pop("contentPart")
    return whole


def _reference_fields(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if "sha256" in value and "url" in value:
            found.append(value)
        return value

    json.loads(json.dumps(message), object_pairs_hook=note)
    yield from found


def references(message: Mapping[str, Any]) -> list[Reference]:
    """The references in a message."""
    return list(references_of(message))
