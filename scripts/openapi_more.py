"""Headers, filters and statuses that the signatures of handlers don't show."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from annals.api.fields import MAX_EXTERNAL_ID_CHARS
from annals.conversations.filters import ENUM_FILTERS, PARTICIPANT_FILTERS, SESSION_FILTER, SPACE_FILTER
from annals.formats.messages import ROLES
from annals.http.requests import MAX_KEY_CHARS

TIME = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]}
TEXT = {"type": "string", "maxLength": 128}
COUNT = {"type": "integer", "minimum": 0, "maximum": 10**12 - 1}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A request repeated with its key within 24 hours gets the first one's response",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that the caller last saw; the answer is 412 if it has changed since",
    "schema": {"type": "string", "pattern": '^"[0-9]{1,12}"$'},
}
HEADERS = {"app.idempotent_request(": IDEMPOTENCY_KEY, "app.if_match(": IF_MATCH}
"""The headers that handlers read, by the call that reads them."""

FILTERS: dict[str, Any] = {
    **{name: {"type": "string", "enum": list(words)} for name, (_, words) in ENUM_FILTERS.items()},
    **dict.fromkeys((*PARTICIPANT_FILTERS, SPACE_FILTER), TEXT),
    SESSION_FILTER: {"type": "string", "maxLength": MAX_EXTERNAL_ID_CHARS},
    **dict.fromkeys(("createdAfter", "createdBefore", "lastMessageAfter", "lastMessageBefore"), TIME),
    **dict.fromkeys(("messageCount", "messageCountMin", "messageCountMax"), COUNT),
}
BY_METADATA = "A parameter `metadata.<path>` filters by the value at that path of the metadata, as text."
HISTORY: dict[str, Any] = {
    "roles": {"type": "string", "description": f"Comma-separated: {', '.join(ROLES)}"},
    "threadId": TEXT,
    "runId": TEXT,
    "since": TIME,
    "until": TIME,
    "includeArchived": {"type": "boolean", "default": False},
}
QUERY = {"listConversations": FILTERS, "countConversations": FILTERS, "listMessages": HISTORY}
"""The query parameters that handlers parse themselves, by operation."""

STATUSES = {
    "describeSpace": "201",
    "eraseConversation": "202",
    "getOrCreateConversation": "201",
    "getOrCreateSession": "201",
    "putMemoryByExternalId": "201",
    "putRun": "201",
    "putUserMemory": "201",
    "store": "201",
}
"""The other success statuses of some operations; their responses look like those of 200."""


def operation_id(handler: str, path: str) -> str:
    """``list_them`` of ``/v1/users/{user_id}/memories`` as ``listUserMemories``: no two operations share a name."""
    segments = [part for part in path.split("/")[2:] if "{" not in part]
    noun = "UserMemories" if segments[0] == "users" else segments[0].capitalize()
    return re.sub(r"_(\w)", lambda match: match[1].upper(), handler).replace("Them", noun)


def complete(operation: dict[str, Any], handler: Callable[..., Any]) -> None:
    """Add what a handler does beyond its signature to its operation."""
    name, source = operation["operationId"], inspect.getsource(handler)
    headers = [header for call, header in HEADERS.items() if call in source]
    query = [{"name": each, "in": "query", "schema": schema} for each, schema in QUERY.get(name, {}).items()]
    if headers or query:
        operation["parameters"] = [*operation.get("parameters", []), *deepcopy([*query, *headers])]
    if QUERY.get(name) is FILTERS:
        operation["description"] = f"{operation.get('description', '')} {BY_METADATA}".strip()
    if name in STATUSES:
        operation["responses"][STATUSES[name]] = deepcopy(operation["responses"]["200"])
    operation["responses"].get("204", {}).pop("content", None)  # it has none
