"""Batches: all items in their order, none over the bounds, none smaller than it must be."""

from __future__ import annotations

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from annals.batches import batches


@given(st.lists(st.integers(0, 12)), st.integers(1, 10), st.integers(1, 4))
def test_batches_hold_all_items_in_order_within_their_bounds(sizes: list[int], max_size: int, max_count: int) -> None:
    found = list(batches(sizes, int, max_size, max_count))
    assert list(chain.from_iterable(found)) == sizes
    assert all(batch and len(batch) <= max_count for batch in found)
    assert all(sum(batch) <= max_size or len(batch) == 1 for batch in found)


@given(st.lists(st.integers(0, 12)), st.integers(1, 10), st.integers(1, 4))
def test_a_batch_ends_only_where_the_next_item_has_no_room(sizes: list[int], max_size: int, max_count: int) -> None:
    for batch, following in pairwise(batches(sizes, int, max_size, max_count)):
        assert len(batch) == max_count or sum(batch) + following[0] > max_size


def test_nothing_is_no_batch() -> None:
    assert not list(batches([], int, 1))
