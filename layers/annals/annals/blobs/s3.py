"""Blobs in a bucket of Amazon S3. This is imported with the first blob, since its client takes a while to make."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from annals.blobs.store import BINARY, CHUNK_BYTES, BlobInfo, BlobMissing, NewBlob, UploadTarget, digest_of

MISSING = {"404", "NoSuchKey", "NotFound"}

MAX_DELETES = 1_000
"""How many objects S3 deletes in one request."""


class S3Store:
    """Blobs as objects of a bucket, whose own settings encrypt them. S3 checks each upload by its SHA-256."""

    def __init__(self, bucket: str, client: Any) -> None:
        self._bucket = bucket
        self._client = client

    @staticmethod
    def of(bucket: str, endpoint_url: str = "") -> S3Store:
        """The store of a bucket; ``endpoint_url`` is empty for AWS's own."""
        config = Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=2,
            read_timeout=10,
            max_pool_connections=16,
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
        )
        return S3Store(bucket, boto3.client("s3", endpoint_url=endpoint_url or None, config=config))

    def put(self, key: str, data: bytes, media_type: str) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=data,
            ContentType=media_type,
            ChecksumSHA256=_encoded(sha256(data).digest()),
        )

    def copy(self, source: str, target: str, media_type: str) -> None:
        try:
            self._client.copy_object(
                Bucket=self._bucket,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": source},
                ContentType=media_type,
                MetadataDirective="REPLACE",
                ChecksumAlgorithm="SHA256",
            )
        except ClientError as error:
            raise _missing(error, source) from None

    def find(self, key: str) -> BlobInfo | None:
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        checksum = head.get("ChecksumSHA256")
        known = base64.b64decode(checksum) if checksum else None
        return BlobInfo(head["ContentLength"], head.get("ContentType", BINARY), known)

    def is_intact(self, key: str, size: int, sha256: bytes) -> bool:
        info = self.find(key)
        if info is None or info.size != size:
            return False
        return (info.sha256 or digest_of(self.read(key))) == sha256

    def read(self, key: str) -> Iterator[bytes]:
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        except ClientError as error:
            raise _missing(error, key) from None
        with body:
            yield from body.iter_chunks(CHUNK_BYTES)

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return (item["Key"] for page in pages for item in page.get("Contents", []))

    def delete(self, keys: Iterable[str]) -> None:
        left = iter(keys)
        while batch := [{"Key": key} for key in islice(left, MAX_DELETES)]:
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            if errors := answer.get("Errors"):
                raise ClientError({"Error": {"Code": errors[0]["Code"], "Message": "not deleted"}}, "DeleteObjects")

    def download_url(self, key: str, media_type: str, lifetime_s: int, base_url: str) -> str:
        request = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentType": media_type,
            "ResponseContentDisposition": "attachment",
            "ResponseCacheControl": "no-store",
        }
        return str(self._client.generate_presigned_url("get_object", Params=request, ExpiresIn=lifetime_s))

    def upload_target(self, blob: NewBlob, lifetime_s: int, base_url: str) -> UploadTarget:
        checksum = _encoded(blob.sha256)
        request = {
            "Bucket": self._bucket,
            "Key": blob.key,
            "ContentType": blob.media_type,
            "ContentLength": blob.size,
            "ChecksumSHA256": checksum,
        }
        url = self._client.generate_presigned_url("put_object", Params=request, ExpiresIn=lifetime_s)
        headers = {
            "Content-Type": blob.media_type,
            "Content-Length": str(blob.size),
            "x-amz-checksum-sha256": checksum,
        }
        return UploadTarget(str(url), headers)


def _encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _missing(error: ClientError, key: str) -> Exception:
    """What an error means: that there is no such object, or what it says itself."""
    return BlobMissing(key) if error.response["Error"]["Code"] in MISSING else error
