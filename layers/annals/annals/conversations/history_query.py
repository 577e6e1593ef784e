"""The query parameters of a history, as a span of messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from annals.api.cursors import PAGING_PARAMS, Cursors, invalid_cursor
from annals.api.query import read_flag, read_list, read_time
from annals.conversations.message_models import ROLES
from annals.errors import InvalidInput
from annals.ledger.history import HistoryPage, MessageRange
from annals.ledger.messages import Message
from annals.times import from_rfc3339

NAMES = (
    "cursor", "order", "offset", "after", "before", "roles", "since", "until", "threadId", "runId", "includeArchived",
    "lastRuns",
)  # fmt: skip

FREE = (*PAGING_PARAMS, "order", "offset", "after", "before")
"""The query parameters that a cursor needs not to be sent with."""

Keep = Callable[[Message], bool]


@dataclass(frozen=True)
class Asked:
    """Where the messages of a request are, and in which order; a cursor remembers it from page to page."""

    order: str | None = None
    offset: int | None = None
    after: int | None = None
    before: int | None = None

    def agrees_with(self, other: Asked) -> bool:
        """Whether all that is said here is said there, too."""
        return all(value in (None, getattr(other, name)) for name, value in vars(self).items())


def read_span(
    asked: Asked, cursor: str | None, cursors: Cursors, query: Mapping[str, str]
) -> tuple[Asked, MessageRange]:
    """What a request asks for, and the span to read.

    A cursor brings its own direction and bounds; said again, they must be the same. Raises InvalidInput.
    """
    keep, archived = _read_keep(query), read_flag(query, "includeArchived")
    if not cursor:
        after = -1 if asked.after is None else asked.after
        return asked, _span(asked, after, asked.before, asked.offset or 0, keep, archived)
    said, after, before, offset = cursors.read(cursor)
    first = Asked(*said)
    if not asked.agrees_with(first):
        raise invalid_cursor()
    return first, _span(first, after, before, offset, keep, archived)


def _span(asked: Asked, after: int, before: int | None, offset: int, keep: Keep | None, archived: bool) -> MessageRange:
    forward = asked.order == "asc" or (asked.order is None and asked.after is not None)
    return MessageRange(forward, asked.order == "desc", after, before, offset, keep, archived)


def next_cursor(page: HistoryPage, asked: Asked, span: MessageRange, cursors: Cursors) -> dict[str, Any]:
    """The cursor of the page behind this one, where there is one."""
    if page.next_seq is None:
        return {}
    after, before = (page.next_seq, span.before) if span.forward else (span.after, page.next_seq)
    return cursors.next([*vars(asked).values()], after, before, page.offset)


def _read_keep(query: Mapping[str, str]) -> Keep | None:
    """What the filters ask of a message, or None where there is no filter."""
    wanted = {name: query[name] for name in ("threadId", "runId") if name in query}
    roles = {_read_role(word) for word in read_list(query, "roles")}
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
