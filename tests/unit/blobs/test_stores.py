"""Both places for blobs keep the protocol: a folder, and a bucket of S3 (moto's)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto import mock_aws

from annals.blobs.adapters import find_store
from annals.blobs.folder import FolderStore
from annals.blobs.s3 import S3Store
from annals.blobs.store import BlobMissing, BlobStore, NewBlob, delete_under
from local.emulator import CREDENTIALS
from tests.conftest import Setting
from tests.support.blobs import no_compression

BUCKET = "blobs"
DATA = no_compression(300_000)
SHA256 = hashlib.sha256(DATA).digest()


@pytest.fixture(params=["folder", "S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobStore]:
    if request.param == "folder":
        yield FolderStore.at(str(tmp_path))
        return
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield S3Store.of(BUCKET)


def test_a_blob_is_read_as_it_was_put(store: BlobStore) -> None:
    store.put("parts/a/1", DATA, "image/png")
    assert b"".join(store.read("parts/a/1")) == DATA
    info = store.find("parts/a/1")
    assert info is not None
    assert info.size == len(DATA)


def test_an_empty_blob_is_one_too(store: BlobStore) -> None:
    store.put("parts/a/1", b"", "image/png")
    assert b"".join(store.read("parts/a/1")) == b""
    assert store.is_intact("parts/a/1", 0, hashlib.sha256(b"").digest())


def test_what_is_not_there_is_missing(store: BlobStore) -> None:
    assert store.find("parts/a/1") is None
    assert not store.is_intact("parts/a/1", len(DATA), SHA256)
    with pytest.raises(BlobMissing):
        b"".join(store.read("parts/a/1"))
    with pytest.raises(BlobMissing):
        store.copy("parts/a/1", "parts/b/1", "image/png")
    assert list(store.keys("parts/")) == []
    store.delete(["parts/a/1"])


def test_a_copy_outlives_what_it_was_made_of(store: BlobStore) -> None:
    store.put("uploads/a", DATA, "image/png")
    store.copy("uploads/a", "parts/a/1", "image/gif")
    store.delete(["uploads/a"])
    assert store.find("uploads/a") is None
    assert store.is_intact("parts/a/1", len(DATA), SHA256)


def test_other_bytes_are_noticed(store: BlobStore) -> None:
    store.put("parts/a/1", DATA, "image/png")
    assert store.is_intact("parts/a/1", len(DATA), SHA256)
    store.put("parts/a/1", DATA[:-1] + b"x", "image/png")
    assert not store.is_intact("parts/a/1", len(DATA), SHA256)
    assert not store.is_intact("parts/a/1", len(DATA) - 1, SHA256)


def test_what_is_under_a_prefix_goes_and_nothing_beside_it(store: BlobStore) -> None:
    names = {f"parts/a/{number}" for number in range(25)}
    for name in (*names, "parts/ab/1", "parts/b/1"):
        store.put(name, b"x", "image/png")
    assert set(store.keys("parts/a/")) == names
    assert set(delete_under(store, "parts/a/")) == names
    assert sorted(store.keys("parts/")) == ["parts/ab/1", "parts/b/1"]
    assert delete_under(store, "parts/a/") == []


def test_the_setting_names_the_place(tmp_path: Path, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert find_store() is None
    setting("BLOBS_BUCKET", BUCKET)
    assert isinstance(find_store(), S3Store)
    assert find_store() is find_store()
    setting("BLOBS_FOLDER", str(tmp_path))
    assert isinstance(find_store(), FolderStore)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in {**CREDENTIALS, "AWS_DEFAULT_REGION": "eu-central-1", "AWS_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    return S3Store.of("my-bucket")


def query(url: str) -> dict[str, Any]:
    return {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}


def test_a_download_s_url_is_the_region_s_and_short_and_makes_a_file_of_it(bucket: S3Store) -> None:
    url = bucket.download_url("parts/a/1", "image/png", 300, "http://localhost")
    assert url.startswith("https://my-bucket.s3.eu-central-1.amazonaws.com/parts/a/1?")
    asked = query(url)
    assert (asked["X-Amz-Expires"], asked["X-Amz-Algorithm"]) == ("300", "AWS4-HMAC-SHA256")
    assert (asked["response-content-type"], asked["response-content-disposition"]) == ("image/png", "attachment")


def test_an_upload_s_url_takes_these_bytes_alone(bucket: S3Store) -> None:
    target = bucket.upload_target(NewBlob("uploads/a/1", len(DATA), SHA256, "image/png"), 900, "http://localhost")
    assert target.url.startswith("https://my-bucket.s3.eu-central-1.amazonaws.com/uploads/a/1?")
    signed = query(target.url)["X-Amz-SignedHeaders"].split(";")
    assert {"content-length", "content-type", "host", "x-amz-checksum-sha256"} <= set(signed) | {"host"}
    assert {name.lower() for name in target.headers} <= set(signed)
