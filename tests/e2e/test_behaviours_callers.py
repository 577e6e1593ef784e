"""Who may do what, over HTTP: keys, scopes, spaces, tenants, and requests that no route takes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local import template
from tests.e2e.asking import AGENTS, create, eventually, history, key_of, listed, path_of, problem, say, unique
from tests.e2e.servers import Server

SAID = {"role": "user", "content": "intruder"}
SEALED = {"metadata": {"seen": True}}

ON_A_CONVERSATION: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PATCH", "", SEALED),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("POST", "/messages", SAID),
    ("GET", "/messages/msg-001", None),
    ("POST", "/messages/get-many", {"messageIds": ["msg-001"]}),
    ("POST", "/messages/msg-001/redact", {"reason": "x"}),
    ("GET", "/verify", None),
    ("GET", "/context?maxTokens=100", None),
    ("GET", "/analytics", None),
    ("GET", "/export?format=json", None),
    ("POST", "/seal", None),
    ("POST", "/archive", {"before": 2}),
    ("POST", "/preamble", {"content": "x"}),
]
"""Every route of one conversation."""

LISTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/conversations", None),
    ("GET", "/v1/conversations?participants.userId=ada", None),
    ("GET", "/v1/conversations?participants.memorySpaceId=home", None),
    ("GET", "/v1/conversations?sortBy=messageCount", None),
    ("POST", "/v1/memory/search", {"query": "tulip"}),
    ("POST", "/v1/conversations/search", {"query": "tulip"}),
]
"""Routes that list what there is."""

SCOPES = {
    "read": [
        ("GET", "/v1/conversations", None),
        ("GET", "/v1/conversations/count", None),
        ("GET", "/v1/conversations/by-session?sessionId=x", None),
        ("GET", "/v1/conversations/x", None),
        ("GET", "/v1/conversations/x/messages", None),
        ("GET", "/v1/conversations/x/messages/msg-001", None),
        ("POST", "/v1/conversations/x/messages/get-many", {"messageIds": ["msg-001"]}),
        ("GET", "/v1/conversations/x/verify", None),
        ("GET", "/v1/conversations/x/runs", None),
        ("GET", "/v1/conversations/x/runs/r", None),
        ("GET", "/v1/conversations/x/context?maxTokens=1", None),
        ("GET", "/v1/conversations/x/analytics", None),
        ("POST", "/v1/memory/search", {"query": "x"}),
        ("POST", "/v1/conversations/search", {"query": "x"}),
        ("GET", "/v1/receipts/x", None),
    ],
    "write": [
        ("POST", "/v1/conversations", {"type": "agent-agent", "participants": AGENTS}),
        ("PUT", "/v1/conversations/by-participants", {"type": "agent-agent", "participants": AGENTS}),
        ("PUT", "/v1/conversations/by-session", {"sessionId": "x"}),
        ("PATCH", "/v1/conversations/x", {"metadata": {}}),
        ("POST", "/v1/conversations/x/messages", SAID),
        ("PUT", "/v1/conversations/x/runs/r", {"status": "x"}),
        ("POST", "/v1/conversations/x/seal", None),
        ("POST", "/v1/conversations/x/archive", {"before": 1}),
        ("POST", "/v1/conversations/x/preamble", {"content": "x"}),
        ("POST", "/v1/a2a/messages", {"from": "a", "to": "b", "text": "x"}),
        (
            "POST",
            "/v1/memory/remember",
            {"memorySpaceId": "s", "userId": "u", "userMessage": "x", "agentResponse": "y"},
        ),
    ],
    "erase": [
        ("DELETE", "/v1/conversations/x/runs/r", None),
        ("DELETE", "/v1/conversations/x", None),
        ("POST", "/v1/conversations/delete-many", {"filter": {"type": "user-agent"}}),
        ("POST", "/v1/conversations/x/messages/msg-001/redact", {"reason": "x"}),
    ],
    "admin": [
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", {"name": "x", "scopes": ["read"]}),
        ("DELETE", "/v1/keys/key-0000000000000000", None),
    ],
}


ROUTES = [
    (route.method, re.sub(r"\{\w+\}", "x", route.resource)) for route in template.read().routes if route.authorized
]
"""Every route of the API, with x for each id."""


def without_keys(answer: httpx.Response) -> bool:
    return problem(answer)[:2] == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "key", ["", "wrong", "annals.bG9jYWw.key-0000000000000000.x", "annals...", "local ", "é", "x" * 5000]
)
def test_without_a_working_key_every_route_is_401(server: Server, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}".encode()} if key else {}
    if key == "local ":
        headers = {"Authorization": b"Basic local"}
    with httpx.Client(base_url=server.url, headers=headers) as nobody:
        for method, path in ROUTES:
            assert without_keys(nobody.request(method, path)), path


def test_a_token_of_nobody_we_know_is_401(server: Server) -> None:
    expired = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJ0ZW5hbnQiOiJsb2NhbCIsImV4cCI6MX0."
    assert without_keys(httpx.get(f"{server.url}/v1/conversations", headers={"Authorization": f"Bearer {expired}"}))


def test_a_revoked_key_stops_working(server: Server, api: httpx.Client) -> None:
    made = api.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()
    assert api.delete(f"/v1/keys/{made['keyId']}").status_code == 204
    with server.client(made["key"]) as revoked:
        assert without_keys(revoked.get("/v1/conversations"))
    (shown,) = [key for key in api.get("/v1/keys").json()["items"] if key["keyId"] == made["keyId"]]
    assert shown["revokedAt"]


def test_an_expired_key_stops_working(server: Server, api: httpx.Client) -> None:
    soon = time.time_ns() // 1_000_000 + 700
    with server.client(key_of(api, "local", expiresAt=soon)) as expiring:
        assert expiring.get("/v1/conversations/count").status_code == 200
        time.sleep(1)
        assert without_keys(expiring.get("/v1/conversations/count"))


def test_a_key_is_shown_once_and_its_secret_never_again(api: httpx.Client) -> None:
    made = api.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()
    assert made["key"]
    assert made["key"].rsplit(".", 1)[1] not in api.get("/v1/keys").text


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_without_the_scope_is_refused(server: Server, api: httpx.Client, scope: str) -> None:
    others = tuple({"read", "write", "erase", "admin"} - {scope})
    with server.client(key_of(api, unique("tenant"), others)) as limited:
        for method, path, body in SCOPES[scope]:
            assert problem(limited.request(method, path, json=body))[:2] == (403, "FORBIDDEN"), path


@pytest.fixture(scope="module")
def secret(server: Server) -> Iterator[tuple[httpx.Client, str, str]]:
    """A tenant, and its conversation with a secret, in a space of its own."""
    tenant = unique("tenant")
    with server.client() as root, server.client(key_of(root, tenant)) as owner:
        made = create(owner, metadata={"secret": "tulip"})
        say(owner, made, "the tulip")
        eventually(lambda: owner.post("/v1/memory/search", json={"query": "tulip"}).json()["items"])
        eventually(lambda: listed(owner) == [made])
        yield owner, made, tenant


def require_unseen(other: httpx.Client, made: str, owner: httpx.Client) -> None:
    """Every route answers as if the conversation were not there, and it stays as it is."""
    before = (owner.get(path_of(made)).json(), history(owner, made))
    nowhere = unique("nowhere")
    for method, path, body in ON_A_CONVERSATION:
        answers = [other.request(method, path_of(each) + path, json=body) for each in (made, nowhere)]
        assert problem(answers[0])[:2] == problem(answers[1])[:2] == (404, "CONVERSATION_NOT_FOUND"), path
        assert answers[0].json()["detail"].replace(made, nowhere) == answers[1].json()["detail"]
    for method, path, body in LISTS:
        assert other.request(method, path, json=body).json() == {"items": []}, path
    assert other.get("/v1/conversations/count").json() == {"count": 0}
    asked = {"filter": {"participants": {"userId": "ada"}}, "confirm": True}
    assert other.post("/v1/conversations/delete-many", json=asked).json()["count"] == 0
    assert (owner.get(path_of(made)).json(), history(owner, made)) == before


def test_another_tenant_sees_nothing_on_any_route(
    server: Server, api: httpx.Client, secret: tuple[httpx.Client, str, str]
) -> None:
    owner, made, _ = secret
    with server.client(key_of(api, unique("tenant"))) as other:
        require_unseen(other, made, owner)
        assert create(other, conversationId=made) == made  # an id is each tenant's own


def test_another_space_sees_nothing_on_any_route(
    server: Server, api: httpx.Client, secret: tuple[httpx.Client, str, str]
) -> None:
    owner, made, tenant = secret
    with server.client(key_of(api, tenant, memorySpaces=["elsewhere"])) as other:
        require_unseen(other, made, owner)


def test_a_key_of_one_space_can_write_in_no_other(server: Server, api: httpx.Client) -> None:
    with server.client(key_of(api, unique("tenant"), memorySpaces=["elsewhere"])) as limited:
        body = {"type": "user-agent", "participants": {"userId": "u", "memorySpaceId": "home"}}
        turn = {"memorySpaceId": "home", "userId": "u", "userMessage": "x", "agentResponse": "y"}
        for method, path, said in [
            ("POST", "/v1/conversations", body),
            ("PUT", "/v1/conversations/by-participants", body),
            ("PUT", "/v1/conversations/by-session", {**body, "sessionId": "s"}),
            ("PUT", "/v1/conversations/by-session", {"sessionId": "s"}),
            ("POST", "/v1/conversations", {"type": "agent-agent", "participants": {"agent1": "a", "agent2": "b"}}),
            ("POST", "/v1/a2a/messages", {"from": "a", "to": "b", "text": "x"}),
            ("POST", "/v1/a2a/messages", {"from": "a", "to": "b", "text": "x", "memorySpaceId": "home"}),
            ("POST", "/v1/memory/remember", turn),
        ]:
            assert problem(limited.request(method, path, json=said))[0] == 404, path


def test_a_receipt_is_for_its_tenant_and_its_space(server: Server, api: httpx.Client) -> None:
    tenant = unique("tenant")
    keys = [key_of(api, tenant), key_of(api, tenant, memorySpaces=["elsewhere"]), key_of(api, unique("tenant"))]
    with server.client(keys[0]) as owner, server.client(keys[1]) as spaced, server.client(keys[2]) as foreign:
        receipt = owner.delete(path_of(create(owner))).json()
        path = f"/v1/receipts/{receipt['receiptId']}"
        assert owner.get(path).json() == receipt
        for other in (spaced, foreign):
            assert problem(other.get(path))[:2] == (404, "RECEIPT_NOT_FOUND")
            assert problem(other.get(path_of(receipt["conversationId"])))[:2] == (404, "CONVERSATION_NOT_FOUND")
            assert problem(other.get(path_of(receipt["conversationId"], "verify")))[0] == 404


@pytest.mark.parametrize("name", ["tenant", "tenantId", "_tenant", "x-tenant"])
def test_a_tenant_in_query_or_body_or_header_changes_nothing(own: httpx.Client, api: httpx.Client, name: str) -> None:
    made = create(api, {"userId": unique("user"), "memorySpaceId": "home"})
    assert problem(own.get("/v1/conversations", params={name: "local"}))[0] == 422
    assert problem(own.get(path_of(made), params={name: "local"}))[0] in (404, 422)
    assert problem(own.get(path_of(made), headers={name: "local"}))[0] == 404
    for method, path, body in [
        ("POST", "/v1/conversations", {"type": "agent-agent", "participants": AGENTS}),
        ("POST", path_of(made, "messages"), SAID),
        ("POST", "/v1/memory/search", {"query": "x"}),
        ("POST", "/v1/conversations/delete-many", {"filter": {"type": "user-agent"}}),
    ]:
        assert problem(own.request(method, path, json={**body, name: "local"})) == (422, "UNKNOWN_FIELD", name), path
    answer = own.post("/v1/conversations", params={name: "local"}, json={"type": "agent-agent", "participants": AGENTS})
    assert problem(answer) == (422, "UNKNOWN_FIELD", name)


@pytest.mark.parametrize("inner", ["", "%23C%23", "#C#", "#", "%2523"])
def test_ids_that_look_like_another_tenants_key_stay_inside_ones_own(
    server: Server, api: httpx.Client, inner: str
) -> None:
    tenant = unique("t")
    with server.client(key_of(api, tenant)) as owner:
        create(owner, conversationId="secret")
        say(owner, "secret", "tulip")
        for other_tenant, asked in [
            (f"{tenant}#C#secret", "x"),
            (f"{tenant}{inner}", f"..{inner}secret"),
            (f"{tenant}%23C", "secret"),
            (f"x{tenant}", f"T#{tenant}#C#secret"),
        ]:
            if other_tenant == tenant:
                continue
            with server.client(key_of(api, other_tenant)) as other:
                assert problem(other.get(path_of(asked)))[0] == 404
                assert listed(other) == []
                create(other, conversationId=asked)
                assert history(other, asked) == []
        assert [message["content"] for message in history(owner, "secret")] == ["tulip"]


@pytest.mark.parametrize(
    "path", ["../v1/keys", "..%2F..%2Fkeys", "%2e%2e/keys", "a%2Fmessages", "%2e%2e", "%00", "%ff", "%"]
)
def test_a_path_that_climbs_opens_no_other_route(server: Server, own: httpx.Client, path: str) -> None:
    import http.client

    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.request("GET", f"/v1/conversations/{path}", headers={"Authorization": own.headers["authorization"]})
    answer = connection.getresponse()
    assert answer.status in (404, 405, 422)
    assert answer.getheader("content-type") == "application/problem+json"
    connection.close()


def test_a_key_gives_no_more_than_it_has(server: Server, api: httpx.Client) -> None:
    tenant = unique("tenant")
    with server.client(key_of(api, tenant, ("read", "admin"), memorySpaces=["home"])) as limited:
        ask = {"name": "x", "scopes": ["read"]}
        assert problem(limited.post("/v1/keys", json={**ask, "scopes": ["write"]}))[:2] == (403, "FORBIDDEN")
        assert problem(limited.post("/v1/keys", json={**ask, "memorySpaces": ["elsewhere"]}))[:2] == (403, "FORBIDDEN")
        assert problem(limited.post("/v1/keys", json={**ask, "tenant": "local"}))[:2] == (403, "FORBIDDEN")
        given = limited.post("/v1/keys", json=ask).json()
        assert (given["scopes"], given["memorySpaces"], given["tenant"]) == (["read"], ["home"], tenant)
        assert limited.post("/v1/keys", json={**ask, "tenant": tenant}).status_code == 201


def test_a_key_of_one_space_neither_sees_nor_revokes_wider_keys(server: Server, api: httpx.Client) -> None:
    tenant = unique("tenant")
    with server.client(key_of(api, tenant, ("read", "admin"))) as wide:
        wide_id = wide.get("/v1/keys").json()["items"][0]["keyId"]
        with server.client(key_of(api, tenant, ("read", "admin"), memorySpaces=["home"])) as limited:
            assert wide_id not in limited.get("/v1/keys").text
            assert problem(limited.delete(f"/v1/keys/{wide_id}"))[:2] == (404, "KEY_NOT_FOUND")
        assert wide.get("/v1/keys").status_code == 200


def test_a_key_of_another_tenant_cannot_be_revoked(server: Server, api: httpx.Client) -> None:
    key_id = api.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()["keyId"]
    with server.client(key_of(api, unique("tenant"), ("admin",))) as other:
        assert problem(other.delete(f"/v1/keys/{key_id}"))[:2] == (404, "KEY_NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"name": ""}, "MISSING_REQUIRED_FIELD", "name"),
        ({"name": 5}, "INVALID_FORMAT", "name"),
        ({"scopes": []}, "EMPTY_ARRAY", "scopes"),
        ({"scopes": ["root"]}, "INVALID_FORMAT", "scopes[0]"),
        ({"scopes": ["operator"]}, "INVALID_FORMAT", "scopes[0]"),
        ({"scopes": "read"}, "INVALID_FORMAT", "scopes"),
        ({"memorySpaces": []}, "EMPTY_ARRAY", "memorySpaces"),
        ({"memorySpaces": [""]}, "MISSING_REQUIRED_FIELD", "memorySpaces[0]"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_DATE_RANGE", "expiresAt"),
        ({"expiresAt": "soon"}, "INVALID_FORMAT", "expiresAt"),
        ({"tenant": ""}, "MISSING_REQUIRED_FIELD", "tenant"),
        ({"keyId": "x"}, "UNKNOWN_FIELD", "keyId"),
    ],
)
def test_a_key_that_cannot_be_is_refused(api: httpx.Client, change: dict[str, Any], code: str, field: str) -> None:
    answer = api.post("/v1/keys", json={"name": "x", "scopes": ["read"], **change})
    assert problem(answer) == (422, code, field)


@pytest.mark.parametrize(
    "body", ["", "{", "nul", "{'a': 1}", '{"a": NaN}', '"\\ud800"', "\ufeff{}", "[1,]", '{"a":1}}']
)
@pytest.mark.parametrize("path", ["/v1/conversations", "/v1/memory/search", "/v1/keys", "/v1/a2a/messages"])
def test_what_is_no_json_is_400(own: httpx.Client, api: httpx.Client, path: str, body: str) -> None:
    client = api if path == "/v1/keys" else own
    answer = client.post(path, content=body.encode(), headers={"Content-Type": "application/json"})
    assert problem(answer)[:2] == (400, "INVALID_JSON")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/jsonx"]
)
def test_another_content_type_is_415(own: httpx.Client, kind: str) -> None:
    for path in ("/v1/conversations", "/v1/memory/search", "/v1/conversations/delete-many", "/v1/memory/remember"):
        answer = own.post(path, content=b"{}", headers={"Content-Type": kind})
        assert problem(answer)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE"), path


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if each[0] in ("POST", "PUT", "PATCH")])
def test_a_body_over_the_limit_is_413_on_every_route_that_takes_one(own: httpx.Client, method: str, path: str) -> None:
    answer = own.request(method, path, json={"x": "y" * 10_500_000})
    assert problem(answer)[:2] == (413, "REQUEST_TOO_LARGE")


@pytest.mark.parametrize(
    "path", ["/nope", "/v1/nope", "/v1/conversations/x/y/z", "/v1/CONVERSATIONS", "/v1/messages/msg-001"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_an_unknown_route_is_404_by_any_method(own: httpx.Client, method: str, path: str) -> None:
    assert problem(own.request(method, path))[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/conversations"),
        ("POST", "/v1/conversations/x"),
        ("GET", "/v1/conversations/delete-many"),
        ("GET", "/v1/conversations/search"),
        ("DELETE", "/v1/conversations/x/messages"),
        ("PATCH", "/v1/conversations/x/messages/msg-001"),
        ("DELETE", "/v1/conversations/x/messages/msg-001"),
        ("GET", "/v1/conversations/x/seal"),
        ("POST", "/v1/conversations/x/verify"),
        ("OPTIONS", "/v1/conversations"),
        ("TRACE", "/v1/conversations/x"),
    ],
)
def test_a_method_that_a_route_does_not_take_is_405_and_names_those_that_it_does(
    own: httpx.Client, method: str, path: str
) -> None:
    for request in (path, f"{path}?nope=1"):
        answer = own.request(method, request)
        assert problem(answer)[:2] == (405, "METHOD_NOT_ALLOWED")
        assert method not in answer.headers["allow"]


def test_head_is_no_method_of_the_api(own: httpx.Client) -> None:
    answer = own.head("/v1/conversations")
    assert (answer.status_code, answer.content) == (405, b"")


def test_a_query_parameter_that_a_route_does_not_know_is_refused(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "hello")
    for method, path, body in ON_A_CONVERSATION:
        separator = "&" if "?" in path else "?"
        answer = own.request(method, f"{path_of(made)}{path}{separator}nope=1", json=body)
        assert problem(answer) == (422, "UNKNOWN_FIELD", "nope"), (method, path)
    for method, path, body in SCOPES["write"]:
        assert problem(own.request(method, f"{path}?nope=1", json=body))[0] == 422, path
    assert [message["content"] for message in history(own, made)] == ["hello"]


def test_answers_are_not_kept_by_anybody_in_between(own: httpx.Client) -> None:
    made = create(own)
    for path in ("/v1/conversations", "/v1/conversations/count", path_of(made), path_of(made, "messages")):
        assert own.get(path).headers["cache-control"] == "no-store", path
