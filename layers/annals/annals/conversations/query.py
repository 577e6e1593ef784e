"""A request for a list of conversations: its filter, its order, and its place in the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.conversations.filters import LAST_MESSAGE
from annals.conversations.lists import SORT_KEYS, ConversationPage, Order, Place
from annals.errors import InvalidInput
from annals.http.cursors import read_cursor, write_cursor

PAGING = ("limit", "cursor", "sortBy", "sortOrder")
"""The query parameters that are no filter."""


def read_order(query: Mapping[str, str]) -> Order:
    """The order that query parameters ask for; without them, the newest activity first. Raises InvalidInput."""
    key, direction = query.get("sortBy", LAST_MESSAGE), query.get("sortOrder", "desc")
    for name, value, allowed in (("sortBy", key, SORT_KEYS), ("sortOrder", direction, ("asc", "desc"))):
        if value not in allowed:
            raise InvalidInput("INVALID_FORMAT", f"{name} must be one of {', '.join(allowed)}.", field=name)
    return Order(key, direction == "desc")


def read_place(cursor: str | None, order: Order) -> Place | None:
    """The place from which a cursor goes on, in the order in which it was given."""
    return Place(*read_cursor(_kind(order), cursor, int, str)) if cursor else None


def next_cursor(page: ConversationPage, order: Order) -> dict[str, Any]:
    """The cursor of the page behind this one, where there is one."""
    place = page.next_place
    return {"nextCursor": write_cursor(_kind(order), place.rank, place.pk)} if place else {}


def _kind(order: Order) -> str:
    return f"conversations by {order.key} {'descending' if order.descending else 'ascending'}"
