"""The query parameters of lists of conversations: their filter, their order, and the position in the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.api.cursors import Cursors
from annals.api.filters import require_query_conditions
from annals.api.query import read_choice
from annals.conversations.filter_parsing import BOUNDS, to_condition, to_filter
from annals.conversations.filters import COUNT, LAST_MESSAGE, ConversationFilter
from annals.conversations.lists import SORT_KEYS, ConversationPage, ListPosition, Order
from annals.errors import InvalidInput

LIST_PARAMS = ("limit", "cursor", "sortBy", "sortOrder")
"""The query parameters that are no filter."""


def read_filter(query_params: Mapping[str, str], *others: str) -> ConversationFilter:
    """The filter that query parameters make, but for ``others``, which are none. Raises InvalidInput."""
    conditions = {name: value for name, value in query_params.items() if name not in others}
    require_query_conditions(conditions)
    return to_filter(to_condition(name, "$eq", _typed(name, value), name) for name, value in conditions.items())


def read_order(query_params: Mapping[str, str]) -> Order:
    """The order that query parameters ask for; without them, the newest activity first. Raises InvalidInput."""
    key = read_choice(query_params, "sortBy", SORT_KEYS, LAST_MESSAGE)
    direction = read_choice(query_params, "sortOrder", ("asc", "desc"), "desc")
    return Order(key, descending=direction == "desc")


def list_name(order: Order) -> tuple[str, str, str]:
    """What tells the cursors of a list from those of the same list in another order."""
    return "conversations", order.key, "descending" if order.descending else "ascending"


def read_position(cursor: str | None, cursors: Cursors) -> ListPosition | None:
    """The position from which a cursor goes on. Raises InvalidInput INVALID_CURSOR."""
    return ListPosition(*cursors.read(cursor)) if cursor else None


def next_cursor(page: ConversationPage, cursors: Cursors) -> dict[str, Any]:
    """The cursor of the page after this one, where there is one."""
    position = page.next_position
    return cursors.next(position.rank, position.pk) if position else {}


def _typed(name: str, value: str) -> Any:
    """A query parameter's value; what is a number by its nature is read as one."""
    if BOUNDS.get(name, (name,))[0] != COUNT:
        return value
    if not (value.isascii() and value.isdigit()) or len(value) > 12:
        raise InvalidInput("INVALID_RANGE", f"{name} must be a whole number from 0.", field=name)
    return int(value)
