"""Runs of a conversation's agents: stored under their ids, numbered, listed, and gone with the conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annals.conversations import run_store
from annals.conversations.run_items import run_sk
from annals.database.dynamodb import client
from annals.database.keys import item_key
from annals.ledger.keys import conversation_pk
from annals.settings import settings
from tests.conftest import Setting
from tests.support.api import Api, Reply
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

RUNS = "/v1/conversations/talk/runs"
ADA = {"userId": "ada", "memorySpaceId": "work"}
DATA: Any = {"ü": [1, 2.5, None, {"a": ""}], "snake_case": True, "0": -0.0, "big": 12345678901234567890, "nul": "\0"}
HUGE = {"text": "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(500_000))}
"""Data of 1.5 MB that no deflating brings below what an item holds."""


@pytest.fixture(autouse=True)
def talk(api: Api) -> None:
    body = {"type": "user-agent", "conversationId": "talk", "participants": ADA}
    assert api.post("/v1/conversations", body).status == 201


@pytest.fixture
def folder(tmp_path: Path, setting: Setting) -> Path:
    setting("BLOBS_FOLDER", str(tmp_path))
    return tmp_path


def put(api: Api, run_id: str = "r-1", status: str = "running", **more: Any) -> Reply:
    headers = {name: more.pop(name) for name in ("if_match",) if name in more}
    return api.put(f"{RUNS}/{run_id}", {"status": status, **more}, **headers)


def listed(api: Api, query: str = "") -> list[Any]:
    answer = api.get(f"{RUNS}?{query}")
    assert answer.status == 200, answer.body
    return list(answer.json["items"])


def ids(api: Api, query: str = "") -> list[str]:
    return [each["runId"] for each in listed(api, query)]


def blobs(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def test_a_run_is_stored_and_read_exactly(api: Api) -> None:
    made = put(api, parentRunId="r/0", agentId="guide", error="It broke.", data=DATA)
    assert (made.status, made.headers["etag"]) == (201, '"1"')
    assert (made.json["number"], made.json["version"], made.json["status"]) == (1, 1, "running")
    assert "data" not in made.json
    got = api.get(f"{RUNS}/r-1")
    assert got.json == {**made.json, "data": DATA}
    assert (got.json["parentRunId"], got.json["agentId"], got.json["error"]) == ("r/0", "guide", "It broke.")
    assert got.headers["etag"] == '"1"'


@pytest.mark.parametrize("data", [None, 0, "", "text", [], {}, False, [None]])
def test_data_are_any_json_and_null_is_not_none(api: Api, data: Any) -> None:
    put(api, data=data)
    assert api.get(f"{RUNS}/r-1").json["data"] == data
    put(api, "r-2")
    assert "data" not in api.get(f"{RUNS}/r-2").json


def test_a_run_is_replaced_and_keeps_its_number_and_its_beginning(api: Api) -> None:
    first = put(api, parentRunId="r-0", data=DATA).json
    put(api, "r-2")
    again = put(api, status="completed")
    assert (again.status, again.json["version"], again.json["number"]) == (200, 2, 1)
    assert again.json["createdAt"] == first["createdAt"]
    assert not {"parentRunId", "data"} & api.get(f"{RUNS}/r-1").json.keys()


def test_what_is_put_again_changes_nothing(api: Api) -> None:
    first = put(api, data=DATA).json
    assert put(api, data=DATA).json == first
    assert put(api, data=DATA, if_match='"0"').json == first
    assert put(api, data={}).json["version"] == 2
    assert put(api, data=None).json["version"] == 3
    assert put(api).json["version"] == 4


def test_if_match_names_the_version_that_is_replaced(api: Api) -> None:
    assert put(api, if_match='"1"').problem[:2] == (412, "PRECONDITION_FAILED")
    assert put(api, if_match='"0"').status == 201
    assert put(api, status="completed", if_match='"1"').json["version"] == 2
    late = put(api, status="failed", if_match='"1"')
    assert (late.problem[:2], late.json["current"]) == ((412, "PRECONDITION_FAILED"), 2)
    assert put(api, status="failed", if_match='"0"').problem[:2] == (412, "PRECONDITION_FAILED")
    assert api.get(f"{RUNS}/r-1").json["status"] == "completed"


def test_runs_are_listed_by_their_numbers_without_data(api: Api) -> None:
    for number in range(5):
        put(api, f"r-{number}", data=DATA)
    assert ids(api) == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    assert ids(api, "order=asc&limit=2") == ["r-0", "r-1"]
    assert [each["number"] for each in listed(api, "order=asc")] == [1, 2, 3, 4, 5]
    assert not any("data" in each for each in listed(api))
    assert all(each["data"] == DATA for each in listed(api, "includeData=true"))


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_a_walk_through_the_pages_shows_each_run_once(api: Api, order: str, limit: int) -> None:
    for number in range(7):
        put(api, f"r-{number}", data=number)
    query, seen = f"order={order}&limit={limit}&includeData=true", []
    page = api.get(f"{RUNS}?{query}").json
    seen += [each["data"] for each in page["items"]]
    while "nextCursor" in page:
        assert len(page["items"]) == limit
        page = api.get(f"{RUNS}?{query}&cursor={page['nextCursor']}").json
        seen += [each["data"] for each in page["items"]]
    assert seen == (list(range(7)) if order == "asc" else list(range(6, -1, -1)))


def test_no_more_runs_are_read_than_are_shown(api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        put(api, f"r-{number}", "even" if number % 2 == 0 else "odd", data=HUGE)
    read: list[str] = []
    monkeypatch.setattr(run_store, "read_value", lambda *name: read.append(name[1]) or "1")
    for query, expected in (("limit=2", ["r-4", "r-3"]), ("limit=2&status=even", ["r-4", "r-2"]), ("status=none", [])):
        read.clear()
        assert ids(api, f"{query}&includeData=true") == expected
        assert read == [run_sk(run_id) for run_id in expected]


def test_a_selection_goes_through_all_runs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_store, "MAX_READ", 4)
    for number in range(9):
        put(api, f"r-{number}", "failed" if number % 4 == 0 else "completed", agentId=f"a-{number % 2}")
    seen, cursor = [], ""
    for _ in range(5):
        page = api.get(f"{RUNS}?status=failed&order=asc{cursor}").json
        seen += [each["runId"] for each in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == ["r-0", "r-4", "r-8"]


def test_runs_are_selected_by_status_agent_and_parent(api: Api) -> None:
    put(api, "r-1", "failed")
    put(api, "r-2", agentId="a")
    put(api, "r-3", parentRunId=" /")
    put(api, "r-4")
    assert ids(api, "status=failed") == ["r-1"]
    assert ids(api, "agentId=a") == ["r-2"]
    assert ids(api, "parentRunId=%20%2F") == ["r-3"]
    assert ids(api, "status=none") == []
    assert ids(api, "limit=1&status=failed") == ["r-1"]


def test_a_number_is_never_given_twice(api: Api) -> None:
    put(api, "r-1")
    put(api, "r-2")
    assert api.delete(f"{RUNS}/r-2").status == 204
    assert put(api, "r-3").json["number"] == 3
    assert put(api, "r-2").json["number"] == 4
    assert ids(api) == ["r-2", "r-3", "r-1"]


def test_a_deleted_run_is_gone(api: Api) -> None:
    put(api, data=DATA)
    assert api.delete(f"{RUNS}/r-1").status == 204
    for answer in (api.get(f"{RUNS}/r-1"), api.delete(f"{RUNS}/r-1")):
        assert answer.problem[:2] == (404, "RUN_NOT_FOUND")
    assert listed(api) == []
    assert put(api).json["version"] == 1


def test_each_conversation_has_runs_of_its_own(api: Api) -> None:
    put(api)
    api.post("/v1/conversations", {"type": "user-agent", "conversationId": "other", "participants": ADA})
    assert api.get("/v1/conversations/other/runs").json == {"items": []}
    assert api.get("/v1/conversations/other/runs/r-1").problem[:2] == (404, "RUN_NOT_FOUND")
    assert api.put("/v1/conversations/other/runs/r-1", {"status": "x"}).json["number"] == 1


@pytest.mark.parametrize("run_id", ["a%2Fb", "%20", ".", "..", "%F0%9F%98%80" * 256, "x" * 256, "a%23b%25"])
def test_a_run_s_id_is_any_text(api: Api, run_id: str) -> None:
    assert put(api, run_id).status == 201
    assert put(api, f"{run_id[:-1]}y" if run_id[-1] == "x" else "y").status == 201
    assert api.get(f"{RUNS}/{run_id}").json["number"] == 1


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "status"),
        ({"status": " "}, "MISSING_REQUIRED_FIELD", "status"),
        ({"status": 1}, "INVALID_FORMAT", "status"),
        ({"status": "x" * 129}, "INVALID_RANGE", "status"),
        ({"status": "x", "number": 1}, "UNKNOWN_FIELD", "number"),
        ({"status": "x", "error": "x" * 10_001}, "INVALID_RANGE", "error"),
        ({"status": "x", "agentId": ""}, "MISSING_REQUIRED_FIELD", "agentId"),
        ({"status": "x", "parentRunId": ""}, "INVALID_ID_FORMAT", "parentRunId"),
        ({"status": "x", "parentRunId": "a\n"}, "INVALID_ID_FORMAT", "parentRunId"),
    ],
)
def test_a_run_that_cannot_be_is_refused_by_field(api: Api, body: Any, code: str, field: str) -> None:
    assert api.put(f"{RUNS}/r-1", body).problem == (422, code, field)
    assert listed(api) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("order=up", "order"), ("status=", "status"), ("x=1", "x"), ("cursor=abc", "cursor")],
)
def test_a_list_that_cannot_be_is_refused_by_parameter(api: Api, query: str, field: str) -> None:
    assert api.get(f"{RUNS}?{query}").problem[::2] == (422, field)


def test_runs_are_for_those_who_may_see_their_conversation(api: Api) -> None:
    put(api)
    home = api.limited(spaces={"home"})
    for answer in (
        put(home), home.get(RUNS), home.get(f"{RUNS}/r-1"), home.delete(f"{RUNS}/r-1"), Api.of("another").get(RUNS)
    ):  # fmt: skip
        assert answer.problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert put(api.limited(scopes={"read"})).problem[:2] == (403, "FORBIDDEN")
    assert api.limited(scopes={"write"}).get(RUNS).problem[:2] == (403, "FORBIDDEN")
    assert api.limited(scopes={"write"}).delete(f"{RUNS}/r-1").problem[:2] == (403, "FORBIDDEN")
    assert put(api.limited(spaces={"work"})).status == 200


def test_data_larger_than_an_item_are_kept_beside_it(api: Api, folder: Path) -> None:
    put(api, data=HUGE)
    assert len(blobs(folder)) == 1
    assert api.get(f"{RUNS}/r-1").json["data"] == HUGE
    assert listed(api, "includeData=true")[0]["data"] == HUGE
    assert "data" not in listed(api)[0]
    changed = {**HUGE, "more": 1}
    put(api, data=changed)
    assert (len(blobs(folder)), api.get(f"{RUNS}/r-1").json["data"]) == (1, changed)
    put(api, data=1)
    assert blobs(folder) == []


def test_a_run_that_is_deleted_takes_its_large_data(api: Api, folder: Path) -> None:
    put(api, data=HUGE)
    assert api.delete(f"{RUNS}/r-1").status == 204
    assert blobs(folder) == []


@pytest.mark.parametrize("data", ["x" * 4_000_001, "\x00" * 700_000])
def test_data_that_no_answer_could_hold_are_refused(api: Api, folder: Path, data: str) -> None:
    assert put(api, data=data).problem == (413, "REQUEST_TOO_LARGE", "data")
    assert (listed(api), blobs(folder)) == ([], [])


def test_a_page_of_large_data_ends_before_it_is_too_large_for_an_answer(api: Api, folder: Path) -> None:
    for number in range(4):
        put(api, f"r-{number}", data={**HUGE, "number": number})
    seen, cursor = [], ""
    for _ in range(5):
        page = api.get(f"{RUNS}?includeData=true{cursor}").json
        seen += [each["runId"] for each in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert cursor
    assert seen == ["r-3", "r-2", "r-1", "r-0"]


def test_a_version_whose_data_go_while_it_is_read_is_read_anew(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, data=HUGE)
    stale = run_store.find_run(conversation_pk(api.caller.tenant, "talk"), "r-1")
    put(api, data={"now": 1})
    answers = iter([stale])
    find = run_store.find_run
    monkeypatch.setattr(run_store, "find_run", lambda pk, run_id: next(answers, None) or find(pk, run_id))
    assert api.get(f"{RUNS}/r-1").json["data"] == {"now": 1}


def test_a_damaged_run_is_left_out_of_lists_and_refused_by_itself(api: Api) -> None:
    put(api, "r-1")
    put(api, "r-2")
    key = item_key(conversation_pk(api.caller.tenant, "talk"), run_sk("r-1"))
    client().update_item(
        TableName=settings().state_table, Key=key, UpdateExpression="SET version = :x",
        ExpressionAttributeValues={":x": {"S": "one"}},
    )  # fmt: skip
    assert ids(api) == ["r-2"]
    assert api.get(f"{RUNS}/r-1").problem[1] == "ITEM_DAMAGED"


def test_an_erasure_takes_the_runs_and_their_large_data(api: Api, folder: Path) -> None:
    put(api, "r-1", data=HUGE)
    put(api, "r-2", data=DATA)
    assert api.delete("/v1/conversations/talk").status == 200
    for answer in (
        api.get(RUNS),
        api.get(f"{RUNS}/r-1"),
        put(api, "r-3"),
        put(api, "r-1", "x"),
        api.delete(f"{RUNS}/r-1"),
    ):
        assert answer.problem[:2] == (410, "CONVERSATION_ERASED")
    assert blobs(folder) == []
    left = client().scan(TableName=settings().state_table)["Items"]
    assert not any("RUN" in item["sk"]["S"] or "BLOB" in item["sk"]["S"] for item in left)


def test_an_erasure_that_began_after_a_run_was_looked_for_keeps_it_out(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = run_store.find_run

    def find(pk: str, run_id: str) -> Any:
        found = looked(pk, run_id)
        monkeypatch.setattr(run_store, "find_run", looked)
        assert api.delete("/v1/conversations/talk").status == 200
        return found

    monkeypatch.setattr(run_store, "find_run", find)
    assert put(api, data=HUGE).problem[:2] == (410, "CONVERSATION_ERASED")
    assert blobs(folder) == []
    left = client().scan(TableName=settings().state_table)["Items"]
    assert not any("RUN" in item["sk"]["S"] or "BLOB" in item["sk"]["S"] for item in left)


def test_an_erasure_of_the_user_takes_the_runs(api: Api, folder: Path, tmp_path: Path) -> None:
    put(api, data=HUGE)
    with embedded_index(tmp_path / "index"):
        assert api.delete("/v1/users/ada").status in (200, 202)
    assert api.get(RUNS).problem[:2] == (410, "CONVERSATION_ERASED")
    assert not any("values" in str(each) for each in blobs(folder))


def exported(api: Api, form: str, query: str = "") -> Any:
    return api.get(f"/v1/conversations/talk/export?format={form}{query}").body.decode()


def test_runs_are_in_exports_with_their_data(api: Api, folder: Path, tmp_path: Path) -> None:
    put(api, "r-1", "failed", error="It broke.", data=HUGE)
    put(api, "r-2", parentRunId="r-1", data=DATA)
    runs = listed(api, "order=asc&includeData=true")
    assert json.loads(exported(api, "json"))["runs"] == runs
    lines = [json.loads(line) for line in exported(api, "jsonl").splitlines()]
    assert lines[1:] == [{"type": "run", "conversationId": "talk", **run} for run in runs]
    with embedded_index(tmp_path / "index"):
        of_user = api.get("/v1/users/ada/export").body.decode()
    assert lines[1:] == [json.loads(line) for line in of_user.splitlines() if '"type":"run"' in line]


def test_a_conversation_without_runs_is_exported_as_before(api: Api) -> None:
    assert "runs" not in json.loads(exported(api, "json"))


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_runs_are_imported_once_in_their_order(api: Api, folder: Path, form: str) -> None:
    said = {"role": "user", "content": "hello", "runId": "r-1"}
    api.post("/v1/conversations/talk/messages", said)
    put(api, "gone")
    put(api, "r-1", "failed", error="It broke.", data=HUGE)
    put(api, "r-2", parentRunId="r-1", data=None)
    api.delete(f"{RUNS}/gone")
    text, there = exported(api, form), Api.of("another")
    for count in (1, 0):
        answer = there.post("/v1/conversations/import", text, content_type="application/x-ndjson")
        assert answer.json["conversations"] == [{"conversationId": "talk", "imported": count, "skipped": 1 - count}]
    mine, theirs = (listed(each, "order=asc&includeData=true") for each in (api, there))
    same = ("runId", "status", "error", "parentRunId", "data", "createdAt")
    assert [{name: run.get(name, "-") for name in same} for run in theirs] == [
        {name: run.get(name, "-") for name in same} for run in mine
    ]
    assert [run["number"] for run in theirs] == [1, 2]
    put(there, "r-1", "completed")
    there.post("/v1/conversations/import", text, content_type="application/x-ndjson")
    assert there.get(f"{RUNS}/r-1").json["status"] == "completed"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"type": "run", "conversationId": "none", "runId": "r", "status": "x"}, "line 2"),
        ({"type": "run", "conversationId": "talk", "status": "x"}, "line 2"),
        ({"type": "run", "conversationId": "talk", "runId": "r"}, "line 2"),
        ({"type": "run", "conversationId": "talk", "runId": "r", "status": "x", "more": 1}, "line 2"),
    ],
)
def test_a_run_of_a_file_that_cannot_be_is_named_by_its_line(api: Api, line: Any, field: str) -> None:
    head = {"type": "conversation", "conversationType": "user-agent", "conversationId": "talk", "participants": ADA}
    text = f"{json.dumps(head)}\n{json.dumps(line)}"
    answer = api.post("/v1/conversations/import", text, content_type="application/x-ndjson")
    assert answer.problem[::2] == (422, field)
