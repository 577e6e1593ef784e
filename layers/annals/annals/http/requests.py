"""What every route demands of a request's headers, whoever parses them."""

from __future__ import annotations

from annals.errors import InvalidInput, UnsupportedMediaType
from annals.ledger.idempotency import IdempotentRequest

MAX_KEY_CHARS = 255


def demand_json(content_type: str | None) -> None:
    """Raise UnsupportedMediaType for a body that calls itself something else than JSON."""
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType(f"The body must be application/json, not {kind}.")


def idempotent_request(tenant: str, route: str, key: str | None, path: str, body: bytes) -> IdempotentRequest | None:
    """The request's idempotency, if it came with an Idempotency-Key.

    Raises
    ------
    InvalidInput : INVALID_FORMAT for a key that is blank or longer than 255 characters
    """
    if key is None:
        return None
    if not key.strip() or len(key) > MAX_KEY_CHARS:
        detail = f"Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters."
        raise InvalidInput("INVALID_FORMAT", detail, field="Idempotency-Key")
    return IdempotentRequest.of(tenant, route, key, path.encode(), body)
