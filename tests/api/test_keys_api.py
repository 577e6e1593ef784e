"""Keys, and the authorizer that knows whom one stands for."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annals.access import bearer_tokens
from annals.access.caller import SCOPES, Caller
from annals.database.dynamodb import client
from annals.settings import settings as annals_settings
from annals.times import now_ms, to_rfc3339
from tests.conftest import Setting
from tests.support import stack
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

ARN = "arn:aws:execute-api:eu-west-1:000000000000:abc123/prod/GET/v1/conversations/x"
READ = {"name": "reader", "scopes": ["read"]}


def _authorize(**headers: str) -> dict[str, Any]:
    event = {"methodArn": ARN, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}
    answer: dict[str, Any] = stack.function("authorizer").handler(event, None)
    return answer


def _caller(key: str) -> Caller:
    return Caller.from_authorizer(_authorize(Authorization=f"Bearer {key}")["context"])


def _require_unauthorized(**headers: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        _authorize(**headers)


@pytest.fixture
def forgetful() -> Any:
    """An authorizer that has seen no key yet."""
    authorizer = stack.function("authorizer")
    authorizer._seen.clear()
    authorizer.root_key.cache_clear()
    yield authorizer
    authorizer._seen.clear()
    authorizer.root_key.cache_clear()


def test_a_key_is_shown_once_and_stands_for_what_it_was_made_for(api: Api) -> None:
    made = api.post("/v1/keys", {**READ, "memorySpaces": ["work"]})
    assert made.status == 201
    caller = _caller(made.json["key"])
    assert caller == Caller(api.caller.tenant, made.json["keyId"], frozenset({"read"}), frozenset({"work"}))
    (listed,) = api.get("/v1/keys").json["items"]
    assert "key" not in listed
    assert (listed["keyId"], listed["scopes"], listed["memorySpaces"]) == (made.json["keyId"], ["read"], ["work"])


def test_a_request_sent_again_makes_no_second_key_and_is_told_of_the_first(api: Api) -> None:
    made = api.post("/v1/keys", READ, idempotency_key="once").json

    again = api.post("/v1/keys", READ, idempotency_key="once")

    assert again.problem == (409, "KEY_ALREADY_MADE", "Idempotency-Key")
    assert made["keyId"] in again.json["detail"]
    assert made["key"] not in again.body.decode()
    assert len(api.get("/v1/keys").json["items"]) == 1
    other = api.post("/v1/keys", {**READ, "name": "other"}, idempotency_key="once")
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    assert api.post("/v1/keys", READ, idempotency_key="twice").status == 201


def test_what_marks_a_request_for_a_key_does_not_hold_its_secret(api: Api, tenant: str) -> None:
    text = api.post("/v1/keys", READ, idempotency_key="once").json["key"]

    items = client().scan(TableName=annals_settings().state_table)["Items"]
    assert any(item["pk"]["S"].startswith(f"T#{tenant}#I#") for item in items)
    assert text.rpartition(".")[2] not in str(items)


@pytest.mark.parametrize("header", ["Authorization", "authorization", "x-api-key", "X-Api-Key"])
def test_a_key_may_come_in_either_header(api: Api, header: str) -> None:
    key = api.post("/v1/keys", READ).json["key"]
    text = key if "pi" in header else f"bearer  {key}"
    assert _authorize(**{header: text})["principalId"] == key.split(".")[2]


def test_an_allowed_caller_is_allowed_the_whole_stage(api: Api) -> None:
    answer = _authorize(x_api_key=api.post("/v1/keys", READ).json["key"])
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == "arn:aws:execute-api:eu-west-1:000000000000:abc123/prod/*"
    assert all(isinstance(value, str) for value in answer["context"].values())


def test_no_key_and_what_is_none_are_unauthorized() -> None:
    _require_unauthorized()
    for text in ("", "x", "annals", "annals.a.b.c", "annals...", "Bearer", "annals.%.key-0.s", "annals.éé.k.s", "😀"):
        _require_unauthorized(Authorization=f"Bearer {text}")
        _require_unauthorized(x_api_key=text)
    _require_unauthorized(Authorization="Basic dXNlcjpwYXNz")


def test_a_key_that_is_too_long_for_the_table_is_unauthorized() -> None:
    tenant = urlsafe_b64encode(b"x" * 3000).decode()
    for text in (f"annals.{tenant}.key-{'0' * 16}.s", f"annals.eA.{'k' * 2000}.s", "annals.eA.key-%.s"):
        _require_unauthorized(x_api_key=text)


@settings(max_examples=20)
@given(st.text(max_size=30))
def test_no_made_up_text_is_a_key(moto: None, text: str) -> None:
    _require_unauthorized(x_api_key=text)


def test_a_key_with_one_part_changed_is_unauthorized(api: Api) -> None:
    prefix, tenant, key_id, secret = api.post("/v1/keys", READ).json["key"].split(".")
    other = urlsafe_b64encode(b"another").decode().rstrip("=")
    for parts in ((prefix, other, key_id, secret), (prefix, tenant, "key-0", secret), (prefix, tenant, key_id, "s")):
        _require_unauthorized(x_api_key=".".join(parts))
    _require_unauthorized(x_api_key=".".join((prefix, tenant, key_id, secret[:-1])))


@pytest.mark.usefixtures("forgetful")
def test_a_revoked_key_works_no_longer_once_the_cache_has_forgotten_it(api: Api, setting: Setting) -> None:
    setting("AUTHORIZER_CACHE_S", "60")
    made = api.post("/v1/keys", READ).json
    assert _caller(made["key"])
    revoked = api.delete(f"/v1/keys/{made['keyId']}")
    assert (revoked.status, revoked.body) == (204, b"")
    assert _caller(made["key"])
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", lambda: started + 61)
        _require_unauthorized(x_api_key=made["key"])
    assert api.get("/v1/keys").json["items"][0]["revokedAt"]


@pytest.mark.usefixtures("forgetful")
def test_an_expired_key_works_no_longer_even_where_it_was_just_seen(api: Api) -> None:
    now = now_ms()
    made = api.post("/v1/keys", {**READ, "expiresAt": now + 5_000}).json
    assert _caller(made["key"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time_ns", lambda: (now + 5_001) * 1_000_000)
        _require_unauthorized(x_api_key=made["key"])


def test_the_root_key_has_every_scope_in_the_root_tenant(forgetful: Any, setting: Setting) -> None:
    setting("ROOT_KEY", "the-root-key")
    setting("ROOT_TENANT", "home")
    assert _caller("the-root-key") == Caller("home", "root", frozenset(SCOPES))
    _require_unauthorized(x_api_key="the-root-kez")


@pytest.fixture
def root_secret(forgetful: Any, setting: Setting) -> str:
    """The ARN of a secret that holds the root key."""
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    arn: str = secrets.create_secret(Name=f"root-{time.time_ns()}", SecretString="root-1")["ARN"]
    setting("ROOT_KEY", arn)
    return arn


def _rotate(arn: str, to: str) -> None:
    boto3.client("secretsmanager", region_name="eu-west-1").put_secret_value(SecretId=arn, SecretString=to)


def test_a_new_root_key_is_taken_at_once_and_the_old_one_refused_in_time(root_secret: str) -> None:
    assert _caller("root-1").key_id == "root"
    _rotate(root_secret, "root-2")
    assert _caller("root-1").key_id == "root", "the process knows it for a while"
    assert _caller("root-2").key_id == "root"
    _require_unauthorized(x_api_key="root-1")


def test_the_old_root_key_is_refused_once_its_time_is_over_though_nobody_uses_the_new_one(root_secret: str) -> None:
    assert _caller("root-1").key_id == "root"
    _rotate(root_secret, "root-2")
    later = time.monotonic() + annals_settings().secret_max_age_s
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", lambda: later)
        _require_unauthorized(x_api_key="root-1")


def test_keys_need_no_root_key_and_do_not_ask_for_it(api: Api, forgetful: Any, setting: Setting) -> None:
    setting("ROOT_KEY", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:gone-AbCdEf")
    key = api.post("/v1/keys", READ).json["key"]
    assert _caller(key).tenant == api.caller.tenant
    _require_unauthorized(x_api_key=key[:-1])


def test_guesses_do_not_make_the_secret_be_read_each_time(root_secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    monkeypatch.setattr("annals.secret._fetch", lambda arn: reads.append(arn) or "root-1")
    for number in range(10):
        _require_unauthorized(x_api_key=f"guess-{number}")
    assert len(reads) == 2
    assert _caller("root-1").key_id == "root"


@pytest.mark.usefixtures("forgetful")
def test_no_root_key_is_not_an_empty_one() -> None:
    _require_unauthorized(x_api_key="")


def test_a_key_cannot_give_more_than_it_has(api: Api) -> None:
    some = api.limited(scopes={"admin", "read"}, spaces={"work"})
    for body in (
        {"name": "n", "scopes": ["write"]},
        {**READ, "memorySpaces": ["home"]},
        {**READ, "memorySpaces": ["work", "home"]},
        {**READ, "tenant": "another"},
    ):
        assert some.post("/v1/keys", body).problem[:2] == (403, "FORBIDDEN"), body
    assert some.post("/v1/keys", READ).json["memorySpaces"] == ["work"]
    assert some.post("/v1/keys", {**READ, "tenant": api.caller.tenant}).status == 201


def _lasting(api: Api, ms: int, **more: Any) -> Api:
    """The same client with a key or token that works for so long from now on."""
    return Api(replace(api.caller, expires_at=now_ms() + ms, **more))


def test_a_key_gives_no_more_time_than_it_has(api: Api) -> None:
    short = _lasting(api, 6_000)
    until = short.caller.expires_at
    assert until
    for later in (until + 1, until + 3_600_000, "9999-12-31T23:59:59Z"):
        assert short.post("/v1/keys", {**READ, "expiresAt": later}).problem == (403, "FORBIDDEN", "expiresAt")
    assert short.post("/v1/keys", READ).json["expiresAt"] == to_rfc3339(until)
    for sooner in (until, until - 1_000):
        assert short.post("/v1/keys", {**READ, "expiresAt": sooner}).json["expiresAt"] == to_rfc3339(sooner)
    assert short.post("/v1/keys", {**READ, "expiresAt": 1_000_000_000}).problem[1] == "INVALID_DATE_RANGE"
    assert "expiresAt" not in api.post("/v1/keys", READ).json


def test_a_key_whose_time_ends_while_its_request_is_under_way_makes_none(api: Api) -> None:
    late = _lasting(api, -1)
    assert late.post("/v1/keys", READ).problem == (403, "FORBIDDEN", "expiresAt")
    assert late.post("/v1/keys", {**READ, "expiresAt": now_ms() + 5_000}).problem == (403, "FORBIDDEN", "expiresAt")


def test_an_operator_whose_time_ends_gives_no_more_of_it_to_other_tenants(api: Api) -> None:
    operator = _lasting(api, 6_000, scopes=frozenset(SCOPES))
    made = operator.post("/v1/keys", {**READ, "tenant": "yet-another"}).json
    assert made["expiresAt"] == to_rfc3339(operator.caller.expires_at or 0)


def test_a_key_s_time_reaches_the_functions_and_the_keys_that_it_makes(api: Api) -> None:
    until = now_ms() + 60_000
    maker = _caller(api.post("/v1/keys", {"name": "m", "scopes": ["admin", "read"], "expiresAt": until}).json["key"])
    assert maker.expires_at == until
    made = _caller(Api(maker).post("/v1/keys", READ).json["key"])
    assert made.expires_at == until
    assert _caller(api.post("/v1/keys", READ).json["key"]).expires_at is None


def test_a_token_makes_keys_that_end_with_it(api: Api) -> None:
    exp = now_ms() // 1000 + 900
    token = {"sub": "ada", "tenant": api.caller.tenant, "scope": "admin read", "exp": exp}
    caller = bearer_tokens._to_caller(token)
    assert caller
    passed_on = Api(Caller.from_authorizer(caller.to_authorizer()))
    made = passed_on.post("/v1/keys", READ).json
    assert (made["expiresAt"], made["createdBy"]) == (to_rfc3339(1000 * exp), "token:ada")
    later = {**READ, "expiresAt": 1000 * exp + 1}
    assert passed_on.post("/v1/keys", later).problem == (403, "FORBIDDEN", "expiresAt")


def test_a_token_without_end_makes_keys_as_far_as_times_go(api: Api) -> None:
    caller = bearer_tokens._to_caller({"sub": "a", "tenant": api.caller.tenant, "scope": "admin read", "exp": 10**18})
    assert caller
    assert Api(caller).post("/v1/keys", READ).json["expiresAt"] == "9999-12-31T23:59:59.000Z"


def test_who_made_a_key_is_told_in_the_answer_and_in_the_list(api: Api) -> None:
    made = api.post("/v1/keys", {"name": "m", "scopes": ["admin", "read"]}).json
    child = Api(_caller(made["key"])).post("/v1/keys", READ).json
    by = {key["keyId"]: key["createdBy"] for key in api.get("/v1/keys").json["items"]}
    assert (made["createdBy"], child["createdBy"]) == (api.caller.key_id, made["keyId"])
    assert by == {made["keyId"]: api.caller.key_id, child["keyId"]: made["keyId"]}


def test_keys_that_a_revoked_key_made_work_on(api: Api) -> None:
    made = api.post("/v1/keys", {"name": "m", "scopes": ["admin", "read"]}).json
    child = Api(_caller(made["key"])).post("/v1/keys", READ).json
    api.delete(f"/v1/keys/{made['keyId']}")
    assert _caller(child["key"]).key_id == child["keyId"]


def test_a_key_from_before_makers_were_kept_is_listed_without_one(api: Api) -> None:
    api.post("/v1/keys", READ)
    (item,) = [
        item
        for item in client().scan(TableName=annals_settings().state_table)["Items"]
        if item["pk"]["S"] == f"T#{api.caller.tenant}#K"
    ]
    client().put_item(
        TableName=annals_settings().state_table,
        Item={name: value for name, value in item.items() if name not in ("createdBy", "writeId")},
    )
    (listed,) = api.get("/v1/keys").json["items"]
    assert "createdBy" not in listed


def test_no_key_is_given_the_scope_operator(api: Api) -> None:
    operator = api.limited(scopes=set(SCOPES))
    response = operator.post("/v1/keys", {"name": "n", "scopes": ["operator"]})
    assert response.problem == (422, "INVALID_FORMAT", "scopes[0]")


def test_an_operator_makes_keys_for_other_tenants(api: Api) -> None:
    made = api.limited(scopes=set(SCOPES)).post("/v1/keys", {**READ, "tenant": "another"}).json
    assert _caller(made["key"]).tenant == "another"
    assert api.get("/v1/keys").json["items"] == []


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"name": " "}, "MISSING_REQUIRED_FIELD", "name"),
        ({"scopes": []}, "EMPTY_ARRAY", "scopes"),
        ({"scopes": ["fly"]}, "INVALID_FORMAT", "scopes[0]"),
        ({"memorySpaces": []}, "EMPTY_ARRAY", "memorySpaces"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_DATE_RANGE", "expiresAt"),
        ({"key": "mine"}, "UNKNOWN_FIELD", "key"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_field(api: Api, more: dict[str, Any], code: str, field: str) -> None:
    assert api.post("/v1/keys", {**READ, **more}).problem == (422, code, field)


def test_keys_need_the_scope_admin(api: Api) -> None:
    for answer in (
        api.limited(scopes={"read", "write", "erase"}).post("/v1/keys", READ),
        api.limited(scopes={"read"}).get("/v1/keys"),
        api.limited(scopes={"read"}).delete("/v1/keys/key-1"),
    ):
        assert answer.problem == (403, "FORBIDDEN", None)


def test_another_tenant_s_keys_are_not_there(api: Api) -> None:
    made = api.post("/v1/keys", READ).json
    other = Api.of("another-one")
    assert other.get("/v1/keys").json["items"] == []
    assert other.delete(f"/v1/keys/{made['keyId']}").problem[:2] == (404, "KEY_NOT_FOUND")
    assert api.delete("/v1/keys/none").problem[:2] == (404, "KEY_NOT_FOUND")
    assert "revokedAt" not in api.get("/v1/keys").json["items"][0]


LOOKALIKES = ["x#C#conv-1", "a%23C%23b", "..", "%2e%2e%2f", "T#acme#C#conv-1", "%", "%25", "a b", "ü"]


@pytest.mark.parametrize("lookalike", LOOKALIKES)
def test_a_tenant_that_looks_like_another_s_key_stays_inside_its_own(api: Api, lookalike: str) -> None:
    body = {"type": "agent-agent", "participants": {"agents": ["a", "b"]}}
    assert api.post("/v1/conversations", {**body, "conversationId": "conv-1"}).status == 201
    other = Api.of(f"{api.caller.tenant}{lookalike}")
    assert other.get("/v1/conversations/conv-1").status == 404
    assert other.post("/v1/conversations", {**body, "conversationId": "conv-1"}).status == 201
    assert other.post("/v1/conversations/conv-1/messages", {"role": "user", "content": "mine"}).status == 201
    assert api.get("/v1/conversations/conv-1").json["messageCount"] == 0


def test_an_id_that_looks_like_another_tenant_s_key_stays_inside_one_s_own() -> None:
    body = {"type": "agent-agent", "participants": {"agents": ["a", "b"]}}
    assert Api.of("x").post("/v1/conversations", {**body, "conversationId": "y"}).status == 201
    for path in ("x%23C%23y", "%23C%23y", "..%2Fy", "T%23x%23C%23y"):
        assert Api.of("w").get(f"/v1/conversations/{path}").status in (404, 422)
    assert Api.of("x#C#y").get("/v1/conversations/y").status == 404


DAMAGED_KEYS: dict[str, dict[str, Any]] = {
    "a digest that is text": {"digest": {"S": "none"}},
    "no digest": {"digest": None},
    "scopes that are text": {"scopes": {"S": "admin"}},
    "scopes that are numbers": {"scopes": {"L": [{"N": "1"}]}},
    "spaces that are nothing": {"spaces": {"NULL": True}},
    "spaces that are text": {"spaces": {"S": "home"}},
    "an end that is text": {"validUntil": {"S": "never"}},
    "a revocation that is text": {"revokedAt": {"S": "never"}},
    "no time": {"createdAt": None},
    "another tenant": {"tenant": {"S": "somebody-else"}},
    "another key": {"keyId": {"S": "key-0000000000000000"}},
}


@pytest.mark.parametrize("name", DAMAGED_KEYS)
def test_a_damaged_key_lets_nobody_in_is_left_out_of_the_list_and_can_be_revoked(
    name: str, api: Api, forgetful: Any
) -> None:
    made, other = (api.post("/v1/keys", {"name": "k", "scopes": ["read"]}).json for _ in range(2))
    table, key = (
        annals_settings().state_table,
        {"pk": {"S": f"T#{api.caller.tenant}#K"}, "sk": {"S": f"K#{made['keyId']}"}},
    )
    item: Any = {**client().get_item(TableName=table, Key=key)["Item"], **DAMAGED_KEYS[name]}
    client().put_item(TableName=table, Item={name: value for name, value in item.items() if value is not None})
    _require_unauthorized(Authorization=f"Bearer {made['key']}")
    assert _caller(other["key"]).key_id == other["keyId"]
    assert [each["keyId"] for each in api.get("/v1/keys").json["items"]] == [other["keyId"]]
    assert api.limited(spaces={"home"}).delete(f"/v1/keys/{made['keyId']}").status == 404
    assert api.delete(f"/v1/keys/{made['keyId']}").status == 204
    assert "revokedAt" in client().get_item(TableName=table, Key=key)["Item"]
    assert api.delete("/v1/keys/key-ffffffffffffffff").status == 404
