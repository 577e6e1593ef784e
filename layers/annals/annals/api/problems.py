"""Problem details (RFC 9457): the one place where errors become answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic.alias_generators import to_camel

from annals import json_text
from annals.database.transactions import cancellation_reasons, is_cancelled
from annals.errors import AnnalsError, InvalidInput, InvalidJson, RequestTooLarge, Unavailable
from annals.json_text import FieldPath

CONTENT_TYPE = "application/problem+json"

CODES = {
    "missing": "MISSING_REQUIRED_FIELD",
    "extra_forbidden": "UNKNOWN_FIELD",
    "greater_than": "INVALID_RANGE",
    "greater_than_equal": "INVALID_RANGE",
    "less_than": "INVALID_RANGE",
    "less_than_equal": "INVALID_RANGE",
    "too_short": "EMPTY_ARRAY",
    "too_long": "INVALID_RANGE",
}
"""The code of each kind of validation error that pydantic itself finds; the rest is INVALID_FORMAT."""

MAX_DETAIL_CHARS, MAX_FIELD_CHARS = 2_000, 500
"""How long detail and field may be: they quote the request, which may be large."""

THROTTLED = {
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
}


def problem_details(error: AnnalsError, request_id: str) -> dict[str, Any]:
    """The problem details of an error."""
    details: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": _cut(error.detail, MAX_DETAIL_CHARS),
        "requestId": request_id,
    }
    if error.field is not None:
        details["field"] = _cut(error.field, MAX_FIELD_CHARS)
    if (current := getattr(error, "current", None)) is not None:
        details["current"] = current
    if (progress := getattr(error, "progress", None)) is not None:
        details["progress"] = progress
    return details


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def problem_headers(error: AnnalsError) -> dict[str, str]:
    """The headers that go with an error's problem details."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="annals"'
    return headers


def from_validation(errors: Sequence[Mapping[str, Any]]) -> AnnalsError:
    """The error for what pydantic found: its first one, by the name that the caller gave the field."""
    first = errors[0]
    path = _as_written((*first["loc"], *first.get("ctx", {}).get("path", ())))
    if first["type"] == "json_invalid" or (not path and first.get("input", ...) is None):
        return InvalidJson("The request needs a JSON body.")
    kind: str = first["type"]
    code = kind if kind.isupper() else CODES.get(kind, "INVALID_FORMAT")
    field = field_name(path)
    return InvalidInput(code, f"{field or 'The body'}: {_reason(first)}.", field=field or None)


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "too_long" and isinstance(error.get("input"), str):
        # pydantic speaks of items where another check comes before that of a text's length.
        return f"must have at most {error['ctx']['max_length']} characters"
    message: str = error["msg"]
    return message[:1].lower() + message[1:]


def _as_written(loc: FieldPath) -> FieldPath:
    """A field's path as callers write it: they know the document's ``conversationId``, not the handler's parameter."""
    if not loc or loc[0] not in PARTS_OF_REQUEST:
        return loc
    return tuple(to_camel(str(name)) for name in loc[1:]) if loc[0] == "path" else loc[1:]


PARTS_OF_REQUEST = {"body", "query", "path", "header"}

UNION_TAGS = {"<message>", "<messages>", "<turn>", "<reply>"}
"""How models name the branches of their unions; callers never wrote them."""


def field_name(path: FieldPath) -> str:
    """The name of a field, by its path in a request, as callers know it."""
    return json_text.field_name(tuple(part for part in path if part not in UNION_TAGS))


def from_aws(error: Exception) -> AnnalsError:
    """The error for an AWS service that throttles or does not answer; a bug here is an internal error."""
    if isinstance(error, ClientError):
        if too_large := _find_too_large(error):
            return too_large
        if is_cancelled(error) or error.response["Error"]["Code"] in THROTTLED:
            return Unavailable("The database is busy. Send the request again.")
        return internal_error()
    if isinstance(error, BotoCoreError):
        return Unavailable("The database does not answer. Send the request again.")
    return internal_error()


def _find_too_large(error: ClientError) -> AnnalsError | None:
    """The error for what DynamoDB has no room for, alone or in a transaction; None for every other failure."""
    reasons = cancellation_reasons(error)
    messages = [
        error.response["Error"].get("Message", "") if error.response["Error"]["Code"] == "ValidationException" else "",
        *(reason.get("Message", "") for reason in reasons if reason.get("Code") == "ValidationError"),
    ]
    message = next((text.lower() for text in messages if "size" in text and "exceed" in text), None)
    if message is None:
        return None
    if "hashkey" in message or "rangekey" in message or "range key" in message:
        return InvalidInput("INVALID_ID_FORMAT", "The ids that the request names are together too long for a key.")
    return RequestTooLarge("The request is stored as something that would be larger than the 400 KB of an item.")


def internal_error() -> AnnalsError:
    """The error for what should not happen; the log has the traceback under the request's id."""
    return AnnalsError("Something went wrong inside Annals. The log names the cause under this requestId.")
