"""Memories with ids of the caller's own: created once, found, replaced and deleted by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from annals.database.dynamodb import client, from_item, to_item
from annals.errors import ExternalIdTaken
from annals.settings import settings
from tests.support.api import Api, Reply
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

MEMORIES, OF_ADA = "/v1/memories", "/v1/users/ada/memories"
ADA = {"memorySpaceId": "work", "userId": "ada"}
TEA = {**ADA, "content": "Likes tea."}
TAKEN = (409, ExternalIdTaken.code, "externalId")
ODD_IDS = ["a/b", "100%", "1+1", "a b", "/", "日本/語", "%2F", "x" * 256, "versions", "archive", "a#b", "a?b=c&d"]


def path(external_id: str) -> str:
    return f"{MEMORIES}/by-external-id/{quote(external_id, safe='')}"


def of_ada(external_id: str) -> str:
    return f"{OF_ADA}/by-external-id/{quote(external_id, safe='')}"


def found(api: Api, external_id: str, query: str = "memorySpaceId=work&userId=ada") -> Any:
    answer = api.get(f"{path(external_id)}?{query}")
    return answer.json if answer.status == 200 else None


def is_replay(answer: Reply) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


def pointers(api: Api) -> int:
    pages = client().get_paginator("scan").paginate(TableName=settings().state_table)
    items = [from_item(item) for page in pages for item in page["Items"]]
    own = [item for item in items if item["pk"].startswith(f"T#{api.caller.tenant}#")]
    return sum(item["sk"].startswith("X") for item in own)


@pytest.mark.parametrize("external_id", ODD_IDS)
def test_a_memory_is_created_found_replaced_and_deleted_by_its_external_id(api: Api, external_id: str) -> None:
    created = api.put(path(external_id), TEA)
    assert (created.status, created.json["externalId"], created.headers["etag"]) == (201, external_id, '"1"')
    replaced = api.put(path(external_id), {**TEA, "content": "Likes coffee.", "tags": ["drinks"]})
    assert (replaced.status, replaced.json["version"], replaced.json["content"]) == (200, 2, "Likes coffee.")
    assert replaced.json["memoryId"] == created.json["memoryId"]
    memory = found(api, external_id)
    assert [each["content"] for each in memory.pop("previousVersions")] == ["Likes tea."]
    assert memory == replaced.json
    assert api.delete(f"{path(external_id)}?memorySpaceId=work&userId=ada").status == 204
    assert found(api, external_id) is None
    assert pointers(api) == 0


@pytest.mark.parametrize("external_id", ODD_IDS)
def test_a_user_s_memory_is_created_found_replaced_and_deleted_by_its_external_id(api: Api, external_id: str) -> None:
    created = api.put(of_ada(external_id), {"memory": "Likes tea.", "agentId": "guide"})
    assert (created.status, created.json["externalId"]) == (201, external_id)
    replaced = api.put(of_ada(external_id), {"memory": "Likes coffee.", "topics": ["drinks"]})
    assert (replaced.status, replaced.json["version"], replaced.json["topics"]) == (200, 2, ["drinks"])
    assert "agentId" not in replaced.json
    assert api.get(of_ada(external_id)).json == replaced.json
    assert api.get(OF_ADA).json["items"] == [replaced.json]
    assert api.delete(of_ada(external_id)).status == 204
    assert api.get(of_ada(external_id)).status == 404
    assert api.get(OF_ADA).json["items"] == []
    assert pointers(api) == 0


@pytest.mark.parametrize("external_id", ["", "x" * 257, "a\nb", "\x85"])
def test_an_external_id_that_is_none_is_refused(api: Api, external_id: str) -> None:
    code = (422, "INVALID_ID_FORMAT", "externalId")
    assert api.post(MEMORIES, {**TEA, "externalId": external_id}).problem == code
    assert api.post(OF_ADA, {"memory": "x", "externalId": external_id}).problem == code
    if external_id:
        assert api.put(path(external_id), TEA).problem == code
        assert api.get(of_ada(external_id)).problem == code


def test_a_put_that_changes_nothing_makes_no_version(api: Api) -> None:
    first = api.put(path("one"), TEA)
    again = api.put(path("one"), TEA)
    assert (again.status, again.json) == (200, first.json)
    assert api.put(of_ada("one"), {"memory": "x"}).json == api.put(of_ada("one"), {"memory": "x"}).json


def test_a_put_replaces_all_that_was_said(api: Api) -> None:
    more = {"importance": 90, "tags": ["a"], "metadata": {"x": 1}, "participantId": "p", "contentType": "fact"}
    api.put(path("one"), {**TEA, **more})
    plain = api.put(path("one"), TEA).json
    assert (plain["importance"], plain["tags"], plain["metadata"], plain["contentType"]) == (50, [], {}, "custom")
    assert "participantId" not in plain


def test_a_put_expects_a_version_or_none(api: Api) -> None:
    assert api.put(path("one"), TEA, if_match='"1"').status == 412
    assert api.put(path("one"), TEA, if_match='"0"').status == 201
    assert api.put(path("one"), TEA, if_match='"0"').status == 412
    assert api.put(path("one"), {**TEA, "content": "x"}, if_match='"2"').status == 412
    assert api.put(path("one"), {**TEA, "content": "x"}, if_match='"1"').json["version"] == 2


def test_a_put_with_its_key_again_gets_the_first_answer(api: Api) -> None:
    created = api.put(path("one"), TEA, idempotency_key="a")
    replaced = api.put(path("one"), {**TEA, "content": "x"}, idempotency_key="b")
    unchanged = api.put(path("one"), {**TEA, "content": "x"}, idempotency_key="c")
    api.put(path("one"), {**TEA, "content": "y"})
    for first, key, content in ((created, "a", "Likes tea."), (replaced, "b", "x"), (unchanged, "c", "x")):
        again = api.put(path("one"), {**TEA, "content": content}, idempotency_key=key)
        assert is_replay(again)
        assert again.status == first.status
        assert api.put(path("one"), {**TEA, "content": "z"}, idempotency_key=key).problem[1] == "IDEMPOTENCY_KEY_REUSED"
    assert found(api, "one")["content"] == "y"
    assert api.put(path("two"), TEA, idempotency_key="a").status == 201
    assert api.put(path("one"), {**TEA, "userId": "bob"}, idempotency_key="a").status == 201


@pytest.mark.parametrize(
    "owner", [{"userId": "bob"}, {"memorySpaceId": "home"}, {"agentId": "guide"}, {"userId": None, "agentId": "guide"}]
)
def test_an_external_id_is_one_of_its_owner_alone(api: Api, owner: dict[str, Any]) -> None:
    other = {name: value for name, value in {**TEA, "content": "other", **owner}.items() if value is not None}
    first = api.put(path("one"), TEA).json
    second = api.put(path("one"), other)
    assert second.status == 201
    names = ("memorySpaceId", "userId", "agentId")
    query = "&".join(f"{name}={other[name]}" for name in names if name in other)
    assert found(api, "one", query)["memoryId"] == second.json["memoryId"]
    assert found(api, "one")["memoryId"] == first["memoryId"]


def test_an_external_id_is_one_of_its_user_alone(api: Api) -> None:
    api.put(of_ada("one"), {"memory": "of Ada"})
    assert api.put("/v1/users/bob/memories/by-external-id/one", {"memory": "of Bob"}).status == 201
    assert api.get(of_ada("one")).json["memory"] == "of Ada"
    assert found(api, "one") is None


def test_a_memory_is_looked_for_with_its_owner(api: Api) -> None:
    assert api.get(path("one")).problem == (422, "MISSING_REQUIRED_FIELD", "memorySpaceId")
    assert api.get(f"{path('one')}?memorySpaceId=work").problem == (422, "OWNER_REQUIRED", "userId")
    assert api.get(f"{path('one')}?memorySpaceId=work&userId=ada&x=1").problem == (422, "UNKNOWN_FIELD", "x")
    assert api.delete(f"{path('one')}?memorySpaceId=work").problem == (422, "OWNER_REQUIRED", "userId")
    assert api.delete(f"{path('one')}?memorySpaceId=work&userId=ada").problem[:2] == (404, "MEMORY_NOT_FOUND")
    assert api.put(path("one"), {**TEA, "externalId": "one"}).problem == (422, "INVALID_FORMAT", "externalId")


@pytest.mark.parametrize(
    ("route", "body", "other"),
    [(MEMORIES, TEA, {"content": "x"}), (OF_ADA, {"memory": "Likes tea.", "topics": ["a"]}, {"memory": "x"})],
)
def test_a_created_memory_of_a_known_external_id_is_the_stored_one_or_refused(
    api: Api, route: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    own = {**body, "externalId": "a/1"}
    first = api.post(route, own)
    again = api.post(route, own)
    assert (again.status, again.json, is_replay(again)) == (201, first.json, True)
    assert api.post(route, {**own, **other}).problem == TAKEN
    assert api.post(route, {**own, "metadata": {"x": 1}}).problem == TAKEN
    changed = api.patch(f"{route}/{quote(first.json['memoryId'], safe='')}", other)
    assert api.post(route, own).json["version"] == changed.json["version"] == 2
    assert api.delete(f"{route}/{quote(first.json['memoryId'], safe='')}").status == 204
    assert api.post(route, own).json["memoryId"] != first.json["memoryId"]


def test_keys_reach_no_further_than_their_spaces(api: Api) -> None:
    api.put(path("one"), TEA)
    api.put(of_ada("two"), {"memory": "x", "memorySpaceId": "work"})
    stranger = api.limited(spaces={"home"})
    assert stranger.get(f"{path('one')}?memorySpaceId=work&userId=ada").status == 404
    assert stranger.put(path("one"), TEA).status == 404
    assert stranger.delete(f"{path('one')}?memorySpaceId=work&userId=ada").status == 404
    assert stranger.get(of_ada("two")).status == 404
    assert stranger.delete(of_ada("two")).status == 404
    assert stranger.put(of_ada("two"), {"memory": "y", "memorySpaceId": "home"}).problem == TAKEN
    assert api.put(of_ada("two"), {"memory": "y", "memorySpaceId": "home"}).problem == TAKEN
    assert api.get(of_ada("two")).json["memory"] == "x"
    assert api.limited(scopes={"read"}).put(path("one"), TEA).status == 403
    assert api.limited(scopes={"read", "write"}).delete(of_ada("two")).status == 403


def test_an_archived_memory_keeps_its_external_id(api: Api) -> None:
    memory = api.put(path("one"), TEA).json
    api.post(f"{MEMORIES}/{memory['memoryId']}/archive")
    assert found(api, "one")["status"] == "archived"
    assert api.put(path("one"), {**TEA, "content": "x"}).json["status"] == "archived"


def test_lists_searches_and_exports_show_external_ids(api: Api, tmp_path: Path) -> None:
    with embedded_index(tmp_path) as stream:
        api.put(path("a/1"), TEA)
        api.put(of_ada("b/2"), {"memory": "Likes green tea.", "memorySpaceId": "work"})
        stream.deliver()
        listed = {each.get("externalId") for each in api.get(f"{MEMORIES}?memorySpaceId=work").json["items"]}
        hits = api.post("/v1/memory/search", {"memorySpaceId": "work", "query": "tea"}).json["items"]
        exported = api.get(f"{MEMORIES}/export?format=json&memorySpaceId=work").json["memories"]
        table = api.get(f"{MEMORIES}/export?format=csv&memorySpaceId=work").body.decode()
    assert listed == {"a/1", "b/2"}
    assert {hit.get("externalId") for hit in hits} == {"a/1", "b/2"}
    assert {each["externalId"] for each in exported} == {"a/1", "b/2"}
    assert "a/1" in table


def test_all_memories_of_a_space_are_cleared_those_of_its_users_too(api: Api, tmp_path: Path) -> None:
    with embedded_index(tmp_path) as stream:
        for number in range(6):
            of_user = f"/v1/users/user-{number}/memories/by-external-id/{number}"
            api.put(of_user, {"memory": "x", "memorySpaceId": "work"})
            api.put(path(str(number)), TEA)
        kept = api.put(of_ada("kept"), {"memory": "y", "memorySpaceId": "home"}).json
        stream.deliver()
        everything = {"memorySpaceId": "work", "all": True, "confirm": True}
        assert api.post(f"{MEMORIES}/delete-many", everything).json["count"] == 12
    assert api.get("/v1/users/user-3/memories").json["items"] == []
    assert api.get(OF_ADA).json["items"] == [kept]
    assert pointers(api) == 1


def test_an_erased_user_leaves_no_external_id(api: Api, tmp_path: Path) -> None:
    with embedded_index(tmp_path):
        api.put(path("one"), TEA)
        api.put(of_ada("two"), {"memory": "x"})
        assert pointers(api) == 2
        assert api.delete("/v1/users/ada").status in (200, 202)
    assert pointers(api) == 0
    assert api.get(of_ada("two")).status == 404


def test_a_redaction_takes_a_memory_with_its_external_id_along(api: Api, tmp_path: Path) -> None:
    turn = {**ADA, "conversationId": "c", "userMessage": "q", "agentResponse": "a"}
    with embedded_index(tmp_path):
        api.post("/v1/memory/remember", turn)
        ref = {"conversationRef": {"conversationId": "c", "messageIds": ["msg-001"]}}
        assert api.put(path("one"), {**TEA, **ref}).status == 201
        assert api.post("/v1/conversations/c/messages/msg-001/redact", {"reason": "asked"}).status == 200
        assert found(api, "one") is None
        assert pointers(api) == 0
        assert api.put(path("one"), {**TEA, **ref}).problem[:2] == (410, "MESSAGE_REDACTED")


def test_a_pointer_to_a_memory_that_is_lost_gives_way_to_a_new_one(api: Api) -> None:
    memory = api.put(path("one"), TEA).json
    key = to_item({"pk": f"T#{api.caller.tenant}#M#{memory['memoryId']}", "sk": "M#"})
    client().delete_item(TableName=settings().state_table, Key=key)
    assert found(api, "one") is None
    assert api.post(MEMORIES, {**TEA, "externalId": "one"}).status == 201
    assert found(api, "one")["content"] == "Likes tea."
