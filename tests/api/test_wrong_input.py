"""Whatever a request says, it is answered or refused by name: no input is a failure of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.template import ROOT
from scripts.events import BODIES, PATH_PARAMETERS
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

API = json.loads((ROOT / "openapi.json").read_text())
SCHEMAS = API["components"]["schemas"]
DEEP = "[" * 6_000 + "]" * 6_000
STREAMED = "POST /v1/memory/remember-stream"


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in API["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield f"{method.upper()} {path}", operation


OPERATIONS = {name: operation for name, operation in _operations() if name != STREAMED}


def _fields(operation: dict[str, Any]) -> list[str]:
    """The names that the body of an operation may have."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    kinds = [schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())]
    resolved = [SCHEMAS[kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind for kind in kinds]
    return sorted({name for kind in resolved for name in kind.get("properties", {})})


NUMBERS = [
    "1" + "0" * 400,
    "-1" + "0" * 400,
    str(2**63),
    str(2**70),
    "1e400",
    "1e-400",
    "-0",
    "0.1",
    "1e15",
    "9" * 5000,
]
ODD = [
    *NUMBERS, DEEP, "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, '"\\ud800"', '"\\u0000"', '"\\u202e"',
    '"' + "x" * 5_000 + '"', '""', "null", "true",
    "[]", "{}", "NaN", "Infinity", "[null]", '["a", 1]', '{"$in": []}', '{"": {"": 1}}',
    '{"$in": [[{}]]}', '"2024-05-01T10:00:60Z"', '"ada"', '{"userId": {"$gte": 1}}', '[[1], {"a": []}]',
]  # fmt: skip
ODD_TEXTS = [
    "", " ", "\0", "\u202e", "x" * 3_000, "%" * 200, "#" * 128, "😀" * 128, "..", "msg-001", str(2**70),
    "1" + "0" * 5_000, "-1", "1e400", "NaN", "null", DEEP, "{", '"', "a,b", ",", "true", "2024", "٢", "�",
    "mem:a:1", "mem:a:" + "9" * 100, "umem:a:b", "fact-1", "exp-1",
]  # fmt: skip

values = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.dumps(value))  # fmt: skip
words = st.sampled_from(ODD_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = ["metadata.x", "metadata.", "metadata", "unknown", "tags", "tagsAll", "importanceMin", "userId", "createdAfter",
         "participants.userId", "messageCount", "messageCountMin", "lastRuns", "role", "status"]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str | None, dict[str, str]]:
    name = draw(st.sampled_from(sorted(OPERATIONS)))
    operation = OPERATIONS[name]
    method, _, template = name.partition(" ")
    short = words.map(lambda word: word[:500])  # a URL has a bound of its own
    path = re.sub(r"{\w+}", lambda _: quote(draw(short.filter(lambda word: word not in ("", "."))), safe=""), template)
    listed = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    chosen = draw(st.lists(st.sampled_from([*listed, *names]), max_size=2)) if draw(st.booleans()) else []
    query = "&".join(f"{each}={quote(draw(short), safe='')}" for each in chosen)
    fields = _fields(operation)
    body = None
    if fields:
        chosen = draw(st.lists(st.sampled_from(fields), max_size=4, unique=True))
        body = "{" + ",".join(f'"{each}":{draw(values)}' for each in chosen) + "}"
    headers = {"if_match": draw(st.sampled_from(["*", '"1"', str(2**70), '"-1"', ""]))} if draw(st.booleans()) else {}
    return method, f"{path}?{query}" if query else path, body, headers


@settings(max_examples=300, deadline=None, suppress_health_check=[*HealthCheck])
@given(request=requests())
def test_no_request_fails_for_what_it_says(api: Api, tmp_path: Path, request: Any) -> None:
    method, path, body, headers = request
    with embedded_index(tmp_path):
        answer = api.send(method, path, body, **headers)
    assert answer.status < 500, answer.body


KEYS = ["%" * 255, "#" * 255, "a", " ", "x" * 256]


@st.composite
def nearly_right_requests(draw: st.DrawFn) -> tuple[str, str, str, dict[str, str]]:
    """A request as it should be, but for one field of its body or one id of its path."""
    name = draw(st.sampled_from(sorted(BODIES.keys() - {STREAMED})))
    method, _, template = name.partition(" ")
    ids = {key: quote(value, safe="") for key, value in PATH_PARAMETERS.items()}
    written = {field: json.dumps(value) for field, value in BODIES[name].items()}
    if draw(st.booleans()):
        ids[draw(st.sampled_from(sorted(ids)))] = quote(
            draw(st.sampled_from(["😀" * 128, "%" * 128, "#" * 128])), safe=""
        )
    else:
        fields = sorted({*_fields(OPERATIONS[name]), *written})
        if fields:
            written[draw(st.sampled_from(fields))] = draw(values)
    path = re.sub(r"{(\w+)}", lambda parameter: ids[parameter[1]], template)
    headers = {"idempotency_key": draw(st.sampled_from(KEYS))} if draw(st.booleans()) else {}
    return method, path, "{" + ",".join(f'"{field}":{value}' for field, value in written.items()) + "}", headers


@settings(max_examples=200, deadline=None, suppress_health_check=[*HealthCheck])
@given(request=nearly_right_requests())
def test_no_request_fails_for_the_one_thing_that_is_odd_in_it(
    api: Api, tmp_path: Path, setting: Setting, request: Any
) -> None:
    setting("CHAT_URL", "offline")
    setting("BLOBS_FOLDER", str(tmp_path / "blobs"))
    method, path, body, headers = request
    with embedded_index(tmp_path):
        api.post("/v1/conversations", {**BODIES["POST /v1/conversations"], "conversationId": "lisbon"})
        answer = api.send(method, path, body, **headers)
    assert answer.status < 500, answer.body


SEARCHES = ("/v1/memory/search", "/v1/memory/recall")


@pytest.mark.parametrize("route", SEARCHES)
@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e400", "9" * 5_000, '"1"', "true", "null"])
def test_an_embedding_that_no_double_holds_is_refused_by_its_name(api: Api, route: str, number: str) -> None:
    assert api.post(route, f'{{"embedding": [1, {number}]}}').problem == (422, "INVALID_EMBEDDING", "embedding")


@pytest.mark.parametrize("route", SEARCHES)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_an_embedding_of_what_json_does_not_have_is_no_json(api: Api, route: str, number: str) -> None:
    assert api.post(route, f'{{"embedding": [{number}]}}').problem == (400, "INVALID_JSON", None)


@pytest.mark.parametrize("depth", [65, 900, 6_000, 20_000])
def test_a_value_in_a_query_may_look_like_deep_json(api: Api, tmp_path: Path, depth: int) -> None:
    with embedded_index(tmp_path):
        for route in ("/v1/memories", "/v1/memories/count", "/v1/memories/export", "/v1/conversations"):
            for text in ("[" * depth, '{"a":' * min(depth, 1_500)):
                assert api.get(f"{route}?metadata.x={quote(text)}").status in (200, 422)


@pytest.mark.parametrize("count", [101, 1_500])
def test_more_names_than_a_database_can_ask_for_are_refused(api: Api, count: int) -> None:
    many = [f"n{number}" for number in range(count)]
    for filter_ in ({"tagsAll": many}, {"tags": many}, {"metadata": dict.fromkeys(many, 1)}):
        answer = api.post("/v1/memory/search", {"query": "x", "filter": filter_})
        assert answer.problem[:2] == (422, "INVALID_RANGE")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"/v1/conversations/c/messages?offset={2**70}", "offset"),
        (f"/v1/conversations/c/messages?after={2**70}", "after"),
        (f"/v1/conversations/c/messages?before={'9' * 5_000}", "before"),
        (f"/v1/conversations/c/messages?limit={2**63}", "limit"),
        (f"/v1/conversations/c/messages?since={2**70}", "since"),
        (f"/v1/conversations?messageCount={2**70}", "messageCount"),
        (f"/v1/conversations?messageCountMin={2**70}", "messageCountMin"),
        (f"/v1/memories?importanceMin={2**70}", "importanceMin"),
        (f"/v1/memories?createdAfter={2**70}", "createdAfter"),
        (f"/v1/memories/m/versions/{2**70}", "number"),
        (f"/v1/memories/m/versions/{'9' * 2_000}", "number"),
        ("/v1/memories/m/versions/0", "number"),
        (f"/v1/conversations/c/context?maxTokens={2**70}", "maxTokens"),
    ],
)
def test_a_number_beyond_what_is_counted_is_refused_by_its_name(api: Api, path: str, field: str) -> None:
    new = {"conversationId": "c", "type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}}
    api.post("/v1/conversations", new)
    answer = api.get(path)
    assert (answer.status, answer.json["field"]) == (422, field)


@pytest.mark.parametrize("number", [2**63, 2**70, 10**400, -(2**70)])
def test_a_number_in_a_body_beyond_what_is_counted_is_refused_by_its_name(api: Api, number: int) -> None:
    filters = {"messageCount": number, "messageCountMin": number, "createdAfter": number}
    for name, value in filters.items():
        answer = api.post("/v1/conversations/delete-many", {"filter": {name: value}})
        assert (answer.status, answer.json["field"]) == (422, f"filter.{name}")
    answer = api.post("/v1/conversations/delete-many", {"filter": {"messageCount": {"$gte": number}}})
    assert (answer.status, answer.json["field"]) == (422, "filter.messageCount")
    for name in ("importanceMin", "createdBefore"):
        answer = api.post("/v1/memory/search", {"query": "x", "filter": {name: number}})
        assert (answer.status, answer.json["field"]) == (422, f"filter.{name}")
    message = {"role": "user", "content": "x"}
    for name in ("importance", "timestamp"):
        answer = api.post("/v1/conversations/c/messages", {**message, name: number})
        assert (answer.status, answer.json["field"]) == (422, name)
    assert api.post("/v1/conversations/c/archive", {"before": number}).status == 422


def test_a_stream_of_any_name_is_refused_or_not_found(api: Api) -> None:
    for name in ODD_TEXTS:
        if name.strip(" ./"):
            assert api.get(f"/v1/memory/remember-stream/{quote(name, safe='')}").status in (404, 422)
