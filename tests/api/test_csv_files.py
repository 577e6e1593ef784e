"""CSV files: no export holds a formula unless it was asked for, and an import gives each text back as it was said."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Api
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("module_moto")

PEOPLE = {"userId": "ada", "memorySpaceId": "home"}
OWNERS = "memorySpaceId=home&userId=ada"
FORMULA = '=HYPERLINK("http://127.0.0.1/?"&A1)'
SAID = [FORMULA, "+1", "-5", "@SUM(1)", " =1", "＝1", "'=1", "' =1", "a;=1\n- item", "harmless, -5", "'tis", "x\r\n=1"]


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def converse(api: Api, contents: list[str], name: str = "=cmd", **more: Any) -> str:
    new = {"type": "user-agent", "conversationId": name, "participants": PEOPLE}
    assert api.post("/v1/conversations", new).status == 201
    path = f"/v1/conversations/{name.replace('=', '%3D')}"
    for content in contents:
        assert api.post(f"{path}/messages", {"role": "user", "content": content, **more}).status == 201
    return path


def test_no_cell_of_an_exported_conversation_is_a_formula(api: Api) -> None:
    path = converse(api, SAID, name="=cmd", metadata={"a": FORMULA}, parts=-5)
    for exported in (f"{path}/export", "/v1/conversations/export"):
        results = rows(api.get(f"{exported}?format=csv").body)
        cells = [cell for row in results for cell in row.values()]
        assert not [cell for cell in cells if cell.lstrip(" ")[:1] in tuple("=+-@＝") and cell]
        assert results[0]["conversationId"] == "'=cmd"
        assert [row["seq"] for row in results] == [str(seq) for seq in range(1, len(SAID) + 1)]


def test_formulas_are_kept_where_that_is_wanted(api: Api) -> None:
    path = converse(api, SAID, "c")
    assert [row["content"] for row in rows(api.get(f"{path}/export?format=csv&formulas=keep").body)] == SAID
    assert api.get(f"{path}/export?format=csv&formulas=run").problem == (422, "INVALID_FORMAT", "formulas")
    assert api.get(f"{path}/export?format=json&formulas=keep").status == 200


def test_no_cell_of_exported_memories_is_a_formula_and_numbers_stay(api: Api, tmp_path: Path) -> None:
    with embedded_index(tmp_path) as stream:
        body = {"memorySpaceId": "home", "content": FORMULA, "tags": ["=1"], "importance": 7, "userId": "=ada"}
        assert api.post("/v1/memories", body).status == 201
        stream.deliver()
        [row] = rows(api.get("/v1/memories/export?format=csv&memorySpaceId=home").body)
        assert (row["content"], row["userId"], row["importance"]) == (f"'{FORMULA}", "'=ada", "7")
        [row] = rows(api.get("/v1/memories/export?format=csv&memorySpaceId=home&formulas=keep").body)
        assert (row["content"], row["userId"]) == (FORMULA, "=ada")


@pytest.fixture(scope="module")
def tenants(module_moto: None) -> str:
    return "csv"


def messages(api: Api, path: str) -> list[dict[str, Any]]:
    results = api.get(f"{path}/messages?order=asc&limit=1000").json["items"]
    return [{name: value for name, value in each.items() if name != "timestamp"} for each in results]


awkward = st.text(st.sampled_from("'=+-@＝ \t\r\n;,\"a1"), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(awkward, min_size=1, max_size=4), metadata=st.dictionaries(awkward, awkward, max_size=2))
def test_what_is_exported_as_csv_and_imported_is_what_was_said(
    tenants: str, contents: list[str], metadata: dict[str, str]
) -> None:
    api, other = (Api.of(f"{tenants}-{uuid4().hex}") for _ in range(2))
    path = converse(api, contents, "c", metadata=metadata)
    file = api.get(f"{path}/export?format=csv").body
    answer = other.post(f"/v1/conversations/import?{OWNERS}", file, content_type="text/csv")
    assert answer.status == 200, answer.body
    assert messages(other, path) == messages(api, path)
    again = other.post(f"/v1/conversations/import?{OWNERS}", file, content_type="text/csv").json["conversations"]
    assert [(each["imported"], each["skipped"]) for each in again] == [(0, len(contents))]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text + "c,message\r\n", (422, "INVALID_FORMAT")),
        (lambda text: text + 'c,message,"x', (422, "INVALID_FORMAT")),
        (lambda text: text.replace("kind", "kind,colour", 1), (422, "INVALID_FORMAT")),
        (lambda text: text.replace(",user,", ",bot,"), (422, "INVALID_ROLE")),
    ],
)
def test_a_damaged_row_is_named_by_its_line_and_nothing_is_stored(api: Api, change: Any, problem: Any) -> None:
    path = converse(api, ["one"], "c")
    text = change(api.get(f"{path}/export?format=csv").body.decode())
    other = Api.of(f"{api.caller.tenant}-else")
    answer = other.post(f"/v1/conversations/import?{OWNERS}", text.encode(), content_type="text/csv")
    assert answer.problem[:2] == problem, json.dumps(answer.json)
    assert other.get("/v1/conversations").json["items"] == []
