"""Cursors on every route that gives them: what they hide, and who may not use them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from zlib import crc32

import pytest

from local.template import ROOT
from tests.support.api import Api
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("module_moto")

LISTS = {
    "/v1/conversations": ("type=user-agent", "type=agent-agent"),
    "/v1/conversations?sortBy=createdAt&sortOrder=asc": ("type=user-agent", "status=active"),
    "/v1/conversations?sortBy=messageCount": ("type=user-agent", "messageCountMin=0"),
    "/v1/conversations/one/messages": ("roles=user", "roles=assistant"),
    "/v1/conversations/one/messages?order=asc": ("includeArchived=true", "since=2020-01-01T00:00:00Z"),
    "/v1/memories": ("userId=ada", "tags=x"),
    "/v1/facts": ("userId=ada", "subject=Ada"),
    "/v1/users/ada/memories": ("topic=x", "agentId=a"),
    "/v1/users/ada/memories?order=asc": ("topic=x", "memorySpaceId=home"),
    "/v1/memories/mem:one:1/versions": (),
    "/v1/conversations/one/runs": ("status=running", "order=asc"),
    "/v1/keys": (),
}
"""The lists, each with filters that no cursor of the plain list goes with."""

RECEIPT = "/v1/receipts/{receiptId}"
"""What else has pages: of a hundred conversations."""

ADA = {"userId": "ada", "memorySpaceId": "home"}


@pytest.fixture(scope="module")
def filled(module_moto: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A client of a tenant with something in each of the lists, for all tests: none changes anything."""
    api = Api.of("tenant-of-cursors")
    with embedded_index(tmp_path_factory.mktemp("index")) as stream:
        for name in ("one", "two", "three"):
            new = {"type": "user-agent", "conversationId": name, "participants": ADA}
            assert api.post("/v1/conversations", new).status == 201
        for number in range(4):
            new_message = {"role": "user", "content": f"message {number}"}
            assert api.post("/v1/conversations/one/messages", new_message).status == 201
            fact = {"fact": f"Ada has {number}.", "subject": f"Ada {number}", "predicate": "has", "object": str(number)}
            assert api.post("/v1/facts", {**ADA, **fact}).status == 201
            assert (
                api.post("/v1/users/ada/memories", {"memory": f"likes {number}", "memorySpaceId": "home"}).status == 201
            )
            assert api.patch("/v1/memories/mem:one:1", {"importance": number}).status == 200
            assert api.put(f"/v1/conversations/one/runs/run-{number}", {"status": "running"}).status == 201
            for spaces in ({}, {"memorySpaces": ["home"]}):
                assert api.post("/v1/keys", {"name": f"key {number}", "scopes": ["read"], **spaces}).status == 201
        stream.deliver()
        yield api


def page(api: Api, path: str, *more: str):
    plain, _, query = path.partition("?")
    return api.get(f"{plain}?{'&'.join(part for part in (query, 'limit=1', *more) if part)}")


def test_the_lists_are_all_there_are() -> None:
    schema = json.loads((ROOT / "openapi.json").read_text())
    declared = {
        path.replace("{conversationId}", "one").replace("{userId}", "ada").replace("{memoryId}", "mem:one:1")
        for path, operations in schema["paths"].items()
        for operation in operations.values()
        if "cursor" in {each["name"] for each in operation.get("parameters", ())}
    }
    assert declared == {path.partition("?")[0] for path in LISTS} | {RECEIPT}


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_walks_a_list_to_its_end_and_tells_nothing(filled: Api, path: str) -> None:
    answer, items_seen = page(filled, path), 0
    for _ in range(12):
        assert answer.status == 200, answer.body
        items_seen += len(answer.json["items"])
        if "nextCursor" not in answer.json:
            break
        cursor = answer.json["nextCursor"]
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        hidden = ("one", "two", "three", "ada", "home", "mem", "fact", filled.caller.tenant, "T#")
        assert not [word for word in hidden if len(word) > 2 and word.encode() in raw]
        assert len(cursor) < 400
        answer = page(filled, path, f"cursor={cursor}")
    assert items_seen >= 3


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_goes_with_no_other_question_key_or_tenant(filled: Api, path: str) -> None:
    cursor = f"cursor={page(filled, path).json['nextCursor']}"
    refusal = (422, "INVALID_CURSOR", "cursor")
    for condition in LISTS[path]:
        assert page(filled, path, condition, cursor).problem == refusal
    for other in LISTS:
        if other.partition("?")[0] != path.partition("?")[0]:
            assert page(filled, other, cursor).problem == refusal
    assert page(filled.limited(spaces={"home"}), path, cursor).problem == refusal
    narrow = page(filled.limited(spaces={"home", "work"}), path).json["nextCursor"]
    assert page(filled.limited(spaces={"home"}), path, f"cursor={narrow}").problem == refusal
    stranger = Api.of(f"{filled.caller.tenant}-other")
    of_strangers = page(stranger, path, cursor)
    assert of_strangers.status == 404 if "/one" in path else of_strangers.problem == refusal


def test_a_cursor_goes_with_no_other_order(filled: Api) -> None:
    for path, order, other in [
        ("/v1/conversations", "sortOrder=asc", "sortOrder=desc"),
        ("/v1/conversations", "sortBy=createdAt", "sortBy=updatedAt"),
        ("/v1/conversations/one/messages", "order=asc", "order=desc"),
        ("/v1/conversations/one/messages", "after=1", "after=2"),
        ("/v1/conversations/one/messages", "before=4", "before=3"),
        ("/v1/conversations/one/messages", "offset=1", "offset=2"),
        ("/v1/users/ada/memories", "order=asc", "order=desc"),
    ]:
        cursor = page(filled, path, order).json["nextCursor"]
        assert page(filled, path, order, f"cursor={cursor}").status == 200
        assert page(filled, path, other, f"cursor={cursor}").problem == (422, "INVALID_CURSOR", "cursor")


def test_a_history_s_cursor_goes_with_no_other_conversation_or_user(filled: Api) -> None:
    cursor = page(filled, "/v1/conversations/one/messages").json["nextCursor"]
    assert page(filled, "/v1/conversations/two/messages", f"cursor={cursor}").problem[1] == "INVALID_CURSOR"
    cursor = page(filled, "/v1/users/ada/memories").json["nextCursor"]
    assert page(filled, "/v1/users/bob/memories", f"cursor={cursor}").problem[1] == "INVALID_CURSOR"


def test_a_history_s_cursor_alone_brings_its_own_direction(filled: Api) -> None:
    path = "/v1/conversations/one/messages"
    cursor = page(filled, path, "order=desc").json["nextCursor"]
    assert [each["seq"] for each in page(filled, path, f"cursor={cursor}").json["items"]] == [3]


def test_a_restricted_key_reads_nothing_of_other_spaces_in_a_cursor(tenant: str) -> None:
    api = Api.of(tenant)
    for number in range(6):
        space = "abc"[number % 3]
        participants = {"userId": "ada", "memorySpaceId": space}
        new = {"type": "user-agent", "conversationId": f"secret-{space}-{number}", "participants": participants}
        assert api.post("/v1/conversations", new).status == 201
    restricted, items_seen = api.limited(spaces={"a", "b"}), []
    for sort_by in ("createdAt", "lastMessageAt", "updatedAt", "messageCount"):
        query = f"sortBy={sort_by}"
        answer = page(restricted, f"/v1/conversations?{query}")
        while cursor := answer.json.get("nextCursor"):
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            assert b"secret" not in raw
            assert len(raw) % 64 == 32, "lengths tell nothing of ids"
            answer = page(restricted, f"/v1/conversations?{query}", f"cursor={cursor}")
            items_seen += [item["participants"]["memorySpaceId"] for item in answer.json["items"]]
    assert set(items_seen) == {"a", "b"}


def test_the_pages_of_a_receipt_take_no_other_s_cursor(tenant: str, filled: Api) -> None:
    api = Api.of(tenant)
    cursor = page(filled, "/v1/keys").json["nextCursor"]
    new = {"type": "user-agent", "conversationId": "gone", "participants": ADA}
    assert api.post("/v1/conversations", new).status == 201
    for path in ("/v1/conversations/gone", "/v1/users/bob"):
        receipt = f"/v1/receipts/{api.delete(path).json['receiptId']}"
        assert api.get(receipt).status == 200
        assert api.get(f"{receipt}?cursor={cursor}").problem == (422, "INVALID_CURSOR", "cursor")


FORGED = [
    ["conversations by lastMessageAt descending", 2**70, "x"],
    ["memories", 2**70, "mem:one:1"],
    ["facts", -(2**70), "fact-1"],
    ["history", False, False, 2**70, None, 2**70],
    ["memories of ada", "x" * 3000],
]


def _as_earlier_versions_wrote(value: list[object]) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(crc32(text).to_bytes(4, "big") + text).decode().rstrip("=")


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_that_somebody_made_up_is_refused_and_breaks_nothing(filled: Api, path: str) -> None:
    for cursor in (*map(_as_earlier_versions_wrote, FORGED), "%00", "é", "A" * 5000, "[" * 3000):
        assert page(filled, path, f"cursor={cursor}").problem == (422, "INVALID_CURSOR", "cursor")
