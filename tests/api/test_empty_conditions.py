"""An empty condition is refused, wherever filters are read: it would match everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

EMPTY: list[Any] = [None, "", " ", [], {}]

OF_CONVERSATIONS = [
    ("POST", "/v1/conversations/delete-many", {}),
    ("POST", "/v1/conversations/search", {"query": "tea"}),
]
OF_MEMORIES = [
    ("POST", "/v1/memories/delete-many", {"memorySpaceId": "home"}),
    ("POST", "/v1/memory/search", {"query": "tea"}),
    ("POST", "/v1/memory/recall", {"query": "tea"}),
    ("POST", "/v1/memory/remember-stream", {"memorySpaceId": "home", "userId": "ada", "userMessage": "Tea?"}),
]
CONVERSATION_CONDITIONS = [
    "type", "status", "createdAfter", "lastMessageBefore", "messageCount", "messageCountMin", "participants",
    "participants.userId", "participants.contains", "metadata", "metadata.session", "metadata.a.b",
]  # fmt: skip
MEMORY_CONDITIONS = [
    "userId", "agentId", "participantId", "conversationId", "threadId", "runId", "role", "status", "sourceType",
    "contentType", "tags", "tagsAll", "importanceMin", "importanceMax", "createdAfter", "createdBefore", "metadata",
    "metadata.session", "metadata.a.b",
]  # fmt: skip


def nested(path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {name: nested(rest, value) if rest else value}


@pytest.mark.parametrize("path", CONVERSATION_CONDITIONS)
@pytest.mark.parametrize("value", EMPTY, ids=repr)
def test_an_empty_condition_on_conversations_is_refused_by_its_name(api: Api, path: str, value: Any) -> None:
    for method, route, more in OF_CONVERSATIONS:
        answer = api.send(method, route, {**more, "filter": {"type": "user-agent", **nested(path, value)}})
        assert answer.problem == (422, "INVALID_FILTER", f"filter.{path}")


@pytest.mark.parametrize("path", MEMORY_CONDITIONS)
@pytest.mark.parametrize("value", EMPTY, ids=repr)
def test_an_empty_condition_on_memories_is_refused_by_its_name(api: Api, path: str, value: Any) -> None:
    for method, route, more in OF_MEMORIES:
        answer = api.send(method, route, {**more, "filter": nested(path, value)})
        assert answer.problem == (422, "INVALID_FILTER", f"filter.{path}")


@pytest.mark.parametrize(
    ("filter_", "field"),
    [
        ({"metadata": {"n": {"$in": []}}}, "filter.metadata.n"),
        ({"metadata": {"n": {"$in": [None]}}}, "filter.metadata.n[0]"),
        ({"metadata": {"n": {"$in": ["a", ""]}}}, "filter.metadata.n[1]"),
        ({"metadata": {"n": {"$eq": None}}}, "filter.metadata.n"),
        ({"metadata": {"n": {"$contains": ""}}}, "filter.metadata.n"),
        ({"metadata": {"n": {"$gte": None}}}, "filter.metadata.n"),
        ({"participants": {"userId": {"$in": [None, "ada"]}}}, "filter.participants.userId[0]"),
        ({"participants": {"$contains": None}}, "filter.participants"),
        ({"metadata.session": None}, "filter.metadata.session"),
        ({"metadata": {"tags": ["a", None]}}, "filter.metadata.tags[1]"),
    ],
)
def test_an_empty_value_within_a_condition_is_refused_too(api: Api, filter_: Any, field: str) -> None:
    for method, route, more in OF_CONVERSATIONS:
        assert api.send(method, route, {**more, "filter": filter_}).problem == (422, "INVALID_FILTER", field)


@pytest.mark.parametrize("name", ["tags", "tagsAll"])
@pytest.mark.parametrize("blank", [None, "", " "])
def test_a_blank_in_a_list_of_tags_is_refused(api: Api, name: str, blank: Any) -> None:
    for method, route, more in OF_MEMORIES:
        answer = api.send(method, route, {**more, "filter": {name: ["tea", blank]}})
        assert answer.problem == (422, "INVALID_FILTER", f"filter.{name}[1]")


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("/v1/memory/search", {"query": "tea", "memorySpaceId": None}, "memorySpaceId"),
        ("/v1/memory/recall", {"query": "tea", "memorySpaceId": None}, "memorySpaceId"),
        ("/v1/memories/delete-many", {"memorySpaceId": None, "filter": {"userId": "ada"}}, "memorySpaceId"),
        ("/v1/users/ada/memories/search", {"memorySpaceId": None}, "memorySpaceId"),
        ("/v1/users/ada/memories/search", {"agentId": None}, "agentId"),
        ("/v1/users/ada/memories/search", {"topic": None}, "topic"),
        ("/v1/keys", {"name": "k", "scopes": ["read"], "memorySpaces": None}, "memorySpaces"),
        ("/v1/keys", {"name": "k", "scopes": ["read"], "expiresAt": None}, "expiresAt"),
    ],
)
def test_null_does_not_widen_what_stands_beside_a_filter(api: Api, route: str, body: Any, field: str) -> None:
    assert api.post(route, body).problem == (422, "INVALID_FILTER", field)


@pytest.mark.parametrize(
    "query",
    [
        *(f"/v1/conversations?{name}=" for name in ("participants.userId", "metadata.x", "type", "createdAfter")),
        "/v1/conversations?participants.userId",
        "/v1/conversations?participants.userId=%20",
        "/v1/conversations?participants.userId=&participants.userId=ada",
        "/v1/conversations/count?metadata.session=",
        "/v1/conversations/count?messageCount=",
        "/v1/conversations/export?participants.userId=",
        *(f"/v1/memories?{name}=" for name in ("userId", "memorySpaceId", "tags", "tagsAll", "metadata.x", "role")),
        "/v1/memories/count?userId=",
        "/v1/memories/export?conversationId=",
        "/v1/memories/export?memorySpaceId=",
        *(f"/v1/facts?{name}=" for name in ("userId", "memorySpaceId", "participantId", "subject", "predicate", "at")),
        *(f"/v1/users/ada/memories?{name}=" for name in ("agentId", "topic", "memorySpaceId")),
        *(f"/v1/conversations/c/messages?{name}=" for name in ("roles", "threadId", "runId", "since", "until")),
        *(f"/v1/conversations/c/messages?{name}=" for name in ("after", "before", "offset")),
    ],
)
def test_a_query_parameter_that_says_nothing_is_refused_by_its_name(api: Api, query: str) -> None:
    field = query.partition("?")[2].partition("=")[0]
    assert api.get(query).problem == (422, "INVALID_FILTER", field)


@pytest.mark.parametrize("query", ["messages?roles=,", "messages?roles=user,,tool", "messages?roles=user,"])
def test_a_blank_in_a_list_of_roles_is_refused(api: Api, query: str) -> None:
    new = {"conversationId": "c", "type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}}
    api.post("/v1/conversations", new)
    assert api.get(f"/v1/conversations/c/{query}").problem == (422, "INVALID_FORMAT", "roles")


@pytest.mark.parametrize("query", ["tags=,", "tags=a,", "tagsAll=a,,b"])
def test_a_blank_in_a_list_of_tags_in_a_query_is_refused(api: Api, query: str) -> None:
    for route in ("/v1/memories", "/v1/memories/count", "/v1/memories/export"):
        assert api.get(f"{route}?{query}").problem == (422, "INVALID_FORMAT", query.partition("=")[0])


@pytest.mark.parametrize("value", [False, 0])
def test_what_is_false_or_zero_says_something(api: Api, value: Any) -> None:
    new = {"conversationId": f"is-{value}", "type": "agent-agent", "participants": {"agents": ["a", "b"]}}
    api.post("/v1/conversations", {**new, "metadata": {"x": value}})

    response = api.post("/v1/conversations/delete-many", {"filter": {"metadata": {"x": value}}, "dryRun": True})

    assert response.json["conversationIds"] == [f"is-{value}"]


def test_a_whole_space_is_deleted_only_where_that_is_said(api: Api, tmp_path: Path) -> None:
    memory = {"content": "Ada likes tea.", "userId": "ada"}
    with embedded_index(tmp_path) as stream:
        for number in range(12):
            api.post("/v1/memories", {**memory, "memorySpaceId": "home", "tags": [f"t{number}"]})
        api.post("/v1/memories", {**memory, "memorySpaceId": "work"})
        stream.deliver()
        delete_many, home = "/v1/memories/delete-many", {"memorySpaceId": "home"}

        missing = (422, "MISSING_REQUIRED_FIELD", "filter")
        assert api.post(delete_many, home).problem == missing
        assert api.post(delete_many, {**home, "filter": {}}).problem == missing
        assert api.post(delete_many, {**home, "filter": {}, "all": False, "confirm": True}).problem == missing
        assert api.post(delete_many, {}).problem == missing
        assert api.post(delete_many, {"all": True}).problem == (422, "MISSING_REQUIRED_FIELD", "memorySpaceId")
        both = {**home, "all": True, "filter": {"userId": "ada"}}
        assert api.post(delete_many, both).problem == (422, "INVALID_FILTER", "all")
        assert api.post(delete_many, {**home, "all": True}).problem[:2] == (409, "DELETE_MANY_THRESHOLD_EXCEEDED")
        assert api.get("/v1/memories/count").json == {"count": 13}

        assert api.post(delete_many, {**home, "all": True, "dryRun": True}).json["count"] == 12
        assert api.post(delete_many, {**home, "all": True, "filter": {}, "confirm": True}).json["count"] == 12
        stream.deliver()
        assert api.get("/v1/memories/count").json == {"count": 1}
