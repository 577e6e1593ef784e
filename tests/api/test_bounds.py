"""Everything that a request may hold has a bound, and what is over it is told which."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.ledger.append import append
from annals.ledger.messages import new_message
from local.template import ROOT
from tests.support.api import Api
from tests.support.indexing import embedded_index

API = json.loads((ROOT / "openapi.json").read_text())
SCHEMAS = API["components"]["schemas"]
EVENT = json.loads((ROOT / "schemas/ingest-event.json").read_text())

ANY_JSON = {
    "parts": "weighed with its message",
    "metadata": "weighed with what holds it",
}
"""What may be any JSON, and what bounds it."""

UNBOUNDED_QUERY = {
    "cursor": "what is none that the server gave is refused",
    "sortBy": "one of a few words",
    "sortOrder": "one of a few words",
    "include": "a list of a few words",
    "roles": "a list of a few words",
    "at": "a time",
    "includeSummary": "true or false",
    "includeSuperseded": "true or false",
}


def _resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return defs[reference.rpartition("/")[2]] if reference else schema


def _unbounded(schema: dict[str, Any], defs: dict[str, Any], path: str, resolved: frozenset[str]) -> Iterator[str]:
    """The paths in a schema where a text, a list or an object may be of any size."""
    if (reference := schema.get("$ref", "")) in resolved and reference:
        return
    resolved |= {reference}
    schema = _resolved(schema, defs)
    for kind in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _unbounded(kind, defs, path, resolved)
    kind = schema.get("type")
    if kind == "string" and not schema.keys() & {"maxLength", "enum", "const"} and schema.get("format") != "date-time":
        yield path
    if kind == "array":
        if "maxItems" not in schema:
            yield path
        yield from _unbounded(schema["items"], defs, f"{path}[]", resolved)
    if kind == "object":
        is_open = schema.get("additionalProperties", True) is not False and "maxProperties" not in schema
        if is_open and path.rpartition(".")[2] not in ANY_JSON:
            yield path
        for name, field in schema.get("properties", {}).items():
            yield from _unbounded(field, defs, f"{path}.{name}", resolved)


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in API["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


BODIES = {
    name: operation["requestBody"]["content"]["application/json"]["schema"]
    for name, operation in _operations()
    if "requestBody" in operation and name != "POST /v1/conversations/import"
}


def test_every_route_with_a_body_is_looked_at() -> None:
    assert len(BODIES) > 20


@pytest.mark.parametrize("route", sorted(BODIES))
def test_every_text_list_and_object_of_a_body_has_a_bound(route: str) -> None:
    assert [*_unbounded(BODIES[route], SCHEMAS, "", frozenset())] == []


def test_every_text_list_and_object_of_an_event_has_a_bound() -> None:
    assert [*_unbounded(EVENT, EVENT["$defs"], "", frozenset())] == []


@pytest.mark.parametrize("route", sorted(name for name, operation in _operations() if operation.get("parameters")))
def test_every_text_of_a_path_or_query_has_a_bound(route: str) -> None:
    operation = dict(_operations())[route]
    results = [
        each["name"]
        for each in operation["parameters"]
        if each["in"] != "header" and [*_unbounded(each["schema"], SCHEMAS, each["name"], frozenset())]
    ]
    assert [name for name in results if name not in UNBOUNDED_QUERY] == []


LONG = "x" * 1_001
MANY = [f"t{number}" for number in range(101)]
TURN = {"memorySpaceId": "home", "userId": "ada", "userMessage": "x", "agentResponse": "y"}


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize(
    ("route", "body", "field", "bound"),
    [
        ("/v1/memory/search", {"query": "x", "filter": {"tags": MANY}}, "filter.tags", "100"),
        ("/v1/memory/search", {"query": "x", "filter": {"tagsAll": MANY * 15}}, "filter.tagsAll", "100"),
        ("/v1/memory/recall", {"query": "x", "filter": {"metadata": dict.fromkeys(MANY, 1)}}, "filter", "100"),
        ("/v1/memory/search", {"query": "x", "filter": {"metadata": {"a": LONG}}}, "filter.metadata.a", "1000"),
        ("/v1/memory/search", {"query": "x" * 400_000}, "query", "389120"),
        ("/v1/conversations/search", {"query": "x", "filter": {"metadata": {"a": {"$in": MANY}}}},
         "filter.metadata.a", "100"),
        ("/v1/conversations/delete-many", {"filter": {"metadata": {"a": {"$in": MANY * 4000}}}},
         "filter.metadata.a", "100"),
        ("/v1/conversations/delete-many", {"filter": {"participants": {"userId": {"$in": MANY}}}},
         "filter.participants.userId", "100"),
        ("/v1/conversations/c/messages", {"role": "user", "content": "x", "name": "x" * 257}, "name", "256"),
        ("/v1/conversations/c/messages", {"messages": [{"role": "user", "content": "x"}] * 4_001}, "messages", "4000"),
        ("/v1/conversations/c/messages/get-many", {"messageIds": [str(n) for n in range(1_001)]}, "messageIds", "1000"),
        ("/v1/conversations/c/messages/get-many", {"messageIds": ["x" * 129]}, "messageIds[0]", "128"),
        ("/v1/conversations/c/messages/msg-001/redact", {"reason": "x" * 10_001}, "reason", "10000"),
        ("/v1/memory/remember", {**TURN, "tags": MANY}, "tags", "100"),
        ("/v1/keys", {"name": "x" * 257, "scopes": ["read"]}, "name", "256"),
        ("/v1/keys", {"name": "x", "scopes": ["read"], "memorySpaces": [str(n) for n in range(1_001)]},
         "memorySpaces", "1000"),
        ("/v1/conversations/c/summarize", {"model": "x" * 257}, "model", "256"),
    ],
)  # fmt: skip
def test_what_is_over_a_bound_is_refused_by_its_field_and_its_bound(
    api: Api, route: str, body: Any, field: str, bound: str
) -> None:
    answer = api.post(route, body)

    assert (answer.status, answer.json["field"]) == (422, field)
    assert bound in answer.json["detail"]


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize("route", ["/v1/memories", "/v1/memories/count", "/v1/memories/export"])
def test_many_conditions_in_a_query_are_refused(api: Api, route: str) -> None:
    metadata = "&".join(f"metadata.{name}=1" for name in MANY)
    assert api.get(f"{route}?{metadata}").problem == (422, "INVALID_RANGE", None)
    assert api.get(f"{route}?tagsAll={','.join(f't{n}' for n in range(1_500))}").status == 422
    assert api.get(f"/v1/conversations?{metadata}").problem == (422, "INVALID_RANGE", None)


@pytest.mark.usefixtures("moto")
def test_as_many_conditions_as_are_allowed_can_be_searched_by(api: Api, tmp_path: Path) -> None:
    tags = MANY[:50]
    with embedded_index(tmp_path) as stream:
        memory = {"memorySpaceId": "home", "userId": "ada", "content": "Tea.", "tags": tags}
        memory_id = api.post("/v1/memories", {**memory, "metadata": dict.fromkeys(tags, 1)}).json["memoryId"]
        stream.deliver()
        conditions = {"tagsAll": tags, "tags": tags, "metadata": dict.fromkeys(tags, 1)}
        results = api.post("/v1/memory/search", {"query": "tea", "filter": conditions})
        assert [each["memoryId"] for each in results.json["items"]] == [memory_id]


@pytest.mark.usefixtures("moto")
def test_a_name_that_was_stored_over_the_bound_is_shown_and_its_words_are_found(
    api: Api, tenant: str, tmp_path: Path
) -> None:
    new = {"conversationId": "old", "type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}}
    api.post("/v1/conversations", new)
    name = "Ada " + "x" * 100_000
    append(tenant, "old", [new_message({"role": "user", "content": "My cat is called Byron.", "name": name})])

    assert api.get("/v1/conversations/old/messages").json["items"][0]["name"] == name
    with embedded_index(tmp_path) as stream:
        stream.deliver_ledger()
        (hit,) = api.post("/v1/memory/search", {"query": "cat", "memorySpaceId": "home"}).json["items"]
        assert (hit["memoryId"], hit["name"]) == ("mem:old:1", name[:256])
