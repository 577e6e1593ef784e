"""The query parameters of a history, as a span of messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

from annals.errors import InvalidInput
from annals.http.cursors import read_cursor, write_cursor
from annals.http.messages import ROLES
from annals.http.query import read_flag, read_time, read_words
from annals.ledger.history import Page, Span
from annals.ledger.messages import Message
from annals.times import from_rfc3339

NAMES = (
    "cursor", "order", "offset", "after", "before", "roles", "since", "until", "threadId", "runId", "includeArchived",
    "lastRuns",
)  # fmt: skip


def read_span(
    cursor: str | None, order: str | None, offset: int, after: int | None, before: int | None, query: Mapping[str, str]
) -> Span:
    """The span that a request asks for. A cursor brings its own direction and bounds. Raises InvalidInput."""
    keep, archived = _read_keep(query), read_flag(query, "includeArchived")
    if cursor:
        forward, newest_first, after, before, offset = read_cursor(
            "history", cursor, bool, bool, int, (int, NoneType), int
        )
        return Span(forward, newest_first, after, before, offset, keep, archived)
    forward = order == "asc" or (order is None and after is not None)
    start = -1 if after is None else after
    return Span(forward, order == "desc", start, before, offset, keep, archived)


def next_cursor(page: Page, span: Span) -> dict[str, Any]:
    """The cursor of the page behind this one, where there is one."""
    if page.next_seq is None:
        return {}
    after, before = (page.next_seq, span.before) if span.forward else (span.after, page.next_seq)
    return {"nextCursor": write_cursor("history", span.forward, span.newest_first, after, before, page.offset)}


def _read_keep(query: Mapping[str, str]) -> Callable[[Message], bool] | None:
    """What the filters ask of a message, or None where there is no filter."""
    wanted = {name: query[name] for name in ("threadId", "runId") if name in query}
    roles = {_read_role(word) for word in read_words(query, "roles")}
    since, until = read_time(query, "since"), read_time(query, "until")
    if since is not None and until is not None and since >= until:
        raise InvalidInput("INVALID_DATE_RANGE", "since must be before until.", field="since")
    if not wanted and not roles and since is None and until is None:
        return None

    def keep(message: Message) -> bool:
        at = from_rfc3339(message["timestamp"])
        return (
            all(message.get(name) == value for name, value in wanted.items())
            and (not roles or message.get("role") in roles)
            and (since is None or at >= since)
            and (until is None or at <= until)
        )

    return keep


def _read_role(word: str) -> str:
    if word not in ROLES:
        raise InvalidInput("INVALID_ROLE", f"roles must be among {', '.join(ROLES)}.", field="roles")
    return ROLES[word]
