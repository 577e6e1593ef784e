"""Keys of both tables: an id can never reach beyond its own part of a key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from annals.database.keys import item_key, partition_key, split_item_key, split_partition_key

ids = st.text("abC#%25/.", max_size=8) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
kinds = st.sampled_from(["C", "M", "UM"])
parts = st.tuples(ids, kinds, st.lists(ids, max_size=2))


@given(parts)
def test_a_partition_key_names_its_tenant_kind_and_ids(part: tuple[str, str, list[str]]) -> None:
    tenant, kind, names = part
    assert split_partition_key(partition_key(tenant, kind, *names)) == part


@given(parts, parts)
def test_no_two_partitions_share_a_key(one: tuple[str, str, list[str]], other: tuple[str, str, list[str]]) -> None:
    keys = [partition_key(tenant, kind, *names) for tenant, kind, names in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(ids, ids)
def test_an_item_s_key_is_read_as_it_was_made(pk: str, sk: str) -> None:
    assert split_item_key(item_key(pk, sk)) == (pk, sk)
