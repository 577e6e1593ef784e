"""Append: a compare-and-swap on the place after the tail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annals.database.dynamodb import client
from annals.errors import (
    AppendConflict,
    ConversationErased,
    ConversationNotFound,
    ConversationSealed,
    EntryTooLarge,
    IdempotencyKeyReused,
    PreconditionFailed,
)
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE, SEAL, SEALED, Tail
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.read import walk
from annals.ledger.tail import read_tail, tails
from tests.conftest import Setting
from tests.support.ledgers import new_conversation, read_contents, read_seqs, say, user_message, verify_stored

pytestmark = pytest.mark.usefixtures("moto")

_numbers = count()


@pytest.fixture
def pk(tenant: str) -> str:
    return new_conversation(tenant)


def _no_tail() -> NoReturn:
    pytest.fail("the conversation has no tail")


def _request(tenant: str, key: str = "key-1", body: bytes = b"{}") -> IdempotentRequest:
    return IdempotentRequest.of(tenant, "append", key, body)


@settings(max_examples=8)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=10))
def test_seqs_have_no_gap_whatever_is_appended_together(sizes: list[int]) -> None:
    tenant = f"sizes-{next(_numbers)}"
    pk = new_conversation(tenant)
    for size in sizes:
        say(tenant, *["word"] * size)
    assert read_seqs(pk) == list(range(sum(sizes) + 1))
    assert [entry.count for entry in walk(pk)][-1] == sum(sizes)
    assert verify_stored(pk).valid


@settings(max_examples=8)
@given(steps=st.lists(st.integers(-5_000, 5_000), min_size=2, max_size=8))
def test_the_time_of_an_entry_is_never_before_that_of_the_one_before_it(steps: list[int]) -> None:
    tenant = f"clock-{next(_numbers)}"
    pk = new_conversation(tenant)
    with pytest.MonkeyPatch.context() as patch:
        for step in steps:
            now = (read_tail(pk) or _no_tail()).at + step
            patch.setattr("time.time_ns", lambda now=now: now * 1_000_000)
            say(tenant, "word")
    times = [entry.at for entry in walk(pk)]
    assert times == sorted(times)
    assert verify_stored(pk).valid


def test_a_lost_race_takes_the_next_place(tenant: str, pk: str) -> None:
    stale = read_tail(pk) or _no_tail()
    say(tenant, "the winner's")
    tails.put(pk, stale)
    assert say(tenant, "the loser's").entry.seq == 2
    assert verify_stored(pk).valid


@pytest.mark.parametrize("known", [True, False])
def test_a_writer_needs_not_have_seen_the_tail(tenant: str, pk: str, known: bool) -> None:
    say(tenant, "first")
    if not known:
        tails.forget(pk)
    assert say(tenant, "second").entry.seq == 2


def test_earlier_entries_stay_as_they_are(tenant: str, pk: str) -> None:
    say(tenant, "first")
    before = list(walk(pk))
    say(tenant, "second")
    assert list(walk(pk))[: len(before)] == before


def test_there_is_no_appending_to_a_conversation_that_was_not_made(tenant: str) -> None:
    with pytest.raises(ConversationNotFound):
        say(tenant, "hello", conversation_id="conv-none")
    assert list(walk(conversation_pk(tenant, "conv-none"))) == []


def test_a_sealed_conversation_takes_records_but_no_messages(tenant: str, pk: str) -> None:
    append(tenant, "conv-1", [NewRecord(SEAL, b"{}")], state=SEALED)
    with pytest.raises(ConversationSealed):
        say(tenant, "too late")
    assert append(tenant, "conv-1", [NewRecord("note", b"{}")]).entry.state == SEALED


@pytest.mark.parametrize("expected_seq", [None, 0, 1])
def test_an_erased_conversation_takes_nothing(tenant: str, pk: str, expected_seq: int | None) -> None:
    append(tenant, "conv-1", [NewRecord(ERASURE, b"{}")], state=ERASED)
    with pytest.raises(ConversationErased):
        say(tenant, "too late", expected_seq=expected_seq)


def test_a_stale_memory_of_an_open_conversation_does_not_open_it(tenant: str, pk: str) -> None:
    stale = read_tail(pk) or _no_tail()
    append(tenant, "conv-1", [NewRecord(SEAL, b"{}")], state=SEALED)
    tails.put(pk, stale)
    with pytest.raises(ConversationSealed):
        say(tenant, "too late")


def test_what_is_too_large_leaves_nothing_behind(tenant: str, pk: str) -> None:
    with pytest.raises(EntryTooLarge):
        say(tenant, "small", "x" * 400_000)
    assert read_seqs(pk) == [0]


def test_an_expected_seq_is_met_or_nothing_is_appended(tenant: str, pk: str) -> None:
    say(tenant, "1", "2", expected_seq=0)
    for wrong in (0, 1, 3, 100):
        with pytest.raises(PreconditionFailed) as refused:
            say(tenant, "never", expected_seq=wrong)
        assert refused.value.current == 2
    assert say(tenant, "3", expected_seq=2).entry.seq == 3
    assert read_seqs(pk) == [0, 1, 2, 3]


def test_an_expected_seq_is_checked_against_the_ledger_and_not_against_memory(tenant: str, pk: str) -> None:
    stale = read_tail(pk) or _no_tail()
    say(tenant, "1")
    tails.put(pk, stale)
    with pytest.raises(PreconditionFailed):
        say(tenant, "never", expected_seq=0)
    tails.put(pk, stale)
    assert say(tenant, "2", expected_seq=1).entry.seq == 2


@pytest.mark.parametrize("expected_seq", [None, 0])
def test_the_same_request_again_finds_its_first_entry(tenant: str, pk: str, expected_seq: int | None) -> None:
    first = say(tenant, "once", expected_seq=expected_seq, request=_request(tenant))
    say(tenant, "another's")
    again = say(tenant, "once", expected_seq=expected_seq, request=_request(tenant))
    assert (first.replayed, again.replayed) == (False, True)
    assert replace(again.entry, n=None, idem=None) == replace(first.entry, idem=None)
    assert read_seqs(pk) == [0, 1, 2]


@pytest.mark.parametrize("expected_seq", [None, 0])
def test_the_same_key_with_another_request_is_refused(tenant: str, pk: str, expected_seq: int | None) -> None:
    say(tenant, "once", expected_seq=expected_seq, request=_request(tenant))
    with pytest.raises(IdempotencyKeyReused):
        say(tenant, "other", expected_seq=expected_seq, request=_request(tenant, body=b"[]"))
    assert read_seqs(pk) == [0, 1]


def test_an_expected_seq_inside_an_entry_is_refused_with_a_key_too(tenant: str, pk: str) -> None:
    say(tenant, "1", "2", "3")
    with pytest.raises(PreconditionFailed):
        say(tenant, "never", expected_seq=1, request=_request(tenant))


def test_a_request_is_told_apart_by_tenant_route_and_key(tenant: str, pk: str) -> None:
    said_by = [_request(tenant), _request(tenant, "key-2"), replace(_request(tenant), route="other")]
    assert [say(tenant, "word", request=request).replayed for request in said_by] == [False] * 3
    new_conversation(f"{tenant}-b")
    assert not say(f"{tenant}-b", "word", request=_request(f"{tenant}-b")).replayed


def test_a_request_that_was_taken_before_the_seal_is_answered_after_it(tenant: str, pk: str) -> None:
    first = say(tenant, "once", request=_request(tenant))
    append(tenant, "conv-1", [NewRecord(SEAL, b"{}")], state=SEALED)
    again = say(tenant, "once", request=_request(tenant))
    assert (again.replayed, again.entry.hash) == (True, first.entry.hash)
    with pytest.raises(ConversationSealed):
        say(tenant, "late", request=_request(tenant, "key-2"))


def test_a_refused_request_leaves_no_mark(tenant: str, pk: str) -> None:
    with pytest.raises(EntryTooLarge):
        say(tenant, "x" * 400_000, request=_request(tenant))
    assert not say(tenant, "fits", request=_request(tenant)).replayed


@pytest.fixture
def a_day_later() -> Iterator[Callable[[], None]]:
    """Moves the clock by a little more than a day."""
    with pytest.MonkeyPatch.context() as patch:
        moved = time.time_ns() + 86_402 * 10**9
        yield lambda: patch.setattr("time.time_ns", lambda: moved)


def test_a_key_may_be_used_again_after_a_day(tenant: str, pk: str, a_day_later: Callable[[], None]) -> None:
    say(tenant, "once", request=_request(tenant))
    a_day_later()
    assert not say(tenant, "again", request=_request(tenant, body=b"[]")).replayed


def test_a_key_older_than_a_day_does_not_answer_for_a_sealed_conversation(
    tenant: str, pk: str, a_day_later: Callable[[], None]
) -> None:
    say(tenant, "once", request=_request(tenant))
    append(tenant, "conv-1", [NewRecord(SEAL, b"{}")], state=SEALED)
    a_day_later()
    with pytest.raises(ConversationSealed):
        say(tenant, "once", request=_request(tenant))


def test_who_never_gets_a_place_is_told_so(tenant: str, pk: str, setting: Setting) -> None:
    setting("APPEND_PATIENCE_S", "0")
    stale = read_tail(pk) or _no_tail()
    say(tenant, "the winner's")
    tails.put(pk, stale)
    with pytest.raises(AppendConflict):
        say(tenant, "the loser's")
    assert len(read_contents(pk)) == 1


def test_the_tail_says_what_the_next_writer_needs(tenant: str, pk: str) -> None:
    entry = say(tenant, "1", "2").entry
    assert read_tail(pk) == Tail.of(entry)
    last = append(tenant, "conv-1", [NewRecord("note", b"{}")]).entry
    assert read_tail(pk) == Tail.of(last)
    assert (last.count, Tail.of(last).kind) == (2, "note")


def test_the_same_words_get_another_salt_each_time(tenant: str, pk: str) -> None:
    records = [say(tenant, "yes").entry.records[0] for _ in range(2)]
    assert records[0].salt != records[1].salt
    assert user_message("yes").body == records[0].body == records[1].body


@pytest.mark.parametrize("expected_seq", [None, 3])
def test_a_process_that_appended_last_reads_nothing_to_know_a_key(
    tenant: str, pk: str, expected_seq: int | None
) -> None:
    say(tenant, "1", request=_request(tenant, "key-1"))
    say(tenant, "2", expected_seq=1, request=_request(tenant, "key-2"))
    say(tenant, "3")
    operations: list[str] = []

    def note(model: Any, **_: Any) -> None:
        operations.append(model.name)

    client().meta.events.register("before-call.dynamodb", note)
    try:
        say(tenant, "4", expected_seq=expected_seq, request=_request(tenant, "key-3"))
    finally:
        client().meta.events.unregister("before-call.dynamodb", note)
    assert operations == (["TransactWriteItems"] if expected_seq is None else ["PutItem"])
