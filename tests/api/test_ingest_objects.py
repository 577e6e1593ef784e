"""Transcripts from a bucket: read line by line, each line stored once, what is damaged put aside with its number."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from annals.ingest import objects
from annals.ingest.lines import MAX_LINE_BYTES
from annals.ingest.objects import MAX_DAMAGED_LINES, Unfinished, store_objects
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import SEAL, SEALED
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.ingesting import BUCKET, Failures, call, failures_queue, put_object
from tests.support.talk import talk

pytestmark = pytest.mark.usefixtures("moto")

PEOPLE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
KEY = "transcripts/Mai 2026 + ü.jsonl"


@pytest.fixture
def failures(moto: None, tenant: str) -> Iterator[Failures]:
    with failures_queue(tenant) as queue:
        yield queue


def envelope(content: str, conversation_id: str = "lisbon") -> dict[str, Any]:
    named = {"conversationId": conversation_id, **PEOPLE}
    return {"conversation": named, "messages": [{"role": "user", "content": content}]}


def text(*lines: Any) -> bytes:
    return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()


def put(*lines: Any) -> dict[str, Any]:
    """Put a transcript into the bucket; what the function hears of it."""
    return {"Records": [put_object(KEY, text(*lines))]}


def contents(api: Api, conversation_id: str = "lisbon") -> list[str]:
    answer = api.get(f"/v1/conversations/{conversation_id}/messages?order=asc")
    return [message["content"] for message in answer.json["items"]] if answer.status == 200 else []


def test_the_lines_of_an_object_are_stored_in_their_order(api: Api, failures: Failures) -> None:
    call(put(envelope("1"), "", envelope("2"), "   ", envelope("3", "porto"), envelope("4")))
    assert (contents(api), contents(api, "porto")) == (["1", "2", "4"], ["3"])
    assert failures.reasons() == []


def test_a_line_may_hold_a_turn(api: Api, failures: Failures) -> None:
    turn = {"memorySpaceId": "demo", "userId": "ada", "userMessage": "When?", "agentResponse": "At nine."}
    call(put({"turn": {**turn, "conversationId": "lisbon"}}))
    assert contents(api) == ["When?", "At nine."]


@pytest.mark.usefixtures("failures")
def test_an_object_that_comes_again_stores_nothing(api: Api) -> None:
    bucket_event = put(envelope("1"), envelope("1"))
    call(bucket_event)
    call(bucket_event)
    assert contents(api) == ["1", "1"]


@pytest.mark.usefixtures("failures")
def test_another_version_of_an_object_is_another_transcript(api: Api) -> None:
    call(put(envelope("1")))
    call(put(envelope("1"), envelope("2")))
    assert contents(api) == ["1", "1", "2"]


@pytest.mark.usefixtures("failures")
def test_a_versioned_object_is_read_in_the_version_that_was_told_of(api: Api) -> None:
    bucket_event = put_object("v.jsonl", text(envelope("older")))
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = boto3.client("s3").put_object(Bucket=BUCKET, Key="v.jsonl", Body=text(envelope("1")))["VersionId"]
    boto3.client("s3").put_object(Bucket=BUCKET, Key="v.jsonl", Body=text(envelope("2")))
    named = {**bucket_event["s3"]["object"], "versionId": first}
    call({"Records": [{**bucket_event, "s3": {**bucket_event["s3"], "object": named}}]})
    assert contents(api) == ["1"]


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize(
    "packed", [gzip.compress(text(envelope("1"), envelope("2"))), gzip.compress(text(envelope("1"), "")) * 2]
)
def test_a_gzip_file_is_unpacked_whatever_its_name_is(api: Api, packed: bytes) -> None:
    call({"Records": [put_object("transcript", packed)]})
    assert len(contents(api)) == 2


def test_a_damaged_line_is_put_aside_with_its_number_and_the_others_are_stored(api: Api, failures: Failures) -> None:
    bucket_event = put(envelope("1"), "{", envelope("2"), {**envelope("3"), "tenant": "acme"}, envelope("4"))
    call(bucket_event)
    assert contents(api) == ["1", "2", "4"]
    [record] = bucket_event["Records"]
    assert failures.read() == [
        ("INVALID_JSON", {"Records": [{**record, "line": 2}]}),
        ("UNKNOWN_FIELD", {"Records": [{**record, "line": 4}]}),
    ]


def test_a_line_that_is_longer_than_any_entry_is_put_aside_and_the_next_is_read(api: Api, failures: Failures) -> None:
    call(put(envelope("x" * (2 * MAX_LINE_BYTES + 10)), envelope("2"), envelope("y" * 400_000)))
    assert contents(api) == ["2"]
    assert failures.reasons() == ["REQUEST_TOO_LARGE", "ENTRY_TOO_LARGE"]


def test_a_file_that_is_no_transcript_is_put_aside_before_all_of_it_is_read(api: Api, failures: Failures) -> None:
    bucket_event = put(*["no json"] * (MAX_DAMAGED_LINES + 5), envelope("behind"))
    call(bucket_event)
    *lines, whole = failures.read()
    assert len(lines) == MAX_DAMAGED_LINES
    assert whole == ("TOO_MANY_DAMAGED_LINES", bucket_event)
    assert contents(api) == []
    call(bucket_event)
    assert contents(api) == ["behind"]


def test_gzip_data_that_breaks_off_is_put_aside_and_what_came_before_is_kept(api: Api, failures: Failures) -> None:
    packed = gzip.compress(text(*(envelope(str(number) * 10_000) for number in range(10))), compresslevel=0)
    call({"Records": [put_object(KEY, packed[: len(packed) // 2])]})
    assert [content[0] for content in contents(api)] == ["0", "1", "2", "3", "4"]
    assert failures.reasons() == ["INVALID_FORMAT"]


def test_an_object_that_was_replaced_before_it_was_read_is_put_aside(api: Api, failures: Failures) -> None:
    earlier, later = put(envelope("1")), put(envelope("2"))
    call(earlier)
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=KEY)
    call(later)
    assert failures.read() == [("NOT_FOUND", earlier), ("NOT_FOUND", later)]
    assert contents(api) == []


@pytest.mark.usefixtures("failures")
def test_reading_goes_on_where_the_time_was_over(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket_event = put(*(envelope(str(number)) for number in range(5)))
    stored: list[int] = []
    store = objects.store_line
    monkeypatch.setattr(objects, "store_line", lambda *line: (stored.append(1), store(*line)))
    with pytest.raises(Unfinished):
        store_objects(bucket_event, lambda: len(stored) < 2)
    store_objects(bucket_event, lambda: True)
    assert contents(api) == ["0", "1", "2", "3", "4"]
    assert len(stored) == 5


def test_a_line_that_was_put_aside_can_be_stored_later(api: Api, failures: Failures) -> None:
    bucket_event = put(
        envelope("1"), {"conversation": {"conversationId": "porto"}, "messages": [{"role": "user", "content": "2"}]}
    )
    call(bucket_event)
    [(reason, event)] = failures.read()
    assert reason == "CONVERSATION_NOT_FOUND"
    assert api.post("/v1/conversations", {**PEOPLE, "conversationId": "porto"}).status == 201
    call(event)
    call(event)
    assert failures.reasons() == []
    assert (contents(api), contents(api, "porto")) == (["1"], ["2"])


def test_what_an_export_wrote_is_stored_as_it_was(api: Api, failures: Failures, setting: Setting) -> None:
    path = talk(api, rich=False)
    assert api.post(f"{path}/preamble", {"content": "Ada asks.", "metadata": {"by": "hand"}}).status == 201
    assert api.post(f"{path}/messages/msg-005/redact", {"reason": "asked for"}).status == 200
    assert api.put(f"{path}/runs/r-1", {"status": "failed", "error": "No.", "data": {"n": None}}).status == 201
    file = api.get(f"{path}/export?format=jsonl").body
    assert b'{"type":"run"' in file
    setting("ROOT_TENANT", f"not-{api.caller.tenant}")
    call({"Records": [put_object(KEY, file)]})
    assert failures.reasons() == []
    other = Api.of(f"not-{api.caller.tenant}")
    assert [without_times(line) for line in exported(other)] == [without_times(line) for line in exported(api)]


def exported(api: Api) -> list[dict[str, Any]]:
    lines = api.get("/v1/conversations/talk/export?format=jsonl").body.splitlines()
    return [json.loads(line) for line in lines]


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    generated = {"timestamp", "createdAt", "updatedAt", "lastMessageAt", "headHash", "seq", "messageId"}
    return {name: value for name, value in line.items() if name not in generated}


@pytest.mark.parametrize("how", [{"status": "sealed"}, {"status": "archived"}, {"offset": 3}])
def test_what_only_an_import_can_bring_is_put_aside(failures: Failures, how: dict[str, Any]) -> None:
    line = {"type": "conversation", "conversationType": "user-agent", "conversationId": "c", **how}
    call(put({**line, "participants": PEOPLE["participants"]}))
    assert failures.reasons() == ["INVALID_FORMAT"]


def test_a_message_for_a_conversation_that_is_not_there_or_closed_is_put_aside(api: Api, failures: Failures) -> None:
    call(put(envelope("1")))
    append(api.caller.tenant, "lisbon", [NewRecord(SEAL, b"{}")], state=SEALED)
    message = {"type": "message", "role": "user", "content": "Hi"}
    run = {"type": "run", "runId": "r", "status": "x", "conversationId": "never-made"}
    call(put({**message, "conversationId": "lisbon"}, {**message, "conversationId": "never-made"}, run))
    assert failures.reasons() == ["CONVERSATION_SEALED", "CONVERSATION_NOT_FOUND", "CONVERSATION_NOT_FOUND"]
