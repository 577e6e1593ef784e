"""A laptop's database: installed once, kept over kill -9, never served empty, and what MiniStack kept taken over."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import database, dynoxide, emulator, ministack, tables
from local.database import Unusable
from local.dynoxide import NotInstalled
from local.emulator import CREDENTIALS
from tests.support.stack import TEMPLATE

NAMES = {f"annals-{logical.lower()}": properties for logical, properties in TEMPLATE.tables.items()}
LEDGER = next(iter(NAMES))


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    try:
        dynoxide.find_or_install()
    except NotInstalled as reason:
        pytest.skip(f"dynoxide is not here: {reason}")


def client(url: str) -> Any:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": CREDENTIALS["AWS_REGION"]}
    return boto3.client("dynamodb", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}), **keys)


def put(dynamodb: Any, number: int, text: str = "said") -> None:
    item = {"pk": {"S": "T#t#C#c"}, "sk": {"S": f"E#{number:012d}"}, "text": {"S": text}, "salt": {"B": b"\0\xff"}}
    dynamodb.put_item(TableName=LEDGER, Item=item, ConditionExpression="attribute_not_exists(pk)")


def stored(dynamodb: Any) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=LEDGER, ConsistentRead=True)
    return sorted((item for page in pages for item in page["Items"]), key=lambda item: item["sk"]["S"])


def filled(folder: Path, count: int = 3) -> list[dict[str, Any]]:
    """Some items in the folder's database, stopped again."""
    with database.serving(folder, NAMES) as running:
        dynamodb = client(running.url)
        tables.create_missing(dynamodb, NAMES)
        for number in range(count):
            put(dynamodb, number)
        return stored(dynamodb)


def test_what_was_stored_is_there_after_a_stop(tmp_path: Path) -> None:
    before = filled(tmp_path)
    with database.serving(tmp_path, NAMES) as running:
        assert stored(client(running.url)) == before
        assert "dynoxide" in running.program


def test_nothing_acknowledged_is_lost_when_the_database_is_killed_under_writers(tmp_path: Path) -> None:
    acknowledged: list[int] = []

    def write(url: str, first: int) -> None:
        dynamodb = client(url)
        for number in range(first, first + 5_000):
            try:
                put(dynamodb, number)
            except (ClientError, BotoCoreError):
                return
            acknowledged.append(number)

    with database.serving(tmp_path, NAMES) as running:
        tables.create_missing(client(running.url), NAMES)
        threads = [threading.Thread(target=write, args=(running.url, 5_000 * writer)) for writer in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        os.kill(running.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    with database.serving(tmp_path, NAMES) as running:
        stored_numbers = {int(item["sk"]["S"][2:]) for item in stored(client(running.url))}
    assert len(acknowledged) > 100
    assert set(acknowledged) <= stored_numbers


def fill_streams(file: Path, records: int) -> None:
    """Records as each write leaves one, far more than were written."""
    with closing(sqlite3.connect(file)) as opened, opened:
        (last,) = opened.execute("SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records").fetchone()
        opened.executemany(
            "INSERT INTO _stream_records (table_name, event_name, keys_json, sequence_number, shard_id, created_at)"
            " SELECT table_name, event_name, keys_json, ?, shard_id, created_at FROM _stream_records LIMIT 1",
            ([str(last + 1 + number)] for number in range(records)),
        )


def milliseconds_of_a_put(folder: Path, number: int) -> float:
    with database.serving(folder, NAMES) as running:
        dynamodb = client(running.url)
        took = []
        for each in range(number, number + 15):
            start = time.perf_counter()
            put(dynamodb, each)
            took.append(1000 * (time.perf_counter() - start))
        return min(took)


def test_a_write_takes_as_long_with_much_in_the_streams_as_with_little(tmp_path: Path) -> None:
    filled(tmp_path)
    little = milliseconds_of_a_put(tmp_path, 100)
    fill_streams(dynoxide.database_file(tmp_path), 300_000)
    assert milliseconds_of_a_put(tmp_path, 200) < 3 * little + 10


def test_streams_that_were_kept_without_an_index_get_one(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(dynoxide.database_file(tmp_path))) as opened, opened:
        opened.execute("DROP INDEX annals_stream_places")
    filled(tmp_path, 0)
    with closing(sqlite3.connect(dynoxide.database_file(tmp_path))) as opened:
        assert opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'annals_stream_places'").fetchone()


def test_a_database_that_dies_is_started_again_where_it_was(tmp_path: Path) -> None:
    before = filled(tmp_path)
    with database.serving(tmp_path, NAMES) as running:
        os.kill(running.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not running.answers():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert stored(client(running.url)) == before
    assert not running.answers()


def test_the_database_of_a_server_that_was_killed_is_adopted(tmp_path: Path) -> None:
    left = dynoxide.start(tmp_path)
    with database.serving(tmp_path, NAMES) as running:
        assert running.pid == left.pid
    assert not left.answers()


def garbage(file: Path) -> None:
    file.write_bytes(os.urandom(8192))


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwritten(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 4] = b"\x5a" * (4096 * 3)
    file.write_bytes(content)


def another_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as new_file:
        new_file.execute("CREATE TABLE notes (text)")


@pytest.mark.parametrize("harm", [garbage, emptied, cut, overwritten, another_database], ids=lambda harm: harm.__name__)
def test_a_damaged_file_stops_the_start_and_is_left_as_it_is(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    filled(tmp_path)
    file = dynoxide.database_file(tmp_path)
    harm(file)
    before = file.read_bytes()
    with pytest.raises(Unusable, match="is damaged") as refused, database.serving(tmp_path, NAMES):
        pass
    assert str(file) in str(refused.value)
    assert file.read_bytes() == before


def test_a_file_that_is_gone_stops_the_start(tmp_path: Path) -> None:
    filled(tmp_path)
    dynoxide.database_file(tmp_path).unlink()
    with pytest.raises(Unusable, match="is missing"), database.serving(tmp_path, NAMES):
        pass
    assert not dynoxide.database_file(tmp_path).exists()


def test_a_file_of_a_newer_layout_stops_the_start(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(dynoxide.database_file(tmp_path))) as file:
        file.execute("UPDATE _config SET value = '1000' WHERE key = 'schema_version'")
        file.commit()
    with pytest.raises(Unusable, match="newer dynoxide"), database.serving(tmp_path, NAMES):
        pass


@pytest.mark.parametrize(
    ("note", "detail"),
    [
        ('{"format": 1000, "database": "annals.sqlite3"}', "format 1000"),
        ("{", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ("[]", "is damaged"),
    ],
)
def test_a_folder_of_a_newer_or_unknown_format_stops_the_start(tmp_path: Path, note: str, detail: str) -> None:
    filled(tmp_path)
    (tmp_path / "format.json").write_text(note)
    with pytest.raises(Unusable, match=detail), database.serving(tmp_path, NAMES):
        pass


@pytest.fixture
def ministack_items(tmp_path: Path) -> list[dict[str, Any]]:
    """A folder as MiniStack left it."""
    running = ministack.start(tmp_path)
    dynamodb = client(running.url)
    tables.create_missing(dynamodb, NAMES)
    for number in range(60):
        put(dynamodb, number)
    (tmp_path / "streams.json").write_text('{"index": {"shard": "7"}}')
    items = stored(dynamodb)
    running.stop(ministack.files(tmp_path))
    return items


def test_the_data_of_ministack_are_taken_over_once(tmp_path: Path, ministack_items: list[dict[str, Any]]) -> None:
    for _ in range(2):
        with database.serving(tmp_path, NAMES) as running:
            assert "dynoxide" in running.program
            assert stored(client(running.url)) == ministack_items
    assert not (tmp_path / "ministack/dynamodb.json").exists()
    assert not (tmp_path / "streams.json").exists()


def test_data_of_a_ministack_that_still_runs_are_taken_over(tmp_path: Path) -> None:
    running = ministack.start(tmp_path)
    tables.create_missing(client(running.url), NAMES)
    put(client(running.url), 1, "in memory only")
    (tmp_path / "ministack").mkdir(exist_ok=True)
    (tmp_path / "ministack/dynamodb.json").touch()
    with database.serving(tmp_path, NAMES) as taken:
        assert [item["text"]["S"] for item in stored(client(taken.url))] == ["in memory only"]


def test_a_take_over_that_broke_off_is_done_anew(
    tmp_path: Path, ministack_items: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(database, "copy_tables", break_off)
        with pytest.raises(KeyboardInterrupt), database.serving(tmp_path, NAMES):
            pass
    assert not dynoxide.database_file(tmp_path).exists()
    with database.serving(tmp_path, NAMES) as running:
        assert stored(client(running.url)) == ministack_items


@pytest.fixture
def _nowhere_to_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a dynoxide nor a way to one."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("ANNALS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dynoxide, "PLATFORMS", {})


@pytest.mark.usefixtures("_nowhere_to_be_had")
def test_without_dynoxide_ministack_serves_and_one_line_says_what_that_means(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "annals"), database.serving(tmp_path, NAMES) as running:
        assert running.program == "MiniStack"
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "loses all that was stored since the start" in warning


def test_data_of_dynoxide_are_not_served_by_another_database(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    filled(tmp_path)
    request.getfixturevalue("_nowhere_to_be_had")
    with pytest.raises(Unusable, match="cargo install dynoxide-rs"), database.serving(tmp_path, NAMES):
        pass


def test_a_package_that_is_not_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANNALS_CACHE", str(tmp_path))
    monkeypatch.setattr(dynoxide, "INTEGRITY", dict.fromkeys(dynoxide.INTEGRITY, "another"))
    if not dynoxide.INTEGRITY.keys() & set(dynoxide.PLATFORMS.values()):
        pytest.skip("no package of this platform is pinned")
    with pytest.raises(NotInstalled, match="is not the one that is pinned"):
        dynoxide.install()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_note_of_a_process_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    dynoxide.files(tmp_path).note.write_text('{"pid": 2147483646, "port": 1, "program": "dynoxide 1.2.1"}')
    assert emulator.find_running(dynoxide.files(tmp_path)) is None
    with database.serving(tmp_path, NAMES) as running:
        assert running.answers()
