"""Order and pages of rows, as agno's other stores have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agno.db.utils import get_sort_value, validate_pagination

T = TypeVar("T")

Json = dict[str, Any]


def _itself(row: Any) -> Json:
    return dict(row)


@dataclass(frozen=True)
class Order:
    """In which order, and which page, the first one being 1; without a ``limit``, all.

    Raises ValueError for a page without a limit, and for one before the first.
    """

    limit: int | None = None
    page: int | None = None
    sort_by: str | None = None
    sort_order: str | None = None

    def __post_init__(self) -> None:
        validate_pagination(self.limit, self.page)

    @property
    def reads_up_to(self) -> int | None:
        """How many are read for the page where they come in this order anyway; None for all."""
        return None if self.limit is None or self.sort_by is not None else self.limit * (self.page or 1)

    def sort(self, items: Sequence[T], row_of: Callable[[T], Json] = _itself) -> list[T]:
        """Items by a field of their rows, the largest first unless the order is "asc"; as they are for an unknown one.

        Those that have no value are the smallest.
        """
        field = self.sort_by
        if field is None or not items or field not in row_of(items[0]):
            return [*items]

        def key(item: T) -> tuple[bool, Any]:
            value = get_sort_value(row_of(item), field)
            return (value is not None, value if isinstance(value, int | float | str) else str(value))

        return sorted(items, key=key, reverse=self.sort_order != "asc")

    def page_of(self, items: Sequence[T]) -> list[T]:
        """The page of items that are in order."""
        if self.limit is None:
            return [*items]
        begin = ((self.page or 1) - 1) * self.limit
        return [*items[begin : begin + self.limit]]
