"""What every route requires of a request's headers, whichever framework parses them."""

from __future__ import annotations

from collections.abc import Sequence

from annals.access.caller import Caller
from annals.errors import InvalidInput, UnsupportedMediaType
from annals.ledger.idempotency import MAX_KEY_CHARS, IdempotentRequest

JSON = ("application/json",)

JSON_LINES = ("application/x-ndjson", "application/jsonl", *JSON)

COMPRESSED = ("application/zip", "application/gzip")
"""The content types of compressed files, which are no text."""


def require_json(content_type: str | None, allowed: Sequence[str] = JSON) -> str:
    """The content type of a body. Raises UnsupportedMediaType for one that is not allowed."""
    kind = (content_type or "application/json").partition(";")[0].strip()
    if kind not in allowed:
        raise UnsupportedMediaType(f"The body must be {' or '.join(allowed)}, not {kind}.")
    return kind


def idempotent_request(caller: Caller, route: str, key: str | None, path: str, body: bytes) -> IdempotentRequest | None:
    """The request's idempotency, if it came with an Idempotency-Key; keys of two callers never meet.

    Raises
    ------
    InvalidInput : INVALID_FORMAT for a key that is blank or longer than 255 characters
    """
    if key is None:
        return None
    if not key.strip() or len(key) > MAX_KEY_CHARS:
        detail = f"Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters."
        raise InvalidInput("INVALID_FORMAT", detail, field="Idempotency-Key")
    return IdempotentRequest.of(caller.tenant, route, key, path.encode(), body, caller=caller.key_id)
