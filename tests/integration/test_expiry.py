"""The development server's time to live against MiniStack: what has run out goes, and the stream tells of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from annals.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.memory.timers import TIMER
from annals.settings import settings
from local.emulator import Emulator
from local.expiry import Expiry
from local.streams import StreamReaders
from local.workers import Context
from tests.support import stack
from tests.support.api import Api

CONVERSATION = {
    "type": "user-agent",
    "participants": {"userId": "ada", "memorySpaceId": "home"},
    "conversationId": "one",
}
DAY_S = 86_400

pytestmark = pytest.mark.usefixtures("ministack")


def work_off(emulator: Emulator, folder: Path) -> None:
    """Hand both streams to the functions that keep heads and that erase, until nothing is left."""
    streams = boto3.client("dynamodbstreams", endpoint_url=emulator.url, config=Config(parameter_validation=False))
    mappings = [each for each in stack.TEMPLATE.mappings if each.function in ("project", "finish_erasure")]
    names = {"LedgerTable": settings().ledger_table, "StateTable": settings().state_table}

    def invoke(function: str, event: Any) -> Any:
        return stack.function(function).handler(json.loads(json.dumps(event)), Context(function))

    readers = StreamReaders(mappings, names, client(), streams, invoke, folder)
    readers.start()
    readers.stop()


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
    monkeypatch.setattr("annals.memory.expiring.now_ms", lambda: round((time.time() + 2 * DAY_S) * 1000))
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
