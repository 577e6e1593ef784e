"""Documents: JSON values under keys, over the function's real events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from annals.database.dynamodb import client
from annals.settings import settings
from tests.conftest import Setting
from tests.support.api import Api, Reply
from tests.support.blobs import blobs_in, files_of, no_compression

pytestmark = pytest.mark.usefixtures("moto")

DOCUMENTS = "/v1/documents"
LARGE = {"text": no_compression(500_000).hex()}
OWNERS = [{"userId": "ada"}, {"memorySpaceId": "space"}, {"agentId": "bot"}, {"conversationId": "c"}, {}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, setting: Setting) -> Path:
    blobs_in(tmp_path / "blobs", setting)
    return tmp_path / "blobs"


@pytest.fixture(autouse=True)
def conversation(api: Api, folder: Path) -> None:
    participants = {"userId": "ada", "memorySpaceId": "space"}
    api.post("/v1/conversations", {"conversationId": "c", "type": "user-agent", "participants": participants})


def address(key: str = "k", *namespace: str, **owner: str) -> dict[str, Any]:
    return {"collection": "state", "namespace": [*namespace], "key": key, **owner}


def put(api: Api, value: Any, key: str = "k", *namespace: str, **more: Any) -> Reply:
    return api.put(DOCUMENTS, {**address(key, *namespace), "value": value, **more})


def query(named: dict[str, Any]) -> str:
    return f"{DOCUMENTS}?{urlencode({**named, 'namespace': json.dumps(named['namespace'])})}"


def get(api: Api, key: str = "k", *namespace: str, **owner: str) -> Reply:
    return api.get(query(address(key, *namespace, **owner)))


def delete(api: Api, key: str = "k", *namespace: str, **owner: str) -> Reply:
    return api.delete(query(address(key, *namespace, **owner)))


def batch(api: Api, *operations: dict[str, Any], **more: Any) -> Any:
    answer = api.post(f"{DOCUMENTS}/batch", {"operations": [*operations], **more})
    assert answer.status == 200, answer.json
    return answer.json["results"]


def listed(api: Api, **request: Any) -> list[Any]:
    """The keys of a list with their namespaces, page by page."""
    keys: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.post(f"{DOCUMENTS}/list", {"collection": "state", **request, **cursor})
        assert page.status == 200, page.json
        keys += [(*item["namespace"], item["key"]) for item in page.json["items"]]
        if "nextCursor" not in page.json:
            return keys
        cursor = {"cursor": page.json["nextCursor"]}


def expire(key: str = "k") -> None:
    """Let a document run out, which DynamoDB does not delete yet."""
    for item in client().scan(TableName=settings().state_table)["Items"]:
        if item["sk"]["S"].startswith("DOC#") and item["sk"]["S"].endswith(f"#{key}"):
            item["expiresAt"] = {"N": "1700000000"}
            client().put_item(TableName=settings().state_table, Item=item)


VALUES = [None, "", 0, 1.5, False, [], {}, {"a": [{"b": None}], "é": "\u2028"}, ["word " * 99] * 99, LARGE]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back_as_it_was_stored(api: Api, value: Any) -> None:
    put(api, value)

    found = get(api)

    assert found.json["value"] == value
    assert type(found.json["value"]) is type(value)
    assert found.headers["etag"] == '"1"'


@pytest.mark.parametrize("owner", OWNERS)
def test_documents_of_different_owners_never_meet(api: Api, owner: dict[str, str]) -> None:
    for each in OWNERS:
        put(api, each, **each)

    found = get(api, **owner).json

    assert found["value"] == owner
    assert {name: found[name] for name in found if name.endswith("Id")} == owner
    assert delete(api, **owner).json == {"deleted": True}
    assert sum(get(api, **each).status == 200 for each in OWNERS) == len(OWNERS) - 1


LONG = ["é" * 256, "x" * 256, "#%/ ", "a##b", *["ünïcödé-label-of-some-length-or-other"] * 12]


def test_an_address_may_be_as_long_as_it_likes(api: Api) -> None:
    key = "ключ/" * 100 + "%~#"
    put(api, 1, key, *LONG)
    put(api, 2, key[:-1], *LONG)

    assert get(api, key, *LONG).json["value"] == 1
    assert batch(api, {"op": "get", **address(key[:-1], *LONG)})[0]["document"]["value"] == 2
    assert sorted(listed(api, namespacePrefix=LONG[:3])) == sorted([(*LONG, key), (*LONG, key[:-1])])
    assert listed(api, namespace=LONG, keyPrefix=key) == [(*LONG, key)]


def test_versions_count_the_changes(api: Api) -> None:
    first = put(api, 1)
    second = put(api, 2)

    assert (first.status, first.json["version"], second.status, second.json["version"]) == (201, 1, 200, 2)
    assert second.json["createdAt"] == first.json["createdAt"]
    assert "value" not in second.json


@pytest.mark.parametrize(("expected", "current"), [(0, 2), (1, 2), (3, 2)])
def test_a_write_on_another_version_is_refused_with_the_stored_one(api: Api, expected: int, current: int) -> None:
    put(api, 1)
    put(api, 2)

    refused = put(api, 3, ifVersion=expected)

    assert refused.problem == (412, "PRECONDITION_FAILED", "ifVersion")
    assert refused.json["current"] == current
    assert get(api).json["value"] == 2


def test_a_write_on_the_stored_version_succeeds(api: Api) -> None:
    assert put(api, 1, ifVersion=0).json["version"] == 1
    assert put(api, 2, ifVersion=1).json["version"] == 2
    assert put(api, 2, "other", ifVersion=1).json["current"] == 0


def test_a_write_that_is_sent_again_is_done_once(api: Api) -> None:
    for value in (1, LARGE):
        first = api.put(DOCUMENTS, {**address(), "value": value}, idempotency_key=f"key {value == 1}")
        again = api.put(DOCUMENTS, {**address(), "value": value}, idempotency_key=f"key {value == 1}")
        assert again.json == first.json
    body = {**address("new"), "value": 1, "ifVersion": 0}
    assert api.put(DOCUMENTS, body, idempotency_key="n").json == api.put(DOCUMENTS, body, idempotency_key="n").json


def test_a_document_that_ran_out_is_not_there(api: Api) -> None:
    put(api, 1, ttlSeconds=60)
    expire()

    assert get(api).problem == (404, "DOCUMENT_NOT_FOUND", None)
    assert delete(api).json == {"deleted": False}


@pytest.mark.parametrize("condition", [{}, {"ifVersion": 0}])
def test_what_is_stored_in_the_place_of_one_that_ran_out_is_new(api: Api, condition: dict[str, int]) -> None:
    put(api, 1, ttlSeconds=60)
    put(api, 2, ttlSeconds=60)
    expire()

    stored = put(api, 3, **condition)

    assert (stored.status, stored.json["version"]) == (201, 1)
    assert get(api).json["value"] == 3
    assert "expiresAt" not in get(api).json


def test_a_read_may_have_a_document_s_time_begin_anew(api: Api) -> None:
    stored = put(api, 1, ttlSeconds=60).json
    for item in client().scan(TableName=settings().state_table)["Items"]:
        if item["sk"]["S"].startswith("DOC#"):
            item["expiresAt"] = {"N": str(int(item["expiresAt"]["N"]) - 30)}
            client().put_item(TableName=settings().state_table, Item=item)

    assert get(api).json["expiresAt"] < stored["expiresAt"]
    assert api.get(query(address()) + "&refreshTtl=true").json["expiresAt"] >= stored["expiresAt"]
    assert get(api).json["expiresAt"] >= stored["expiresAt"]


def test_a_deleted_document_is_gone_with_its_blob(api: Api, folder: Path) -> None:
    put(api, LARGE)
    put(api, LARGE)
    assert len(files_of(folder)) == 1

    assert delete(api).json == {"deleted": True}
    assert delete(api).json == {"deleted": False}
    assert not files_of(folder)
    assert get(api).status == 404


def test_only_the_version_that_is_meant_is_deleted(api: Api) -> None:
    put(api, 1)
    put(api, 2)

    refused = api.delete(query(address()), if_match='"1"')

    assert (refused.status, refused.json["current"]) == (412, 2)
    assert api.delete(query(address()), if_match='"2"').json == {"deleted": True}


def test_a_small_value_takes_the_place_of_a_large_one(api: Api, folder: Path) -> None:
    put(api, LARGE)
    put(api, 1)

    assert get(api).json["value"] == 1
    assert not files_of(folder)


def test_a_batch_does_its_operations_in_their_order(api: Api) -> None:
    results = batch(
        api,
        {"op": "get", **address()},
        {"op": "put", **address(), "value": 1},
        {"op": "put", **address("other"), "value": [1]},
        {"op": "get", **address()},
        {"op": "put", **address(), "value": 2, "ifVersion": 7},
        {"op": "delete", **address()},
        {"op": "get", **address()},
    )

    assert results[0] == {}
    assert [results[1]["document"]["version"], results[2]["document"]["version"]] == [1, 1]
    assert results[3]["document"]["value"] == 1
    assert (results[4]["error"]["status"], results[4]["error"]["current"]) == (412, 1)
    assert results[5:] == [{"deleted": True}, {}]


def test_an_atomic_batch_is_done_as_a_whole_or_not_at_all(api: Api, folder: Path) -> None:
    put(api, 1, "a")
    operations = [
        {"op": "put", **address("a"), "value": 2, "ifVersion": 1},
        {"op": "put", **address("b"), "value": LARGE, "ifVersion": 0},
        {"op": "delete", **address("c")},
    ]

    results = batch(api, *operations, atomic=True)

    assert [results[0]["document"]["version"], results[1]["document"]["version"]] == [2, 1]
    assert results[2] == {"deleted": False}
    refused = api.post(f"{DOCUMENTS}/batch", {"operations": [*operations[1:], operations[0]], "atomic": True})
    assert (refused.status, refused.json["current"]) == (412, 1)
    assert get(api, "a").json["value"] == 2
    assert len(files_of(folder)) == 1


def test_an_atomic_batch_that_is_sent_again_is_done_once(api: Api, folder: Path) -> None:
    operations = [{"op": "put", **address(key), "value": LARGE, "ifVersion": 0} for key in "ab"]
    body = {"operations": operations, "atomic": True}

    first = api.post(f"{DOCUMENTS}/batch", body, idempotency_key="once")
    again = api.post(f"{DOCUMENTS}/batch", body, idempotency_key="once")

    assert again.json == first.json
    assert len(files_of(folder)) == 2
    assert get(api, "b").json["value"] == LARGE


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "get", **address()}],
        [{"op": "put", **address(), "value": 1}, {"op": "delete", **address()}],
    ],
)
def test_an_atomic_batch_takes_writes_on_different_documents(api: Api, operations: list[Any]) -> None:
    refused = api.post(f"{DOCUMENTS}/batch", {"operations": operations, "atomic": True})

    assert refused.problem[0] == 422


def test_an_atomic_batch_replaces_what_ran_out(api: Api) -> None:
    put(api, 1, ttlSeconds=60)
    expire()

    [result] = batch(api, {"op": "put", **address(), "value": 2, "ifVersion": 0}, atomic=True)

    assert result["document"]["version"] == 1


def fill(api: Api) -> None:
    for namespace, key in [((), "r"), (("a",), "1"), (("a",), "2"), (("a", "b"), "1"), (("ab",), "1"), (("c",), "1")]:
        put(api, {"n": key, "tags": [*namespace]}, key, *namespace)
    api.put(DOCUMENTS, {**address("1", "a"), "collection": "stat", "value": 0})


EVERY = [("r",), ("a", "1"), ("a", "2"), ("a", "b", "1"), ("ab", "1"), ("c", "1")]


@pytest.mark.parametrize(
    ("request_body", "keys"),
    [
        ({}, EVERY),
        ({"namespacePrefix": []}, EVERY),
        ({"namespacePrefix": ["a"]}, EVERY[1:4]),
        ({"namespacePrefix": ["a"], "order": "desc"}, EVERY[3:0:-1]),
        ({"namespace": ["a"]}, EVERY[1:3]),
        ({"namespace": ["a"], "keyPrefix": "2"}, EVERY[2:3]),
        ({"keyPrefix": "r"}, EVERY[:1]),
        ({"namespace": []}, EVERY[:1]),
        ({"namespacePrefix": ["a", "b", "c"]}, []),
        ({"filter": {"n": "1"}}, [EVERY[1], *EVERY[3:]]),
        ({"filter": {"tags": {"$contains": "a"}, "n": {"$ne": "2"}}}, [EVERY[1], EVERY[3]]),
        ({"filter": {"$or": [{"n": "r"}, {"n": {"$gt": "1"}}]}, "includeValues": False}, [EVERY[0], EVERY[2]]),
    ],
)
@pytest.mark.parametrize("limit", [2, 50])
def test_a_list_shows_what_is_in_its_range(api: Api, request_body: dict[str, Any], keys: list[Any], limit: int) -> None:
    fill(api)

    assert sorted(listed(api, limit=limit, **request_body)) == sorted(keys)
    if "order" in request_body:
        assert listed(api, limit=limit, **request_body) == keys


def test_a_list_ends_at_its_limit_and_comes_without_values_where_they_are_not_asked_for(api: Api) -> None:
    fill(api)

    page = api.post(f"{DOCUMENTS}/list", {"collection": "state", "limit": 3, "includeValues": False}).json

    assert len(page["items"]) == 3
    assert all("value" not in item for item in page["items"])
    assert "nextCursor" in page


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    fill(api)
    cursor = api.post(f"{DOCUMENTS}/list", {"collection": "state", "limit": 2}).json["nextCursor"]

    other = api.post(f"{DOCUMENTS}/list", {"collection": "state", "namespace": ["a"], "cursor": cursor})

    assert other.problem == (422, "INVALID_CURSOR", "cursor")


def test_a_list_leaves_out_what_ran_out(api: Api) -> None:
    fill(api)
    expire("1")

    assert listed(api, limit=1) == [("r",), ("a", "2")]
    assert api.post(f"{DOCUMENTS}/namespaces", {"collection": "state"}).json["items"] == [[], ["a"]]


def test_a_list_has_room_for_as_many_values_as_an_answer_takes(api: Api, setting: Setting) -> None:
    setting("MAX_PAGE_BYTES", "1200000")
    for key in "abc":
        put(api, LARGE, key)

    page = api.post(f"{DOCUMENTS}/list", {"collection": "state"}).json

    assert [item["key"] for item in page["items"]] == ["a"]
    assert listed(api) == [("a",), ("b",), ("c",)]
    results = batch(api, *[{"op": "get", **address(key)} for key in "abc"])
    assert [result.keys() for result in results] == [{"document"}, {"omitted"}, {"omitted"}]


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({}, [[], ["a"], ["a", "b"], ["ab"], ["c"]]),
        ({"prefix": ["a"]}, [["a"], ["a", "b"]]),
        ({"prefix": ["*", "b"]}, [["a", "b"]]),
        ({"suffix": ["b"]}, [["a", "b"]]),
        ({"maxDepth": 1}, [[], ["a"], ["ab"], ["c"]]),
        ({"suffix": ["b"], "maxDepth": 1}, [["a"]]),
        ({"prefix": ["a", "b", "c"]}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 50])
def test_namespaces_are_those_with_documents(
    api: Api, request_body: dict[str, Any], expected: list[Any], limit: int
) -> None:
    fill(api)
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.post(f"{DOCUMENTS}/namespaces", {"collection": "state", "limit": limit, **request_body, **cursor})
        found += page.json["items"]
        if "nextCursor" not in page.json:
            break
        cursor = {"cursor": page.json["nextCursor"]}

    assert sorted(found) == sorted(expected)


def test_what_is_below_a_namespace_is_deleted_and_nothing_else(api: Api, folder: Path) -> None:
    fill(api)
    put(api, LARGE, "large", "a")

    deleted = api.post(f"{DOCUMENTS}/delete-many", {"collection": "state", "namespacePrefix": ["a"]}).json

    assert deleted == {"count": 4, "done": True}
    assert sorted(listed(api)) == sorted([EVERY[0], *EVERY[4:]])
    assert not files_of(folder)


WRONG: list[tuple[dict[str, Any], str, str | None]] = [
    ({"key": ""}, "INVALID_FORMAT", "key"),
    ({"key": "k" * 513}, "INVALID_FORMAT", "key"),
    ({"key": "a\nb"}, "INVALID_ID_FORMAT", "key"),
    ({"namespace": ["a", ""]}, "INVALID_FORMAT", "namespace[1]"),
    ({"namespace": ["a"] * 17}, "INVALID_RANGE", "namespace"),
    ({"namespace": "a"}, "INVALID_FORMAT", "namespace"),
    ({"collection": " "}, "MISSING_REQUIRED_FIELD", "collection"),
    ({"ttlSeconds": 0}, "INVALID_RANGE", "ttlSeconds"),
    ({"ifVersion": -1}, "INVALID_RANGE", "ifVersion"),
    ({"agentId": "a", "memorySpaceId": "b"}, "INVALID_FORMAT", None),
    ({"other": 1}, "UNKNOWN_FIELD", "other"),
]


@pytest.mark.parametrize(("wrong", "code", "field"), WRONG)
def test_what_cannot_be_an_address_is_refused_and_nothing_is_stored(
    api: Api, wrong: dict[str, Any], code: str, field: str | None
) -> None:
    refused = api.put(DOCUMENTS, {**address(), "value": 1, **wrong})

    assert refused.problem == (422, code, field)
    assert listed(api) == []


def test_a_value_must_be_said(api: Api) -> None:
    assert api.put(DOCUMENTS, address()).problem == (422, "MISSING_REQUIRED_FIELD", "value")


def test_a_value_that_no_answer_could_hold_is_refused(api: Api, folder: Path) -> None:
    assert put(api, ['"' * 100] * 15_500).problem == (413, "REQUEST_TOO_LARGE", "value")
    assert put(api, "x" * 4_100_000).problem == (413, "REQUEST_TOO_LARGE", "value")
    assert not files_of(folder)


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"a": {"$near": 1}}, "filter.a"),
        ({"a": {"$in": 1}}, "filter.a"),
        ({"a": None}, "filter.a"),
        ({"$or": {"a": 1}}, "filter"),
    ],
)
def test_a_filter_that_says_nothing_that_can_be_met_is_refused(api: Api, conditions: Any, field: str) -> None:
    refused = api.post(f"{DOCUMENTS}/list", {"collection": "state", "filter": conditions})

    assert refused.problem == (422, "INVALID_FILTER", field)


def test_a_conversation_s_documents_go_with_it(api: Api, folder: Path) -> None:
    put(api, LARGE, conversationId="c")
    put(api, 1, "of byron", conversationId="c", userId="byron")

    assert api.delete("/v1/conversations/c").status == 200

    left = str(
        [item for item in client().scan(TableName=settings().state_table)["Items"] if "RECEIPT" not in str(item)]
    )
    assert "state" not in left
    assert "byron" not in left
    assert not files_of(folder)
    for answer in (get(api, conversationId="c"), put(api, 1, conversationId="c"), delete(api, conversationId="c")):
        assert answer.problem[:2] == (410, "CONVERSATION_ERASED")
    for route in ("list", "namespaces", "delete-many"):
        refused = api.post(f"{DOCUMENTS}/{route}", {"collection": "state", "conversationId": "c"})
        assert refused.problem[:2] == (410, "CONVERSATION_ERASED")
    operation = {"op": "get", **address(conversationId="c")}
    assert api.post(f"{DOCUMENTS}/batch", {"operations": [operation]}).status == 410


def test_a_document_of_no_conversation_is_refused(api: Api) -> None:
    assert put(api, 1, conversationId="nowhere").problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert listed(api) == []


def test_a_user_s_data_is_no_other_user_s(api: Api) -> None:
    put(api, "ada's", agentId="bot", userId="ada")

    assert put(api, "byron's", agentId="bot", userId="byron").problem == (409, "DOCUMENT_OF_ANOTHER", "userId")
    assert get(api, agentId="bot", userId="byron").status == 404
    assert delete(api, agentId="bot", userId="byron").json == {"deleted": False}
    assert listed(api, agentId="bot", userId="byron") == []
    assert listed(api, agentId="bot", userId="ada") == [("k",)]
    assert get(api, agentId="bot").json["value"] == "ada's"
    atomic = {"op": "put", **address(agentId="bot", userId="byron"), "value": 1}
    refused = api.post(f"{DOCUMENTS}/batch", {"operations": [atomic], "atomic": True})
    assert refused.problem[:2] == (409, "DOCUMENT_OF_ANOTHER")


def test_a_document_that_is_nobody_s_any_more_outlives_who_it_was(api: Api) -> None:
    put(api, 1, agentId="bot", userId="ada")
    put(api, 2, agentId="bot")

    api.delete("/v1/users/ada")

    assert get(api, agentId="bot").json["value"] == 2


def test_a_key_for_spaces_opens_their_documents_alone(api: Api) -> None:
    for owner in OWNERS:
        put(api, 1, **owner)
    inside, outside = api.limited(spaces={"space"}), api.limited(spaces={"other"})

    assert [get(inside, **owner).status for owner in OWNERS] == [403, 200, 403, 200, 403]
    assert [put(outside, 2, **owner).status for owner in OWNERS] == [403, 404, 403, 404, 403]
    for owner in OWNERS:
        listing = {"collection": "state", **owner}
        for route in ("list", "namespaces", "delete-many"):
            assert outside.post(f"{DOCUMENTS}/{route}", listing).status in (403, 404)
        assert outside.post(f"{DOCUMENTS}/batch", {"operations": [{"op": "get", **address(**owner)}]}).status in (
            403,
            404,
        )
    assert all(get(api, **owner).json["value"] == 1 for owner in OWNERS)


@pytest.mark.parametrize(("scope", "kind"), [("read", "get"), ("write", "put"), ("erase", "delete")])
def test_each_operation_takes_its_scope(api: Api, scope: str, kind: str) -> None:
    limited = api.limited(scopes={"read", "write", "erase"} - {scope})
    operation = {"op": kind, **address(), **({"value": 1} if kind == "put" else {})}

    assert limited.post(f"{DOCUMENTS}/batch", {"operations": [operation]}).problem[:2] == (403, "FORBIDDEN")
    assert {"get": get(limited), "put": put(limited, 1), "delete": delete(limited)}[kind].status == 403


def test_personal_data_in_values_is_masked(api: Api, setting: Setting) -> None:
    setting("PII_REDACTION", "patterns")

    put(api, {"mail": ["ada@example.org"], "n": 1})

    assert get(api).json["value"] == {"mail": ["[EMAIL]"], "n": 1}


def test_a_damaged_document_is_named_and_left_out_of_lists_and_can_be_deleted(api: Api) -> None:
    put(api, 1)
    for item in client().scan(TableName=settings().state_table)["Items"]:
        if item["sk"]["S"].startswith("DOC#"):
            client().put_item(TableName=settings().state_table, Item={**item, "value": {"N": "5"}})

    assert get(api).problem[:2] == (409, "ITEM_DAMAGED")
    put(api, 1, "l")
    assert listed(api) == [("l",)]
    assert delete(api).json == {"deleted": True}
    put(api, 2)
    assert get(api).json["value"] == 2


def test_a_namespace_in_a_query_is_a_list_of_labels(api: Api) -> None:
    for text in ("travel", '{"a": 1}', "[1]"):
        refused = api.get(f"{DOCUMENTS}?{urlencode({'collection': 'state', 'key': 'k', 'namespace': text})}")
        assert refused.status == 422
        assert refused.json["field"].startswith("namespace")


def test_a_deletion_of_no_version_deletes_nothing(api: Api) -> None:
    put(api, 1)

    assert api.delete(query(address()), if_match='"0"').problem[:2] == (412, "PRECONDITION_FAILED")
    assert get(api).status == 200
