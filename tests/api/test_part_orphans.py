"""Parts never outlive their message, nor a message its parts, wherever a process dies and whatever is repeated."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from annals.blobs.folder import FolderStore
from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.settings import settings
from annals.times import now_ms
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.blobs import blobs_in, files_of, image, restored, send
from tests.support.crashes import Died, dying, items_of, let_markers_run_out, let_streams_finish

pytestmark = pytest.mark.usefixtures("moto")

SPACE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "space"}}
TEXTS = [image(300_000, seed)[1] for seed in range(3)]
MESSAGE = {"role": "user", "content": "Look", "parts": [{"image": text} for text in TEXTS]}
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


def append(api: Api, **headers: str) -> Any:
    return api.post(MESSAGES, MESSAGE, **headers)


def append_and_die(api: Api, **headers: str) -> None:
    """Append, and die on the way. The API answers what raises, so that a death is an answer of 500."""
    assert append(api, **headers).status == 500


def require_whole(api: Api, store: FolderStore, folder: Path, messages: int) -> None:
    """So many messages are there with all their parts, and no other part is."""
    items = api.get(MESSAGES).json["items"]
    assert len(items) == messages
    assert all(restored(store, api, item)["parts"] == MESSAGE["parts"] for item in items)
    assert len(files_of(folder)) == len(TEXTS) * messages
    assert api.get("/v1/conversations/c/verify?parts=true").json["valid"]


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
@pytest.mark.parametrize("call", [1, 2])
def test_whoever_dies_at_a_write_of_an_append_leaves_all_of_the_message_or_nothing(
    api: Api, store: FolderStore, folder: Path, moment: str, call: int
) -> None:
    with dying(moment, call) as death:
        append_and_die(api)
    assert death.came
    let_markers_run_out(api.caller.tenant)
    require_whole(api, store, folder, messages=int((moment, call) == ("after-call", 2)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_whoever_dies_between_the_parts_leaves_nothing(
    api: Api, store: FolderStore, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    put, keys = FolderStore.put, []

    def dying_put(self: FolderStore, key: str, data: bytes, media_type: str) -> None:
        keys.append(key)
        if len(keys) >= count:
            raise Died
        put(self, key, data, media_type)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "put", dying_put)
        append_and_die(api)
    let_markers_run_out(api.caller.tenant)
    require_whole(api, store, folder, messages=0)
    assert append(api).status == 201
    require_whole(api, store, folder, messages=1)


def test_a_marker_that_runs_out_takes_nothing_from_a_message_that_is_there(
    api: Api, store: FolderStore, folder: Path
) -> None:
    for _ in range(3):
        assert append(api).status == 201
    assert let_markers_run_out(api.caller.tenant) == 3
    require_whole(api, store, folder, messages=3)


def test_a_retry_whose_first_reply_was_lost_leaves_the_parts_of_one_message(
    api: Api, store: FolderStore, folder: Path
) -> None:
    with dying("after-call", 2):
        append_and_die(api, idempotency_key="k")
    assert append(api, idempotency_key="k").headers["idempotent-replayed"] == "true"
    let_markers_run_out(api.caller.tenant)
    require_whole(api, store, folder, messages=1)


def test_a_refused_append_leaves_no_parts(api: Api, store: FolderStore, folder: Path) -> None:
    assert append(api, if_match='"7"').status == 412
    assert files_of(folder) == []
    api.post("/v1/conversations/c/seal")
    assert append(api).problem[1] == "CONVERSATION_SEALED"
    assert files_of(folder) == []


def test_what_is_stored_for_a_conversation_that_is_erased_meanwhile_goes(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, erased = FolderStore.put, []

    def put_late(self: FolderStore, key: str, data: bytes, media_type: str) -> None:
        if not erased:
            erased.append(api.delete("/v1/conversations/c").status)
        put(self, key, data, media_type)

    monkeypatch.setattr(FolderStore, "put", put_late)
    assert append(api).problem[1] == "CONVERSATION_ERASED"
    assert set(erased) == {200}
    let_markers_run_out(api.caller.tenant)
    assert files_of(folder) == []


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_an_erasure_whose_process_dies_is_finished_and_the_parts_are_gone(api: Api, folder: Path, call: int) -> None:
    append(api)
    with dying("after-call", call):
        api.delete("/v1/conversations/c")
    let_streams_finish(api.caller.tenant)
    assert files_of(folder) == []


def test_a_redaction_that_dies_before_its_parts_are_gone_is_finished(
    api: Api, store: FolderStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(api)
    append(api)

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "delete", die)
        assert api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"}).status == 500
    assert len(files_of(folder)) == 6
    let_streams_finish(api.caller.tenant)
    assert len(files_of(folder)) == 3
    assert restored(store, api, api.get(f"{MESSAGES}/msg-002").json)["parts"] == MESSAGE["parts"]


def test_redacting_again_takes_parts_that_were_left(api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(api)
    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "delete", lambda *_: None)
        api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"})
    assert api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"}).status == 200
    assert files_of(folder) == []


def damage(tenant: str, **values: Any) -> None:
    key = {"pk": {"S": conversation_pk(tenant, "c")}, "sk": {"S": "E#000000000001"}}
    item = client().get_item(TableName=settings().ledger_table, Key=key)["Item"]
    client().put_item(TableName=settings().ledger_table, Item={**item, **values})


@pytest.mark.parametrize("markers", [0, 2])
@pytest.mark.parametrize("value", [{"S": "x"}, {"N": "1"}, {"S": "0" * 16}])
def test_the_parts_of_an_entry_whose_id_is_damaged_are_redacted(
    api: Api, store: FolderStore, folder: Path, value: dict[str, str], markers: int
) -> None:
    append(api)
    append(api)
    if markers:
        assert let_markers_run_out(api.caller.tenant) == markers
    damage(api.caller.tenant, entryId=value)
    assert api.post(f"{MESSAGES}/msg-001/redact", {"reason": "r"}).status == 200
    let_streams_finish(api.caller.tenant)
    let_markers_run_out(api.caller.tenant)
    assert len(files_of(folder)) == 3
    assert restored(store, api, api.get(f"{MESSAGES}/msg-002").json)["parts"] == MESSAGE["parts"]


def test_the_parts_of_a_damaged_conversation_are_erased(api: Api, folder: Path) -> None:
    append(api)
    damage(api.caller.tenant, records={"S": "x"}, entryId={"N": "1"})
    assert api.delete("/v1/conversations/c").status == 200
    assert files_of(folder) == []


def test_an_append_without_large_parts_leaves_no_marker_and_asks_no_place_for_parts(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise AssertionError("no part is large")

    monkeypatch.setattr("annals.ledger.part_storing.store_parts", refuse)
    assert api.post(MESSAGES, {"role": "user", "content": "x" * 300_000}).status == 201
    assert not [item for item in items_of(api.caller.tenant, settings().state_table) if "PARTS" in item["sk"]["S"]]


def test_a_marker_that_runs_out_while_its_entry_is_damaged_deletes_nothing(
    api: Api, store: FolderStore, folder: Path
) -> None:
    append(api)
    damage(api.caller.tenant, entryId={"N": "1"})
    let_markers_run_out(api.caller.tenant)
    assert len(files_of(folder)) == 3


def test_a_clock_that_is_wrong_for_the_entry_before_does_not_cost_the_parts_of_the_one_behind_it(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, others = FolderStore.put, []

    def put_late(self: FolderStore, key: str, data: bytes, media_type: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("annals.ledger.append.now_ms", lambda: now_ms() + 86_400_000)
            others.append(api.post(MESSAGES, {"role": "user", "content": "from tomorrow"}).status)
        put(self, key, data, media_type)

    monkeypatch.setattr(FolderStore, "put", put_late)
    one = {"role": "user", "content": "Look", "parts": [image(400_000)[1]]}
    assert api.post(MESSAGES, one).status == 201
    assert others == [201]
    let_markers_run_out(api.caller.tenant)
    assert len(files_of(folder)) == 1


@pytest.mark.parametrize("count", [5, 25])
def test_an_erasure_of_many_parts_takes_the_uploads_of_the_same_bytes_and_no_others(
    api: Api, store: FolderStore, folder: Path, count: int
) -> None:
    parts = []
    for number in range(count + 1):
        data = f"part {number}".encode()
        described = {"sha256": sha256(data).hexdigest(), "size": len(data), "mediaType": "image/png"}
        begun = api.post("/v1/parts", described).json
        assert send(store, begun["upload"], data) == 200
        parts.append(begun["part"])
    assert api.post(MESSAGES, {"role": "user", "content": "x", "parts": parts[:count]}).status == 201
    assert api.delete("/v1/conversations/c").status == 200
    assert [path.name for path in files_of(folder)] == [parts[-1]["$annalsPart"]["upload"]]
