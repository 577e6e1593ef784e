"""Parts that are uploaded before a message names them: only these bytes, only for who uploaded them, only for a day."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from annals.blobs.folder import FolderStore
from annals.errors import InvalidInput
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.blobs import blobs_in, fetch, files_of, image, no_compression, references, restored, send

pytestmark = pytest.mark.usefixtures("moto")

SPACE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "space"}}
MESSAGES = "/v1/conversations/c/messages"


@pytest.fixture
def store(tmp_path: Path, setting: Setting) -> FolderStore:
    return blobs_in(tmp_path / "blobs", setting)


@pytest.fixture
def folder(store: FolderStore, tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture(autouse=True)
def conversation(api: Api, store: FolderStore) -> None:
    api.post("/v1/conversations", {"conversationId": "c", **SPACE})


def describe(data: bytes, **more: Any) -> dict[str, Any]:
    return {"sha256": sha256(data).hexdigest(), "size": len(data), "mediaType": "image/png", **more}


def upload(api: Api, store: FolderStore, data: bytes, **more: Any) -> dict[str, Any]:
    reply = api.post("/v1/parts", describe(data, **more))
    assert reply.status == 201, reply.json
    assert send(store, reply.json["upload"], data) == 200
    part: dict[str, Any] = reply.json["part"]
    return part


def naming(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": "see", "parts": [{"type": "image", "data": part} for part in parts]}


def test_a_message_names_an_upload_and_gives_its_value_back(api: Api, store: FolderStore) -> None:
    data, text = image(3_000)
    other, other_text = image(4_000, seed=1)
    parts = [upload(api, store, data), upload(api, store, other, prefix="data:image/png;base64,")]
    reply = api.post(MESSAGES, naming(*parts))
    assert reply.status == 201, reply.json
    shown = api.get(f"{MESSAGES}/msg-001").json
    assert shown == reply.json["messages"][0]
    assert "upload" not in str(shown)
    values = [part["data"] for part in restored(store, api, shown)["parts"]]
    assert values == [text, f"data:image/png;base64,{other_text}"]
    assert api.get("/v1/conversations/c/verify?parts=true").json["parts"] == {"checked": 2, "unchecked": 0}


def test_an_upload_can_be_named_more_than_once_and_each_message_has_its_own(api: Api, store: FolderStore) -> None:
    data, _ = image(3_000)
    part = upload(api, store, data)
    for _ in range(2):
        assert api.post(MESSAGES, naming(part, part)).status == 201
    assert api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"}).status == 200
    shown = api.get(f"{MESSAGES}/msg-002").json
    assert restored(store, api, shown)["parts"][1]["data"]


def test_what_is_redacted_is_not_left_as_an_upload(api: Api, store: FolderStore, folder: Path) -> None:
    data, _ = image(3_000)
    api.post(MESSAGES, naming(upload(api, store, data)))
    assert len(files_of(folder)) == 2
    api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"})
    assert files_of(folder) == []


def test_a_text_and_json_can_be_uploaded_too(api: Api, store: FolderStore) -> None:
    texts = upload(api, store, "zébra".encode(), mediaType="text/plain", encoding="text")
    values = upload(api, store, b'{"a": [1, 2.5, null]}', mediaType="application/json", encoding="json")
    shown = api.post(MESSAGES, naming(texts, values)).json["messages"][0]
    assert [part["data"] for part in restored(store, api, shown)["parts"]] == ["zébra", {"a": [1, 2.5, None]}]


def test_a_content_can_be_the_beginning_of_an_uploaded_text(api: Api, store: FolderStore) -> None:
    text = "zebra " * 200_000
    whole = upload(api, store, text.encode(), mediaType="text/plain", encoding="text")
    reply = api.post(MESSAGES, {"role": "user", "content": text[:1000], "contentPart": whole})
    assert reply.status == 201, reply.json
    assert restored(store, api, api.get(f"{MESSAGES}/msg-001").json)["content"] == text


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"size": 100_000_001}, (413, "REQUEST_TOO_LARGE"), "size"),
        ({"size": -1}, (422, "INVALID_RANGE"), "size"),
        ({"size": None}, (422, "INVALID_TYPE"), "size"),
        ({"sha256": "x"}, (422, "INVALID_FORMAT"), "sha256"),
        ({"mediaType": "<b>"}, (422, "INVALID_FORMAT"), None),
        ({"mediaType": "text/plain\r\nSet-Cookie: a=b"}, (422, "INVALID_FORMAT"), None),
        ({"encoding": "gzip"}, (422, "INVALID_FORMAT"), "encoding"),
        ({"prefix": "é"}, (422, "INVALID_FORMAT"), None),
        ({"prefix": "x" * 201}, (422, "INVALID_FORMAT"), "prefix"),
        ({"more": 1}, (422, "UNKNOWN_FIELD"), "more"),
    ],
)
def test_an_upload_that_cannot_be_is_refused(
    api: Api, change: dict[str, Any], status: tuple[int, str], field: str | None
) -> None:
    found = api.post("/v1/parts", {**describe(b"x"), **change}).problem
    assert found[0] == status[0]
    if field:
        assert found[2] == field


def test_an_upload_of_exactly_the_limit_may_begin(api: Api) -> None:
    assert api.post("/v1/parts", {**describe(b"x"), "size": 100_000_000}).status == 201


def test_who_may_not_write_may_not_upload(api: Api) -> None:
    assert api.limited(scopes={"read"}).post("/v1/parts", describe(b"x")).problem[:2] == (403, "FORBIDDEN")


@pytest.mark.parametrize("data", [b"", b"y" * 10, b"x" * 9, b"x" * 11], ids=["none", "other", "fewer", "more"])
def test_only_the_bytes_that_were_announced_are_taken(api: Api, store: FolderStore, folder: Path, data: bytes) -> None:
    begun = api.post("/v1/parts", describe(b"x" * 10)).json["upload"]
    headers = {name: value for name, value in begun["headers"].items() if name != "Content-Length"}
    assert send(store, {**begun, "headers": headers}, data) == 400
    assert files_of(folder) == []


def test_an_upload_s_url_neither_reads_nor_takes_another_key(api: Api, store: FolderStore) -> None:
    begun = api.post("/v1/parts", describe(b"x" * 10)).json["upload"]
    assert fetch(store, begun["url"]).status_code == 403
    assert fetch(store, begun["url"][:-1] + ("0" if begun["url"][-1] != "0" else "1")).status_code == 403
    assert fetch(store, "http://localhost/blobs/x").status_code == 403
    assert fetch(store, "http://localhost/blobs/.").status_code in (403, 404)


def test_a_url_stops_working(api: Api, store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = image(3_000)
    message = api.post(MESSAGES, naming(upload(api, store, data))).json["messages"][0]
    found = api.get(message["parts"][0]["data"]["$annalsPart"]["url"]).json
    assert fetch(store, found["url"]).content == data
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 301)
    assert fetch(store, found["url"]).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"upload": None},
        {"upload": "upl-" + "0" * 32},
        {"sha256": "0" * 64},
        {"size": 2_999},
    ],
)
def test_a_message_that_names_no_upload_of_these_bytes_is_refused_and_not_stored(
    api: Api, store: FolderStore, folder: Path, change: dict[str, Any]
) -> None:
    part = upload(api, store, image(3_000)[0])
    fields = {name: value for name, value in {**part["$annalsPart"], **change}.items() if value is not None}
    assert api.post(MESSAGES, naming({"$annalsPart": fields})).problem == (422, "PART_NOT_UPLOADED", "parts")
    assert api.get("/v1/conversations/c").json["messageCount"] == 0
    assert len(files_of(folder)) == 1


def test_an_upload_that_has_not_come_is_refused(api: Api, store: FolderStore) -> None:
    part = api.post("/v1/parts", describe(b"x" * 10)).json["part"]
    assert api.post(MESSAGES, naming(part)).problem == (422, "PART_NOT_UPLOADED", "parts")


def test_an_upload_of_another_tenant_cannot_be_named(api: Api, store: FolderStore) -> None:
    part = upload(api, store, image(3_000)[0])
    other = Api.of("another-tenant")
    other.post("/v1/conversations", {"conversationId": "c", **SPACE})
    assert other.post(MESSAGES, naming(part)).problem == (422, "PART_NOT_UPLOADED", "parts")


def test_a_reference_of_a_stored_message_cannot_be_named_by_another(api: Api, store: FolderStore) -> None:
    message = api.post(MESSAGES, naming(upload(api, store, image(3_000)[0]))).json["messages"][0]
    again = {name: message[name] for name in ("role", "content", "parts")}
    assert api.post(MESSAGES, again).problem == (422, "PART_NOT_UPLOADED", "parts")


@pytest.mark.parametrize(
    "part",
    [
        {"$annalsPart": "x"},
        {"$annalsPart": {}},
        {"$annalsPart": {"sha256": "0" * 64, "size": 1, "mediaType": "image/png", "encoding": "base64"}, "type": "x"},
        {"$annalsPart": {"sha256": "0" * 64, "size": "1", "mediaType": "image/png", "encoding": "base64"}},
        {"$annalsPart": {"sha256": "0" * 64, "size": True, "mediaType": "image/png", "encoding": "base64"}},
        {"$annalsPart": {"sha256": "0" * 64, "size": 1, "mediaType": "image/png", "encoding": "x"}},
        {"$annalsPart": {"sha256": "0" * 64, "size": 1, "mediaType": "x", "encoding": "base64"}},
        {"$annalsPart": {"sha256": "0" * 64, "size": 1, "mediaType": "a/b", "encoding": "base64", "upload": "../x"}},
        {"$annalsPart": {"sha256": "0" * 64, "size": 1, "mediaType": "a/b", "encoding": "base64", "more": 1}},
    ],
)
def test_what_only_looks_like_a_reference_is_refused_by_where_it_is(api: Api, part: dict[str, Any]) -> None:
    status, code, field = api.post(MESSAGES, naming("x", part)).problem
    assert (status, code) == (422, "INVALID_FORMAT")
    assert field is not None
    assert field.endswith("parts[1].data")


def test_in_metadata_such_an_object_is_the_caller_s_own(api: Api) -> None:
    metadata = {"$annalsPart": {"sha256": "0" * 64}}
    reply = api.post(MESSAGES, {"role": "user", "content": "x", "metadata": metadata})
    assert reply.json["messages"][0]["metadata"] == metadata
    assert api.get("/v1/conversations/c/verify?parts=true").json["parts"] == {"checked": 0, "unchecked": 0}


def test_a_retry_with_its_key_gets_the_first_answer_even_when_the_upload_is_gone(
    api: Api, store: FolderStore, folder: Path
) -> None:
    part = upload(api, store, image(3_000)[0])
    first = api.post(MESSAGES, naming(part), idempotency_key="k")
    store.delete(store.keys("uploads/"))
    again = api.post(MESSAGES, naming(part), idempotency_key="k")
    assert (again.status, again.json) == (201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(files_of(folder)) == 1


def test_uploads_that_nobody_names_go_after_a_day(api: Api, store: FolderStore, folder: Path) -> None:
    old, new = upload(api, store, image(3_000)[0]), upload(api, store, image(3_000, seed=1)[0])
    api.post(MESSAGES, naming(old))
    for path in files_of(folder):
        if new["$annalsPart"]["upload"] not in path.name:
            os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    store.delete_older("uploads/", 86_400)
    assert sorted(path.parts[-4] for path in files_of(folder))[-1:] == ["uploads"]
    assert len(files_of(folder)) == 2
    assert api.get("/v1/conversations/c/verify?parts=true").json["parts"]["checked"] == 1


def test_where_personal_data_is_masked_no_text_may_be_uploaded_past_it(api: Api, setting: Setting) -> None:
    setting("PII_REDACTION", "patterns")
    for more in ({"encoding": "text"}, {"encoding": "json"}, {"mediaType": "text/html"}):
        assert api.post("/v1/parts", describe(b"x", **more)).problem[:2] == (422, "INVALID_FORMAT")
    assert api.post("/v1/parts", describe(b"x")).status == 201


def test_a_reference_is_not_masked(api: Api, store: FolderStore, setting: Setting) -> None:
    setting("PII_REDACTION", "patterns")
    data = no_compression(2_000, seed=4)
    part = upload(api, store, data)
    message = naming(part) | {"parts": [{"data": part}, {"text": "ada@example.org"}]}
    shown = api.post(MESSAGES, message).json["messages"][0]
    assert references(shown)[0].sha256 == sha256(data).hexdigest()
    assert shown["parts"][1] == {"text": "[EMAIL]"}


def test_more_parts_than_one_request_may_name_are_refused(api: Api, store: FolderStore) -> None:
    part = upload(api, store, image(3_000)[0])
    assert api.post(MESSAGES, naming(*[part] * 101)).problem == (413, "REQUEST_TOO_LARGE", "parts")


def test_a_key_that_is_no_blob_s_is_refused(store: FolderStore) -> None:
    for key in ("../x", "a/../b", "/etc/passwd", ".key", ""):
        with pytest.raises((ValueError, InvalidInput)):
            store.find(key)
