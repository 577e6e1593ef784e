"""The authorizer: who a key or a token stands for. It allows the whole API, and the functions check the scopes."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from annals.access.caller import SCOPES, Caller
from annals.access.keys import Credential, Key, find_key
from annals.secret import ApiKey
from annals.settings import settings

_seen: dict[str, tuple[float, Key]] = {}
"""The keys that this process knows, and until when they need no new look-up."""

MAX_SEEN = 10_000


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer API Gateway's question whether a request may pass, and for whom it speaks."""
    credential = read_key(event.get("headers") or {})
    caller = find_token_caller(credential) if looks_like_token(credential) else find_key_caller(credential)
    if caller is None:
        # These very words make API Gateway answer 401.
        raise Exception("Unauthorized")
    return {
        "principalId": caller.key_id,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": _whole_api(event)}],
        },
        "context": caller.to_authorizer(),
    }


def read_key(headers: Mapping[str, str]) -> str:
    """The key or token in ``Authorization: Bearer …`` or ``x-api-key: …``, or an empty string."""
    lower = {name.lower(): value for name, value in headers.items()}
    scheme, _, token = lower.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return lower.get("x-api-key", "").strip()


def looks_like_token(credential: str) -> bool:
    """Whether this is no key but a JWT, where those are taken: three parts, the first of them a JSON object."""
    return bool(settings().jwt_issuer) and credential.startswith("eyJ") and credential.count(".") == 2


def find_token_caller(token: str) -> Caller | None:
    """The caller that a token stands for, or None. Only tokens need the library that verifies signatures."""
    from annals.access import bearer_tokens

    return bearer_tokens.find_token_caller(token)


def find_key_caller(key: str) -> Caller | None:
    """The caller that a key stands for, or None. A known one is looked up again after ``authorizer_cache_s``."""
    if Credential.parse(key) is None:
        return Caller(settings().root_tenant, "root", frozenset(SCOPES)) if _is_root(key) else None
    until, seen = _seen.get(key, (0.0, None))
    if seen and seen.works and time.monotonic() < until:
        return seen.to_caller()
    _seen.pop(key, None)
    stored_key = find_key(key)
    if stored_key is None:
        return None
    if len(_seen) >= MAX_SEEN:
        _seen.clear()
    _seen[key] = (time.monotonic() + settings().authorizer_cache_s, stored_key)
    return stored_key.to_caller()


def _is_root(credential: str) -> bool:
    """Whether this is the root key. Where it is not the one that is known, it may be a newer one."""
    if not credential:
        return False
    if not _equal(credential, root_key().value()):
        root_key().renew()
    return _equal(credential, root_key().value())


def _equal(credential: str, expected: str) -> bool:
    return hmac.compare_digest(credential.encode(errors="surrogatepass"), expected.encode())


@cache
def root_key() -> ApiKey:
    """The key that comes with the installation: it has every scope, and makes the other keys.

    It is no API key by its form; so those are looked for without it, and Secrets Manager is asked for it alone.
    """
    return ApiKey(settings().root_key, settings().secret_max_age_s)


def _whole_api(event: Mapping[str, Any]) -> str:
    """``arn:…:apiId/stage/METHOD/path`` as ``arn:…:apiId/stage/*``: a cached answer serves every route."""
    return "/".join(event["methodArn"].split("/", 2)[:2]) + "/*"
