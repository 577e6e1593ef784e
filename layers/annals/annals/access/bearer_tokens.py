"""Bearer tokens: JWTs of an OpenID Connect issuer, beside the keys that Annals makes itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt

from annals.access.caller import SCOPES, Caller
from annals.access.issuer_keys import ALGORITHMS, IssuerKeys
from annals.settings import settings

SKEW_S = 60
"""How far an issuer's clock may be from ours."""

MAX_NAME_CHARS = 128

LAST_S = 253_402_300_799
"""The last second that RFC 3339 can express."""

GRANTABLE_SCOPES = frozenset(SCOPES) - {"operator"}
"""The scopes that a token can grant: as with keys, none opens another tenant."""


def find_token_caller(token: str) -> Caller | None:
    """The caller that a token stands for, or None for one that is not the issuer's, or not for this API, or not now.

    Raises
    ------
    Unavailable : the issuer's keys cannot be fetched
    """
    try:
        key = _key_of(token)
        claims = _claims(token, key) if key else None
    except (jwt.PyJWTError, RecursionError):
        return None
    return _to_caller(claims) if claims and _is_for_us(claims) else None


@cache
def issuer_keys() -> IssuerKeys:
    """The keys of the issuer that the settings name."""
    return IssuerKeys(settings().jwt_issuer, settings().jwt_jwks_url)


def _key_of(token: str) -> jwt.PyJWK | None:
    """The issuer's key that a token names, if the token is signed as that key signs."""
    header = jwt.get_unverified_header(token)
    if header.get("alg") not in ALGORITHMS.values() or "kid" not in header:
        return None
    return issuer_keys().find(header["kid"])


def _claims(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=[key.algorithm_name],
        issuer=settings().jwt_issuer,
        leeway=SKEW_S,
        options={
            "require": ["exp", "iat", "iss", "sub"],
            "verify_aud": False,  # by _is_for_us: Amazon Cognito's access tokens have none
            "enforce_minimum_key_length": True,
        },
    )


def _is_for_us(claims: Mapping[str, Any]) -> bool:
    """Whether a token was made for this API: by its audience or, where it has none, by its client."""
    claimed = claims.get("aud", claims.get("client_id"))
    audience = claimed if isinstance(claimed, list) else [claimed]
    return any(ours in audience for ours in settings().jwt_audience.replace(",", " ").split())


def _to_caller(claims: Mapping[str, Any]) -> Caller | None:
    """The caller that a token's claims describe, or None where they name no tenant, or no space though they must."""
    tenant = claims.get(settings().jwt_tenant_claim)
    spaces = _words(claims.get(settings().jwt_spaces_claim))
    if not (isinstance(tenant, str) and tenant.strip() and len(tenant) <= MAX_NAME_CHARS):
        return None
    if settings().jwt_spaces_claim and not spaces:
        return None
    prefix = settings().jwt_scope_prefix
    words = _words(claims.get(settings().jwt_scopes_claim))
    scopes = {word.removeprefix(prefix) for word in words if word.startswith(prefix)} & GRANTABLE_SCOPES
    return Caller(tenant, f"token:{claims['sub']}", frozenset(scopes), spaces or None, _expiry(claims))


def _expiry(claims: Mapping[str, Any]) -> int:
    """When a token expires, in Unix milliseconds: a key that it makes works no longer, however much clocks differ."""
    return min(int(claims["exp"]), LAST_S) * 1000


def _words(claim: Any) -> frozenset[str]:
    """The words of a claim, which is a list of them or a text with blanks between them."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    return frozenset(word for word in words if isinstance(word, str))
