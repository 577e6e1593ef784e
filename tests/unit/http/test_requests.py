"""What every route demands of a request, before its own questions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

ROUTES = ["/v1/conversations", "/v1/memory/remember", "/v1/keys"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", ["", "null", "{", '{"a": NaN}', '{"a": "\\ud800"}', b'{"a": "\xff"}', "\ufeff{}"])
def test_a_body_that_is_no_json_is_refused(api: Api, route: str, body: str | bytes) -> None:
    assert api.post(route, body).problem == (400, "INVALID_JSON", None)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", ["[]", "[{}]", '"text"', "7", "true"])
def test_a_body_that_is_no_object_is_refused(api: Api, route: str, body: str) -> None:
    assert api.post(route, body).problem == (422, "INVALID_FORMAT", None)


@pytest.mark.parametrize(
    ("value", "field"),
    [*((number, "metadata.a") for number in ("1e999", "1e-400", "9" * 5000)), ("[" * 100_000 + "]" * 100_000, None)],
)
def test_a_body_that_could_not_be_given_back_is_refused(api: Api, value: str, field: str | None) -> None:
    body = f'{{"type": "agent-agent", "participants": {{"agents": ["a", "b"]}}, "metadata": {{"a": {value}}}}}'
    assert api.post("/v1/conversations", body).problem == (422, "INVALID_FORMAT", field)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonx", "Application/JSON"]
)
def test_a_body_that_calls_itself_something_else_is_refused(api: Api, kind: str) -> None:
    assert api.post("/v1/conversations", {}, content_type=kind).problem == (415, "UNSUPPORTED_MEDIA_TYPE", None)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", " application/json ", ""])
def test_json_with_and_without_its_parameters_is_taken(api: Api, kind: str) -> None:
    assert api.post("/v1/conversations", {}, content_type=kind).problem[:2] == (422, "MISSING_REQUIRED_FIELD")


def test_problem_details_say_what_and_where(api: Api) -> None:
    problem = api.post("/v1/conversations", {"colour": 1}).json
    assert set(problem) == {"type", "title", "status", "code", "detail", "field", "requestId"}
    assert problem["requestId"]


def test_answers_are_not_to_be_stored_by_caches(api: Api) -> None:
    assert api.get("/v1/conversations/none").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["a\\b", "a`b", 'a"b', "a{b", "ü", "a b", "a+b", "%"])
def test_an_id_in_a_path_is_decoded_once(api: Api, name: str) -> None:
    body: dict[str, Any] = {"type": "agent-agent", "participants": {"agents": ["a", "b"]}, "conversationId": name}
    assert api.post("/v1/conversations", body).status == 201
    assert api.get(f"/v1/conversations/{quote(name, safe='')}").json["conversationId"] == name
    twice = quote(quote(name, safe=""), safe="")
    assert api.get(f"/v1/conversations/{twice}").status == (404 if quote(name, safe="") != name else 200)


def test_a_text_that_is_too_long_is_told_its_bound_in_characters(api: Api) -> None:
    refused = api.post("/v1/keys", {"name": "n" * 300, "scopes": ["read"]})
    assert refused.problem == (422, "INVALID_RANGE", "name")
    assert refused.json["detail"] == "name: must have at most 256 characters."
