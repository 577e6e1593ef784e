"""Tokens and keys over HTTP: a server that takes an issuer's tokens, and how a key is changed for another."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.asking import create, eventually, history, key_of, listed, path_of, problem, say, unique
from tests.e2e.servers import Server, start_server, stop_server
from tests.fakes.issuer import Issuer, new_ec_key, new_rsa_key, to_jwk
from tests.fakes.servers import serving


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving(Issuer()) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts the issuer."""
    env = {"JWT_ISSUER": issuer.url, "JWT_AUDIENCE": "annals", "JWT_SPACES_CLAIM": "spaces", "AUTHORIZER_CACHE_S": "1"}
    process, running = start_server(tmp_path_factory.mktemp("annals"), **env)
    yield running
    assert stop_server(process) == 0
    log = (running.data / "server.log").read_text()
    assert "eyJ" not in log


def bearer(server: Server, issuer: Issuer, **claims: object) -> httpx.Client:
    return server.client(issuer.token(**{"spaces": ["home"], "scope": "read write", **claims}))


def test_a_token_writes_and_reads_in_its_tenant_and_a_key_does_so_beside_it(trusting: Server, issuer: Issuer) -> None:
    with bearer(trusting, issuer) as ada, trusting.client() as root:
        made = create(ada)
        say(ada, made, "from a token")
        assert [message["content"] for message in history(ada, made)] == ["from a token"]
        assert problem(root.get(path_of(made)))[:2] == (404, "CONVERSATION_NOT_FOUND")
        assert root.get("/v1/keys").status_code == 200


def test_a_token_does_what_its_scopes_say_in_the_spaces_it_names(trusting: Server, issuer: Issuer) -> None:
    tenant = unique("tenant")
    with bearer(trusting, issuer, tenant=tenant) as owner:
        made = create(owner)
        eventually(lambda: listed(owner) == [made])
    with bearer(trusting, issuer, tenant=tenant, scope="read") as reader:
        assert reader.get(path_of(made)).status_code == 200
        assert problem(reader.post(path_of(made, "seal")))[:2] == (403, "FORBIDDEN")
        assert problem(reader.get("/v1/keys"))[:2] == (403, "FORBIDDEN")
    with bearer(trusting, issuer, tenant=tenant, spaces=["elsewhere"]) as other:
        assert problem(other.get(path_of(made)))[:2] == (404, "CONVERSATION_NOT_FOUND")
        assert listed(other) == []
    with bearer(trusting, issuer, tenant=unique("tenant")) as foreign:
        assert problem(foreign.get(path_of(made)))[:2] == (404, "CONVERSATION_NOT_FOUND")


def test_an_expired_or_foreign_or_forged_token_is_401(trusting: Server, issuer: Issuer) -> None:
    right = {"spaces": ["home"]}
    for token in (
        issuer.token(exp=1, **right),
        issuer.token(iss="https://issuer.example", **right),
        issuer.token(aud="other", **right),
        issuer.token(tenant=None, **right),
        issuer.token(new_rsa_key(), **right),
        issuer.token(new_rsa_key(), kid="unknown", **right),
        issuer.token(**right)[:-4],
        issuer.token(),
    ):
        with trusting.client(token) as nobody:
            assert problem(nobody.get("/v1/conversations"))[:2] == (401, "UNAUTHORIZED")


def test_a_new_signing_key_is_taken_without_a_restart(trusting: Server, issuer: Issuer) -> None:
    with bearer(trusting, issuer) as before:
        assert before.get("/v1/conversations").status_code == 200
    new = new_ec_key()
    issuer.listed.append(to_jwk(new, "second"))
    with trusting.client(issuer.token(new, kid="second", spaces=["home"])) as after:
        eventually(lambda: after.get("/v1/conversations").status_code == 200)


def test_a_streamed_route_takes_a_token_too(trusting: Server, issuer: Issuer) -> None:
    turn = {"memorySpaceId": "home", "userId": "ada", "userMessage": "hello"}
    with bearer(trusting, issuer) as ada:
        answer = ada.post("/v1/memory/remember-stream", json=turn)
        assert "event: result" in answer.text
    with bearer(trusting, issuer, scope="read") as reader:
        assert problem(reader.post("/v1/memory/remember-stream", json=turn))[:2] == (403, "FORBIDDEN")


def test_a_key_is_changed_for_another_without_a_gap_and_the_old_one_stops_within_the_cache_s_time(
    trusting: Server,
) -> None:
    tenant = unique("tenant")
    with trusting.client() as root:
        admin = key_of(root, tenant, ("read", "admin"))
    with trusting.client(admin) as owner, trusting.client(key_of(owner, tenant, ("read",))) as old:
        assert old.get("/v1/conversations").status_code == 200
        with trusting.client(key_of(owner, tenant, ("read",))) as new:
            assert {client.get("/v1/conversations").status_code for client in (old, new)} == {200}
            known = {key["keyId"] for key in owner.get("/v1/keys").json()["items"]}
            (old_id,) = known & set(old.headers["authorization"].split("."))
            assert owner.delete(f"/v1/keys/{old_id}").status_code == 204
            # Each process of the authorizer forgets it by itself.
            eventually(lambda: {old.get("/v1/conversations").status_code for _ in range(20)} == {401})
            assert new.get("/v1/conversations").status_code == 200
