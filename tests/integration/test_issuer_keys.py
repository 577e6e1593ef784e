"""Tokens of an OpenID Connect issuer that answers over HTTP: which ones the authorizer takes, and for whom."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from annals.access import bearer_tokens, issuer_keys
from annals.access.caller import Caller
from annals.errors import Unavailable
from annals.times import now_ms
from tests.conftest import Setting
from tests.fakes.issuer import Issuer, new_ec_key, new_rsa_key, to_jwk
from tests.fakes.servers import serving
from tests.support import stack

ARN = "arn:aws:execute-api:eu-west-1:000000000000:abc123/prod/GET/v1/conversations/x"

Clock = Callable[[float], None]


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with serving(Issuer()) as server:
        yield server


@pytest.fixture
def issuer(running: Issuer, setting: Setting) -> Iterator[Issuer]:
    """The issuer that the settings name, as it was in the beginning; the process knows none of its keys."""
    running.says, running.down, running.listed = running.url, False, [to_jwk(running.key, "first")]
    running.requests.clear()
    setting("JWT_ISSUER", running.url)
    setting("JWT_AUDIENCE", "annals")
    bearer_tokens.issuer_keys.cache_clear()
    yield running
    bearer_tokens.issuer_keys.cache_clear()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Moves the process' clock."""
    started = time.monotonic()
    return lambda seconds: monkeypatch.setattr(issuer_keys.time, "monotonic", lambda: started + seconds)


def authorize(token: str, header: str = "Authorization") -> dict[str, Any]:
    text = f"Bearer {token}" if header == "Authorization" else token
    answer: dict[str, Any] = stack.function("authorizer").handler({"methodArn": ARN, "headers": {header: text}}, None)
    return answer


def caller_of(token: str) -> Caller:
    return Caller.from_authorizer(authorize(token)["context"])


def require_unauthorized(token: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(token)


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_token_speaks_for_its_tenant_with_the_scopes_that_are_known(issuer: Issuer) -> None:
    caller = caller_of(issuer.token())
    assert caller == Caller("acme", "token:ada", frozenset({"read", "write"}), expires_at=caller.expires_at)
    assert caller.expires_at is not None
    assert caller.expires_at > now_ms()


def test_a_token_in_either_header_is_taken(issuer: Issuer) -> None:
    assert authorize(issuer.token(), "x-api-key")["principalId"] == "token:ada"


def test_a_token_of_an_elliptic_curve_key_is_taken(issuer: Issuer) -> None:
    key = new_ec_key()
    issuer.listed.append(to_jwk(key, "curve"))
    assert caller_of(issuer.token(key, kid="curve")).tenant == "acme"


def test_no_token_gives_the_scope_operator(issuer: Issuer) -> None:
    assert caller_of(issuer.token(scope="operator read root *")).scopes == {"read"}


def test_a_token_without_a_known_scope_may_do_nothing(issuer: Issuer) -> None:
    for scope in (None, "", "openid", 5, {"read": True}, ["READ"]):
        assert caller_of(issuer.token(scope=scope)).scopes == frozenset()


@pytest.mark.parametrize(
    ("claim", "prefix", "said"),
    [
        ("scp", "", {"scp": ["read", "erase"]}),
        ("cognito:groups", "", {"cognito:groups": ["read", "erase", "others"]}),
        ("scope", "annals/", {"scope": "annals/read annals/erase other/write admin"}),
    ],
)
def test_scopes_are_read_from_the_claim_that_the_settings_name(
    issuer: Issuer, setting: Setting, claim: str, prefix: str, said: dict[str, Any]
) -> None:
    setting("JWT_SCOPES_CLAIM", claim)
    setting("JWT_SCOPE_PREFIX", prefix)
    assert caller_of(issuer.token(**{"scope": None, **said})).scopes == {"read", "erase"}


@pytest.mark.parametrize("spaces", [["home", "work"], "home work"])
def test_a_token_opens_the_spaces_that_its_claim_lists(issuer: Issuer, setting: Setting, spaces: Any) -> None:
    setting("JWT_SPACES_CLAIM", "spaces")
    assert caller_of(issuer.token(spaces=spaces)).spaces == {"home", "work"}


@pytest.mark.parametrize("spaces", [None, [], "", 5, [5], {"home": True}])
def test_where_a_token_must_name_spaces_one_that_names_none_is_refused(
    issuer: Issuer, setting: Setting, spaces: Any
) -> None:
    setting("JWT_SPACES_CLAIM", "spaces")
    require_unauthorized(issuer.token(spaces=spaces))


def test_the_tenant_is_read_from_the_claim_that_the_settings_name(issuer: Issuer, setting: Setting) -> None:
    setting("JWT_TENANT_CLAIM", "custom:tenant")
    assert caller_of(issuer.token(**{"custom:tenant": "elsewhere"})).tenant == "elsewhere"


@pytest.mark.parametrize("tenant", [None, "", " ", 5, ["acme"], {"acme": 1}, "x" * 129])
def test_a_token_that_names_no_tenant_is_refused(issuer: Issuer, tenant: Any) -> None:
    require_unauthorized(issuer.token(tenant=tenant))


@pytest.mark.parametrize("audience", ["annals", ["other", "annals"], ["mobile"]])
def test_a_token_for_one_of_the_audiences_is_taken(issuer: Issuer, setting: Setting, audience: Any) -> None:
    setting("JWT_AUDIENCE", "annals, mobile")
    assert caller_of(issuer.token(aud=audience))


def test_an_access_token_without_an_audience_is_for_its_client(issuer: Issuer) -> None:
    assert caller_of(issuer.token(aud=None, client_id="annals"))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "other"},
        {"aud": ["other", "annals2"]},
        {"aud": []},
        {"aud": None},
        {"aud": None, "client_id": "other"},
        {"aud": "other", "client_id": "annals"},
        {"aud": 5},
        {"iss": "https://issuer.example"},
        {"iss": None},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"sub": None},
        {"sub": 5},
    ],
)
def test_a_token_for_another_or_of_another_or_without_an_end_is_refused(
    issuer: Issuer, changed: dict[str, Any]
) -> None:
    require_unauthorized(issuer.token(**changed))


def test_clocks_may_differ_by_a_minute_and_no_more(issuer: Issuer) -> None:
    now = int(time.time())
    for near in ({"exp": now - 30}, {"iat": now + 30}, {"nbf": now + 30}):
        assert caller_of(issuer.token(**near)), near
    for far in ({"exp": now - 90}, {"iat": now + 90}, {"nbf": now + 90}):
        require_unauthorized(issuer.token(**far))


def test_a_token_that_another_key_signed_is_refused(issuer: Issuer) -> None:
    require_unauthorized(issuer.token(new_rsa_key()))
    require_unauthorized(issuer.token(new_ec_key()))


def test_a_token_that_was_changed_is_refused(issuer: Issuer) -> None:
    header, _, signature = issuer.token().split(".")
    require_unauthorized(".".join((header, encoded(issuer.claims(tenant="another")), signature)))
    require_unauthorized(".".join((header, encoded(issuer.claims()), "")))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_an_unsigned_token_is_refused(issuer: Issuer, algorithm: str) -> None:
    header = encoded({"alg": algorithm, "typ": "JWT", "kid": "first"})
    require_unauthorized(f"{header}.{encoded(issuer.claims())}.")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_secret_to_sign_with(issuer: Issuer, algorithm: str) -> None:
    public = issuer.key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{encoded({'alg': algorithm, 'kid': 'first'})}.{encoded(issuer.claims())}"
    signature = hmac.new(pem, signed.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    require_unauthorized(f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


def test_a_shared_secret_among_the_keys_verifies_nothing(issuer: Issuer) -> None:
    issuer.listed.append({"kty": "oct", "kid": "shared", "k": encoded({"any": "secret"}), "alg": "HS256"})
    signed = f"{encoded({'alg': 'HS256', 'kid': 'shared'})}.{encoded(issuer.claims())}"
    secret = base64.urlsafe_b64decode(issuer.listed[-1]["k"] + "==")
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    require_unauthorized(f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


def test_a_key_for_encryption_or_another_algorithm_or_of_too_few_bits_verifies_nothing(issuer: Issuer) -> None:
    for more in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "unknown"}, {"n": "!"}):
        issuer.listed.append(to_jwk(issuer.key, str(more), **more))
    weak = new_rsa_key(1024)
    issuer.listed.append(to_jwk(weak, "weak"))
    for listed in issuer.listed[1:]:
        require_unauthorized(issuer.token(weak if listed["kid"] == "weak" else None, kid=listed["kid"]))
    assert caller_of(issuer.token())


@pytest.mark.parametrize("header", [{"kid": ""}, {"crit": ["exp"]}, {"crit": ["b64"], "b64": False}])
def test_a_token_whose_header_asks_for_what_is_not_known_is_refused(issuer: Issuer, header: dict[str, Any]) -> None:
    require_unauthorized(issuer.token(header=header))


def test_a_token_that_names_no_key_is_refused(issuer: Issuer) -> None:
    require_unauthorized(issuer.token(kid=None))


def test_a_key_that_the_token_brings_along_verifies_nothing(issuer: Issuer) -> None:
    own = new_rsa_key()
    require_unauthorized(issuer.token(own, header={"jwk": to_jwk(own, "first"), "jku": "https://issuer.example/keys"}))


@pytest.mark.parametrize(
    "text", ["eyJ..", "eyJ.a.b", "eyJhbGciOiJSUzI1NiJ9.e30.x", "eyJ\u00e9.e30.x", "eyJ" + "[" * 9000 + ".a.b"]
)
def test_what_only_looks_like_a_token_is_refused(issuer: Issuer, text: str) -> None:
    require_unauthorized(text)


def test_deep_nesting_in_a_header_is_refused(issuer: Issuer) -> None:
    deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}").decode().rstrip("=")
    require_unauthorized(f"{deep}.e30.x")


def test_without_an_issuer_in_the_settings_no_token_is_taken(issuer: Issuer, setting: Setting) -> None:
    setting("JWT_ISSUER", "")
    require_unauthorized(issuer.token())
    assert issuer.requests == []


def test_keys_are_fetched_once_however_many_tokens_come(issuer: Issuer) -> None:
    for _ in range(5):
        caller_of(issuer.token())
    assert issuer.fetches == 1


def test_forged_key_ids_cause_no_fetches(issuer: Issuer) -> None:
    caller_of(issuer.token())
    for number in range(50):
        require_unauthorized(issuer.token(new_ec_key(), kid=f"forged-{number}"))
    assert issuer.fetches == 1


def test_a_new_key_is_taken_and_the_old_one_until_it_is_withdrawn(issuer: Issuer, later: Clock) -> None:
    later(0)
    caller_of(issuer.token())
    new = new_ec_key()
    issuer.listed.append(to_jwk(new, "second"))
    later(issuer_keys.REFRESH_EVERY_S)
    assert caller_of(issuer.token(new, kid="second"))
    assert caller_of(issuer.token())
    del issuer.listed[0]
    later(issuer_keys.REFRESH_EVERY_S + issuer_keys.MAX_AGE_S)
    require_unauthorized(issuer.token())
    assert caller_of(issuer.token(new, kid="second"))


def test_while_the_issuer_is_away_the_keys_that_are_known_go_on(issuer: Issuer, later: Clock) -> None:
    later(0)
    caller_of(issuer.token())
    issuer.down = True
    later(issuer_keys.MAX_AGE_S)
    assert caller_of(issuer.token())


def test_an_issuer_that_never_answered_makes_the_check_fail_rather_than_refuse(issuer: Issuer, later: Clock) -> None:
    later(0)
    issuer.down = True
    for _ in range(5):
        with pytest.raises(Unavailable):
            authorize(issuer.token())
    assert len(issuer.requests) == 1
    issuer.down = False
    later(issuer_keys.REFRESH_EVERY_S)
    assert caller_of(issuer.token())


def test_a_document_of_another_issuer_is_not_believed(issuer: Issuer) -> None:
    issuer.says = "https://issuer.example"
    with pytest.raises(Unavailable):
        authorize(issuer.token())
    assert issuer.fetches == 0


def test_keys_are_read_where_the_settings_say(issuer: Issuer, setting: Setting) -> None:
    issuer.says = "https://issuer.example"
    setting("JWT_JWKS_URL", f"{issuer.url}/keys")
    assert caller_of(issuer.token())
    assert [request["path"] for request in issuer.requests] == ["/keys"]
