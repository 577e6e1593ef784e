"""An issuer's public keys: found by OpenID Connect discovery, cached, and fetched again for a key that is new."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jwt
import urllib3

from annals.errors import Unavailable

logger = logging.getLogger("annals")

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
"""The one algorithm that each type of key may sign with: a token chooses none for it."""

REFRESH_EVERY_S = 10.0
"""However many tokens name unknown keys, they are fetched no more often."""

MAX_AGE_S = 600.0
"""After this time keys are fetched again, so that one that was revoked is used no longer."""

TIMEOUT_S = 3.0


class IssuerKeys:
    """The keys of one issuer, cached in this process.

    Parameters
    ----------
    issuer : the issuer's URL, below which its discovery document is
    jwks_url : the URL of its keys, for an issuer without such a document
    """

    def __init__(self, issuer: str, jwks_url: str = "") -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = -math.inf
        self._tried_at = -math.inf

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of an id, or None where the issuer has none. Raises Unavailable as long as none could be fetched."""
        now = time.monotonic()
        is_due = key_id not in self._keys or now - self._fetched_at >= MAX_AGE_S
        if is_due and now - self._tried_at >= REFRESH_EVERY_S:
            self._tried_at = now
            self._refresh(now)
        if self._fetched_at == -math.inf:
            raise Unavailable("The token issuer's keys are not known yet. Send the request again.")
        return self._keys.get(key_id)

    def _refresh(self, now: float) -> None:
        try:
            self._keys = dict(_usable(_get(self._jwks_url or self._discover())))
            self._fetched_at = now
        except Unavailable as error:
            # The keys that are known stay good: an issuer that is away for a while signs nobody out.
            logger.error("The token issuer's keys cannot be fetched: %s", error.detail)

    def _discover(self) -> str:
        document = _get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise Unavailable(f"JWT_ISSUER is {self._issuer!r}, but its document says {document.get('issuer')!r}.")
        return str(document.get("jwks_uri"))


def _usable(key_set: Mapping[str, Any]) -> Iterator[tuple[str, jwt.PyJWK]]:
    """The keys that sign with an algorithm that is taken, by id."""
    for listed in key_set.get("keys") or ():
        algorithm = ALGORITHMS.get(listed.get("kty"))
        if algorithm and listed.get("alg", algorithm) == algorithm and listed.get("use", "sig") == "sig":
            try:
                yield listed["kid"], jwt.PyJWK(listed, algorithm)
            except (KeyError, jwt.PyJWTError):
                logger.warning("A key of the token issuer cannot be read and is left out")


def _get(url: str) -> dict[str, Any]:
    try:
        with urllib3.PoolManager(timeout=TIMEOUT_S, retries=False) as http:
            response = http.request("GET", url, redirect=False)
        if response.status != 200:
            raise Unavailable(f"{url} answered {response.status}.")
        document = json.loads(response.data)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise Unavailable(f"{url} gave no JSON ({type(error).__name__}).") from error
    if not isinstance(document, dict):
        raise Unavailable(f"{url} gave no JSON object.")
    return document
