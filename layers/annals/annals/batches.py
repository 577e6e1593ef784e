"""Batches: items in their order, as many together as one request, entry or call holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(
    items: Iterable[T], size_of: Callable[[T], int], max_size: int, max_count: float = math.inf
) -> Iterator[list[T]]:
    """The items in batches of at most a size; one that is larger is a batch by itself.

    Parameters
    ----------
    size_of : the size of an item, in the unit of ``max_size``
    max_count : how many items a batch may have
    """
    batch: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if batch and (len(batch) == max_count or total + size > max_size):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch
