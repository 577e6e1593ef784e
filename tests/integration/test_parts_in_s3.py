"""Large parts in a bucket, over real HTTP: signed URLs, checksums, copies, deletions."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from annals.blobs.adapters import find_store
from annals.blobs.s3 import S3Store
from annals.ledger.keys import conversation_pk
from annals.ledger.part_keys import MARKER, entry_prefix
from annals.settings import settings
from local.emulator import Emulator
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.blobs import image, no_compression
from tests.support.crashes import items_of, let_markers_run_out

SPACE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "space"}}
MESSAGES = "/v1/conversations/c/messages"
DATA, TEXT = image(700_000)
MESSAGE = {"role": "user", "content": "Look", "parts": [{"image": TEXT}]}


@pytest.fixture
def store(aws: Emulator, setting: Setting) -> S3Store:
    name = f"blobs-{uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=aws.url).create_bucket(Bucket=name)
    setting("BLOBS_BUCKET", name)
    setting("S3_URL", aws.url)
    found = find_store()
    assert isinstance(found, S3Store)
    return found


@pytest.fixture(autouse=True)
def conversation(api: Api, store: S3Store) -> None:
    assert api.post("/v1/conversations", {"conversationId": "c", **SPACE}).status == 201


def fetch(api: Api, message: Any) -> httpx.Response:
    found = api.get(message["parts"][0]["image"]["$annalsPart"]["url"])
    assert found.status == 200, found.json
    return httpx.get(found.json["url"])


def upload(api: Api, data: bytes, sent: bytes | None = None) -> tuple[Any, httpx.Response]:
    described = {"sha256": sha256(data).hexdigest(), "size": len(data), "mediaType": "image/png"}
    begun = api.post("/v1/parts", described).json
    answer = httpx.put(
        begun["upload"]["url"], content=data if sent is None else sent, headers=begun["upload"]["headers"]
    )
    return begun["part"], answer


def test_a_large_part_is_read_by_its_signed_url_until_its_message_is_redacted(api: Api, store: S3Store) -> None:
    message = api.post(MESSAGES, MESSAGE).json["messages"][0]
    answer = fetch(api, message)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-type"] == "image/png"
    assert api.get("/v1/conversations/c/verify?parts=true").json["parts"] == {"checked": 1, "unchecked": 0}
    api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"})
    assert httpx.get(str(answer.url)).status_code == 404
    assert list(store.keys("parts/")) == []


def test_an_upload_is_named_and_copied_and_outlived(api: Api, store: S3Store) -> None:
    data = no_compression(1_500_000)
    part, answer = upload(api, data)
    assert answer.status_code == 200, answer.text
    reply = api.post(MESSAGES, {"role": "user", "content": "See", "parts": [{"image": part}]})
    assert reply.status == 201, reply.json
    store.delete(list(store.keys("uploads/")))
    assert fetch(api, reply.json["messages"][0]).content == data
    assert api.get("/v1/conversations/c/verify?parts=true").json["valid"]


def test_other_bytes_than_announced_are_not_taken_for_the_part(api: Api) -> None:
    data = no_compression(100_000)
    part, _ = upload(api, data, sent=data[:-1] + b"x")
    reply = api.post(MESSAGES, {"role": "user", "content": "See", "parts": [{"image": part}]})
    assert reply.problem == (422, "PART_NOT_UPLOADED", "parts")


def test_an_upload_that_never_came_is_refused(api: Api) -> None:
    described = {"sha256": "0" * 64, "size": 3, "mediaType": "image/png"}
    part = api.post("/v1/parts", described).json["part"]
    reply = api.post(MESSAGES, {"role": "user", "content": "See", "parts": [part]})
    assert reply.problem == (422, "PART_NOT_UPLOADED", "parts")


def test_an_erased_conversation_and_an_entry_that_never_came_leave_nothing(api: Api, store: S3Store) -> None:
    assert api.post(MESSAGES, MESSAGE, if_match='"0"').status == 201
    assert len(list(store.keys("parts/"))) == 1
    assert api.delete("/v1/conversations/c").status == 200
    assert list(store.keys("parts/")) == []
    store.put(orphan_of(api), b"x", "image/png")
    assert let_markers_run_out(api.caller.tenant) == 1
    assert list(store.keys("parts/")) == []


def orphan_of(api: Api) -> str:
    """The key of a part that was stored late, for an entry of which a marker tells."""
    items = items_of(api.caller.tenant, settings().state_table)
    (entry_id,) = [item["sk"]["S"].split("#")[1] for item in items if item["sk"]["S"].startswith(MARKER)]
    return f"{entry_prefix(conversation_pk(api.caller.tenant, 'c'), entry_id)}0/{'0' * 64}"


def test_bytes_that_were_changed_in_the_bucket_are_noticed(api: Api, store: S3Store) -> None:
    api.post(MESSAGES, MESSAGE)
    (key,) = store.keys("parts/")
    store.put(key, b"x" * len(DATA), "image/png")
    found = api.get("/v1/conversations/c/verify?parts=true").json
    assert (found["valid"], found["firstBadSeq"]) == (False, 1)
