"""The development server's stream readers against a real stream: MiniStack's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from annals.database.dynamodb import client
from annals.settings import settings
from local.emulator import Emulator
from local.streams import StreamReaders
from local.template import StreamMapping

PATIENCE_S = 20
MAPPING = StreamMapping("follow", "LedgerTable", 10, 1)

pytestmark = pytest.mark.usefixtures("ministack")


class Follower:
    """A stream function that notes which items it was told of."""

    def __init__(self) -> None:
        self.keys_received: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.broken = False

    def __call__(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        assert function == "follow"
        records = event["Records"]
        if self.broken:
            return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}
        self.events.append(event)
        self.keys_received += [record["dynamodb"]["Keys"]["pk"]["S"] for record in records]
        return {"batchItemFailures": []}


@contextmanager
def reading(emulator: Emulator, folder: Path, follower: Follower) -> Iterator[StreamReaders]:
    streams = boto3.client("dynamodbstreams", endpoint_url=emulator.url, config=Config(parameter_validation=False))
    names = {"LedgerTable": settings().ledger_table}
    readers = StreamReaders([MAPPING], names, client(), streams, follower, folder)
    readers.start()
    try:
        yield readers
    finally:
        readers.stop()


def put(pk: str) -> None:
    client().put_item(TableName=settings().ledger_table, Item={"pk": {"S": pk}, "sk": {"S": "E#1"}})


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_written_item_reaches_its_function_at_once_as_lambdas_event(ministack: Emulator, tmp_path: Path) -> None:
    follower = Follower()
    with reading(ministack, tmp_path, follower):
        time.sleep(0.3)
        put("at-once")
        wait_for(lambda: "at-once" in follower.keys_received)
    record = next(
        record
        for event in follower.events
        for record in event["Records"]
        if record["dynamodb"]["Keys"]["pk"]["S"] == "at-once"
    )
    assert record["eventName"] == "INSERT"
    assert ":table/" in record["eventSourceARN"]
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], float | int)


def test_a_restarted_reader_goes_on_behind_its_checkpoint(ministack: Emulator, tmp_path: Path) -> None:
    before, after = Follower(), Follower()
    with reading(ministack, tmp_path, before):
        put("before")
        wait_for(lambda: "before" in before.keys_received)
    put("between")
    with reading(ministack, tmp_path, after):
        wait_for(lambda: "between" in after.keys_received)
    assert "before" not in after.keys_received


def test_a_checkpoint_that_the_stream_does_not_know_begins_it_anew(ministack: Emulator, tmp_path: Path) -> None:
    put("kept")
    shard = '{"follow/LedgerTable": {"shardId-00000000000000000000-00000000": "000000000000000000001"}}'
    (tmp_path / "streams.json").write_text(shard)
    follower = Follower()
    with reading(ministack, tmp_path, follower):
        wait_for(lambda: "kept" in follower.keys_received)


def test_a_stop_works_off_what_is_in_the_stream(ministack: Emulator, tmp_path: Path) -> None:
    follower = Follower()
    with reading(ministack, tmp_path, follower) as readers:
        for number in range(50):
            put(f"last-{number}")
        readers.stop()
    assert {f"last-{number}" for number in range(50)} <= set(follower.keys_received)


def test_what_a_function_never_takes_ends_in_a_file(ministack: Emulator, tmp_path: Path) -> None:
    follower = Follower()
    with reading(ministack, tmp_path, follower):
        put("before-the-bad-one")
        wait_for(lambda: "before-the-bad-one" in follower.keys_received)
        follower.broken = True
        put("bad")
        wait_for(lambda: (tmp_path / "dlq.jsonl").exists())
    assert '"bad"' in (tmp_path / "dlq.jsonl").read_text()
