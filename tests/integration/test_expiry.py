"""The development server's time to live against MiniStack: what has run out goes, and the stream tells of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.memory.retention_timers import TIMER
from annals.settings import settings
from local.emulator import Emulator
from local.expiry import Expiry
from tests.support.api import Api
from tests.support.following import following

CONVERSATION = {
    "type": "user-agent",
    "participants": {"userId": "ada", "memorySpaceId": "home"},
    "conversationId": "one",
}
DAY_S = 86_400

pytestmark = pytest.mark.usefixtures("ministack")


def work_off(emulator: Emulator, folder: Path) -> None:
    """Keep heads and erase, as the streams tell, until nothing is left in them."""
    with following(emulator, folder, "project", "finish_erasure"):
        pass


def put_timer(pk: str, expires_at: float) -> None:
    item = {"pk": {"S": pk}, "sk": {"S": TIMER}, "expiresAt": {"N": str(int(expires_at))}}
    client().put_item(TableName=settings().state_table, Item=item)


def test_a_conversation_of_which_the_timer_has_run_out_is_erased(
    ministack: Emulator, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("/v1/spaces/home", {"retentionDays": 1})
    api.post("/v1/conversations", CONVERSATION)
    work_off(ministack, tmp_path)
    put_timer(conversation_pk(api.caller.tenant, "one"), time.time() - 1)
    Expiry(client(), {settings().state_table: "expiresAt"}).sweep()
    monkeypatch.setattr("annals.memory.erasure.expiry.now_ms", lambda: round((time.time() + 2 * DAY_S) * 1000))
    work_off(ministack, tmp_path)
    assert api.get("/v1/conversations/one").problem[1] == "CONVERSATION_ERASED"


def test_what_has_not_run_out_and_what_never_does_stays(api: Api) -> None:
    api.post("/v1/conversations", CONVERSATION)
    pk = conversation_pk(api.caller.tenant, "one")
    put_timer(pk, time.time() + 60)
    Expiry(client(), {settings().state_table: "expiresAt"}).sweep()
    found = client().query(
        TableName=settings().state_table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
    )["Items"]
    assert {item["sk"]["S"] for item in found} == {"HEAD", TIMER}
