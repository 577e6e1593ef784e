"""An OpenID Connect issuer: its discovery document, its keys, and the tokens that it signs."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.fakes.servers import Handler, Server

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def new_rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A new private key for RS256."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def new_ec_key() -> ec.EllipticCurvePrivateKey:
    """A new private key for ES256."""
    return ec.generate_private_key(ec.SECP256R1())


def to_jwk(key: PrivateKey, key_id: str, **more: Any) -> dict[str, Any]:
    """The public half of a key as issuers list it."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}


class IssuerHandler(Handler):
    """Answers for the discovery document and the keys; ``server.down`` refuses both."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        issuer = self.server
        issuer.requests.append({"path": self.path})
        documents = {
            "/.well-known/openid-configuration": {"issuer": issuer.says, "jwks_uri": f"{issuer.url}/keys"},
            "/keys": {"keys": issuer.listed},
        }
        if issuer.down or self.path not in documents:
            self.answer(503 if issuer.down else 404, b"")
        else:
            self.answer(200, json.dumps(documents[self.path]).encode())


class Issuer(Server):
    """The issuer's server. ``listed`` are the keys that it publishes."""

    def __init__(self) -> None:
        super().__init__(IssuerHandler)
        self.says = self.url
        self.down = False
        self.key = new_rsa_key()
        self.listed = [to_jwk(self.key, "first")]

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return sum(request["path"] == "/keys" for request in self.requests)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What a token says that is right in every way; None takes a claim out."""
        now = int(time.time())
        said = {
            "iss": self.url,
            "sub": "ada",
            "aud": "annals",
            "iat": now,
            "exp": now + 300,
            "tenant": "acme",
            "scope": "openid read write",
            **changed,
        }
        return {name: value for name, value in said.items() if value is not None}

    def token(
        self,
        signed_with: PrivateKey | None = None,
        *,
        kid: str | None = "first",
        header: dict[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """A token, signed with the issuer's first key unless another is given."""
        key = signed_with or self.key
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        named = {**({} if kid is None else {"kid": kid}), **(header or {})}
        return jwt.encode(self.claims(**changed), key, algorithm=algorithm, headers=named)
