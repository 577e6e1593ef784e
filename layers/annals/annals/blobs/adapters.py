"""The place for blobs that the settings name: a bucket of S3, or a folder."""

from __future__ import annotations

from functools import cache

from annals.blobs.store import BlobStore
from annals.settings import settings


def find_store() -> BlobStore | None:
    """The place that the settings name; None where they name none. It is made when it is needed first."""
    return _store(settings().blobs_folder, settings().blobs_bucket, settings().s3_url)


@cache
def _store(folder: str, bucket: str, s3_url: str) -> BlobStore | None:
    if folder:
        from annals.blobs.folder import FolderStore

        return FolderStore.at(folder)
    if bucket:
        from annals.blobs.s3 import S3Store

        return S3Store.of(bucket, s3_url)
    return None
