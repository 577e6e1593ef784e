"""Keys: an id can never reach beyond its own tenant and conversation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from annals.conversations.heads import head_key, member_list_key, space_list_key
from annals.conversations.locks import lock_pk
from annals.database.keys import escape, unescape
from annals.ledger.keys import (
    conversation_pk,
    entry_sk,
    is_conversation_pk,
    split_conversation_pk,
    thread_key,
    thread_of,
)

ids = st.text("abC#%25/.", max_size=8) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
pairs = st.tuples(ids, ids)
LONGEST_ID = "😀" * 128
LONGEST_ESCAPED_ID = "#" * 128


@given(ids)
def test_an_escaped_id_holds_no_separator_and_comes_back(part: str) -> None:
    assert "#" not in escape(part)
    assert unescape(escape(part)) == part


@given(pairs, pairs)
def test_no_two_conversations_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (conversation_pk(*one) == conversation_pk(*other)) == (one == other)


@given(pairs)
def test_a_conversation_s_key_names_its_tenant_and_id(pair: tuple[str, str]) -> None:
    assert split_conversation_pk(conversation_pk(*pair)) == pair
    assert is_conversation_pk(conversation_pk(*pair))


@given(st.tuples(ids, ids, ids), st.tuples(ids, ids, ids))
def test_no_two_threads_share_a_key(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (thread_key(*one) == thread_key(*other)) == (one == other)
    assert thread_of(thread_key(*one)) == one[2]


@given(st.tuples(ids, ids, st.integers(0, 20)), st.tuples(ids, ids, st.integers(0, 20)))
def test_no_two_lists_share_a_key(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    assert (space_list_key(*one) == space_list_key(*other)) == (one == other)
    assert (member_list_key(*one) == member_list_key(*other)) == (one == other)
    assert space_list_key(*one) != member_list_key(*other)


@given(ids, ids, ids, ids)
def test_no_two_pairs_of_agents_share_a_holder_whatever_their_order(a: str, b: str, c: str, d: str) -> None:
    def holder(first: str, second: str) -> str:
        return lock_pk("acme", "agent-agent", {"agent1": first, "agent2": second})

    assert holder(a, b) == holder(b, a)
    assert (holder(a, b) == holder(c, d)) == (sorted([a, b]) == sorted([c, d]))


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_sort_keys_sort_as_seqs_do(one: int, other: int) -> None:
    assert (entry_sk(one) < entry_sk(other)) == (one < other)


def test_the_longest_ids_fit_into_the_table_s_keys() -> None:
    for longest in (LONGEST_ID, LONGEST_ESCAPED_ID):
        participants = dict.fromkeys(("userId", "agentId", "participantId", "memorySpaceId"), longest)
        keys = [
            thread_key(longest, longest, longest),
            head_key(conversation_pk(longest, longest))["pk"]["S"],
            lock_pk(longest, "user-agent", participants),
        ]
        assert max(len(key.encode()) for key in keys) <= 2048
