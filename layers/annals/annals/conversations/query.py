"""A request for a list of conversations: its filter, its order, and its place in the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.api.cursors import Cursors
from annals.conversations.filters import LAST_MESSAGE
from annals.conversations.lists import SORT_KEYS, ConversationPage, ListPosition, Order
from annals.errors import InvalidInput

PAGING_PARAMS = ("limit", "cursor", "sortBy", "sortOrder")
"""The query parameters that are no filter."""


def read_order(query: Mapping[str, str]) -> Order:
    """The order that query parameters ask for; without them, the newest activity first. Raises InvalidInput."""
    key, direction = query.get("sortBy", LAST_MESSAGE), query.get("sortOrder", "desc")
    for name, value, allowed in (("sortBy", key, SORT_KEYS), ("sortOrder", direction, ("asc", "desc"))):
        if value not in allowed:
            raise InvalidInput("INVALID_FORMAT", f"{name} must be one of {', '.join(allowed)}.", field=name)
    return Order(key, direction == "desc")


def list_name(order: Order) -> tuple[str, str, str]:
    """What tells the cursors of a list from those of the same list in another order."""
    return "conversations", order.key, "descending" if order.descending else "ascending"


def read_place(cursor: str | None, cursors: Cursors) -> ListPosition | None:
    """The place from which a cursor goes on. Raises InvalidInput INVALID_CURSOR."""
    return ListPosition(*cursors.read(cursor)) if cursor else None


def next_cursor(page: ConversationPage, cursors: Cursors) -> dict[str, Any]:
    """The cursor of the page behind this one, where there is one."""
    place = page.next_position
    return cursors.next(place.rank, place.pk) if place else {}
