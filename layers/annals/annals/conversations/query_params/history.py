"""The query parameters of a history, as a range of messages and a filter on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from annals.api.cursors import PAGING_PARAMS, Cursors, invalid_cursor
from annals.api.query import read_flag, read_list, read_time
from annals.conversations.filters import MessageFilter
from annals.errors import InvalidInput
from annals.formats.messages import ROLES
from annals.ledger.history import HistoryPage, MessageRange

HISTORY_PARAMS = (
    "limit", "cursor", "order", "offset", "after", "before", "roles", "since", "until", "threadId", "runId",
    "includeArchived", "includeRewound", "lastRuns", "externalId", "drafts",
)  # fmt: skip

POSITION_PARAMS = (*PAGING_PARAMS, "order", "offset", "after", "before")
"""The query parameters that a cursor remembers, so that it can be sent without them."""


@dataclass(frozen=True)
class HistoryBounds:
    """Where the messages of a request are, and in which order; a cursor remembers it from page to page."""

    order: str | None = None
    offset: int | None = None
    after: int | None = None
    before: int | None = None

    def agrees_with(self, other: HistoryBounds) -> bool:
        """Whether all that is set here is the same there."""
        return all(value in (None, getattr(other, name)) for name, value in vars(self).items())


@dataclass(frozen=True)
class Shown:
    """Which of the messages that a history leaves out by itself it is to show."""

    archived: bool
    rewound: bool


def read_range(
    bounds: HistoryBounds, cursor: str | None, cursors: Cursors, query_params: Mapping[str, str]
) -> tuple[HistoryBounds, MessageRange]:
    """The bounds of the whole list, and the range of messages to read of it.

    A cursor brings the bounds of its list; where the request has some, too, they must be the same. Raises InvalidInput.
    """
    keep = _read_filter(query_params)
    shown = Shown(read_flag(query_params, "includeArchived"), read_flag(query_params, "includeRewound"))
    if not cursor:
        after = -1 if bounds.after is None else bounds.after
        return bounds, _to_range(bounds, after, bounds.before, bounds.offset or 0, keep, shown)
    first, after, before, offset = cursors.read(cursor)
    first_bounds = HistoryBounds(*first)
    if not bounds.agrees_with(first_bounds):
        raise invalid_cursor()
    page = _to_range(first_bounds, after, before, offset, keep, shown)
    return first_bounds, replace(page, list_after=-1 if first_bounds.after is None else first_bounds.after)


def next_cursor(page: HistoryPage, bounds: HistoryBounds, span: MessageRange, cursors: Cursors) -> dict[str, Any]:
    """The cursor of the page after this one, where there is one."""
    if page.next_seq is None:
        return {}
    after, before = (page.next_seq, span.before) if span.forward else (span.after, page.next_seq)
    return cursors.next([*vars(bounds).values()], after, before, page.offset)


def _to_range(
    bounds: HistoryBounds, after: int, before: int | None, offset: int, keep: MessageFilter | None, shown: Shown
) -> MessageRange:
    forward = bounds.order == "asc" or (bounds.order is None and bounds.after is not None)
    newest_first = bounds.order == "desc"
    matches = keep.matches if keep else None
    return MessageRange(forward, newest_first, after, before, offset, matches, shown.archived, shown.rewound)


def _read_filter(query_params: Mapping[str, str]) -> MessageFilter | None:
    """The filter on the messages, or None where there is none, so that some messages need not be read."""
    message_filter = MessageFilter(
        thread_id=query_params.get("threadId"),
        run_id=query_params.get("runId"),
        roles=frozenset(_read_role(word) for word in read_list(query_params, "roles")),
        since=read_time(query_params, "since"),
        until=read_time(query_params, "until"),
    )
    since, until = message_filter.since, message_filter.until
    if since is not None and until is not None and since >= until:
        raise InvalidInput("INVALID_DATE_RANGE", "since must be before until.", field="since")
    return None if message_filter == MessageFilter() else message_filter


def _read_role(word: str) -> str:
    if word not in ROLES:
        raise InvalidInput("INVALID_ROLE", f"roles must be among {', '.join(ROLES)}.", field="roles")
    return ROLES[word]
