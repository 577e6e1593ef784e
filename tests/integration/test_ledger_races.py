"""Many writers at once, on a database where concurrency is real."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from annals.conversations.create import (
    CreateResult,
    NewConversation,
    append_or_create,
    create,
    create_with_messages,
    get_or_create,
)
from annals.errors import ConversationAlreadyExists, PreconditionFailed
from annals.ledger.append import AppendResult
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.read import walk
from annals.ledger.tail import read_tail, tails
from tests.support.ledgers import new_conversation, read_contents, read_seqs, say, user_message, verify_stored
from tests.support.racing import at_once

pytestmark = pytest.mark.usefixtures("database")

WRITERS, APPENDS = 8, 25
PAIR = {"agent1": "planner", "agent2": "critic"}


def _write(tenant: str, writer: int) -> list[tuple[str, int]]:
    return [(f"{writer}-{turn}", say(tenant, f"{writer}-{turn}").entry.seq) for turn in range(APPENDS)]


def _require_whole(pk: str, acknowledged: list[tuple[str, int]]) -> None:
    """Each acknowledged append is in the ledger, at the place that was acknowledged, once, and nothing else is."""
    stored = {content: seq for seq, content in enumerate(read_contents(pk), start=1)}
    assert {f'{{"role":"user","content":"{word}"}}': seq for word, seq in acknowledged} == stored
    assert read_seqs(pk) == list(range(len(acknowledged) + 1))
    assert verify_stored(pk).valid


def _race(pool: Executor, tenant: str) -> list[tuple[str, int]]:
    return [pair for pairs in pool.map(partial(_write, tenant), range(WRITERS)) for pair in pairs]


def test_threads_that_race_leave_no_gap_and_lose_nothing(tenant: str) -> None:
    pk = new_conversation(tenant)
    with ThreadPoolExecutor(WRITERS) as pool:
        acknowledged = _race(pool, tenant)
    assert len(acknowledged) == WRITERS * APPENDS
    _require_whole(pk, acknowledged)


def test_processes_that_race_leave_no_gap_and_lose_nothing(tenant: str) -> None:
    pk = new_conversation(tenant)
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        acknowledged = _race(pool, tenant)
    assert len(acknowledged) == WRITERS * APPENDS
    _require_whole(pk, acknowledged)


def test_equal_requests_at_once_are_stored_once_and_answered_alike(tenant: str) -> None:
    pk = new_conversation(tenant)
    request = IdempotentRequest.of(tenant, "append", "key-1", b"{}")
    answers: list[AppendResult] = at_once(10, lambda _: say(tenant, "once", request=request))
    assert len({(answer.entry.seq, answer.entry.entry_id, answer.entry.hash) for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert read_seqs(pk) == [0, 1]


def test_equal_requests_for_one_place_at_once_are_stored_once_and_answered_alike(tenant: str) -> None:
    pk = new_conversation(tenant)
    request = IdempotentRequest.of(tenant, "append", "key-1", b"{}")
    answers: list[AppendResult] = at_once(10, lambda _: say(tenant, "once", expected_seq=0, request=request))
    assert len({(answer.entry.seq, answer.entry.hash) for answer in answers}) == 1
    assert read_seqs(pk) == [0, 1]


def test_of_writers_who_expect_the_same_tail_one_wins(tenant: str) -> None:
    pk = new_conversation(tenant)
    for seq in range(5):
        answers = at_once(8, lambda turn, seq=seq: say(tenant, str(turn), expected_seq=seq))
        assert sum(isinstance(answer, AppendResult) for answer in answers) == 1
        refusals = [answer for answer in answers if isinstance(answer, PreconditionFailed)]
        assert [refusal.current for refusal in refusals] == [seq + 1] * 7
    assert read_seqs(pk) == [0, 1, 2, 3, 4, 5]
    assert verify_stored(pk).valid


def test_expecting_and_other_writers_together_leave_no_gap(tenant: str) -> None:
    pk = new_conversation(tenant)
    answers = at_once(8, lambda turn: say(tenant, str(turn), **({"expected_seq": 0} if turn % 2 else {})))
    stored = [answer for answer in answers if isinstance(answer, AppendResult)]
    assert len(stored) >= 4
    assert read_seqs(pk) == list(range(len(stored) + 1))


def test_participants_who_meet_at_once_share_one_conversation(tenant: str) -> None:
    def ask(turn: int) -> CreateResult:
        participants = PAIR if turn % 2 else {"agent1": "critic", "agent2": "planner"}
        return get_or_create(tenant, NewConversation("agent-agent", participants, {}), "key-1")

    answers: list[CreateResult] = at_once(20, ask)
    assert len({answer.head.genesis.conversation_id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1


def test_an_id_that_is_asked_for_at_once_is_given_once(tenant: str) -> None:
    new = NewConversation("agent-agent", PAIR, {}, "conv-1")
    answers = at_once(10, lambda _: create(tenant, new, "key-1"))
    assert sum(isinstance(answer, CreateResult) for answer in answers) == 1
    assert sum(isinstance(answer, ConversationAlreadyExists) for answer in answers) == 9


def test_equal_requests_for_a_conversation_at_once_make_one(tenant: str) -> None:
    request = IdempotentRequest.of(tenant, "create", "key-1", b"{}")
    new = NewConversation("agent-agent", PAIR, {})
    answers: list[CreateResult] = at_once(10, lambda _: create(tenant, new, "key-1", request))
    assert len({answer.head.genesis.conversation_id for answer in answers}) == 1
    (pk,) = {f"T#{tenant}#C#{answer.head.genesis.conversation_id}" for answer in answers}
    assert len(list(walk(pk))) == 1


def _seq(pk: str) -> int:
    tail = read_tail(pk)
    assert tail
    return tail.seq


@pytest.mark.parametrize("is_known", [True, False])
def test_one_key_at_once_for_several_places_and_for_none_is_stored_once(tenant: str, is_known: bool) -> None:
    pk = new_conversation(tenant)
    request = IdempotentRequest.of(tenant, "append", "key-1", b"{}")
    expected = [None, 0, 1, 2]

    def ask(turn: int) -> AppendResult:
        if not is_known:
            tails.forget(pk)
        return say(tenant, "once", expected_seq=expected[turn % 4], request=request)

    answers = at_once(12, ask)
    stored = [answer for answer in answers if isinstance(answer, AppendResult)]
    assert stored
    assert len({answer.entry.entry_id for answer in stored}) == 1
    assert all(isinstance(answer, PreconditionFailed) for answer in answers if answer not in stored)
    assert read_seqs(pk) == [0, 1]


def test_one_key_at_once_beside_other_writers_is_stored_once(tenant: str) -> None:
    pk = new_conversation(tenant)
    request = IdempotentRequest.of(tenant, "append", "key-1", b"{}")

    def ask(turn: int) -> AppendResult:
        if turn % 2:
            return say(tenant, "another's")
        expected = [None, _seq(pk)][turn % 4 // 2]
        return say(tenant, "once", expected_seq=expected, request=request)

    answers = at_once(16, ask)
    assert sum("once" in content for content in read_contents(pk)) == 1
    assert all(isinstance(answer, AppendResult | PreconditionFailed) for answer in answers)
    assert verify_stored(pk).valid


def test_equal_first_turns_at_once_begin_one_conversation(tenant: str) -> None:
    request = IdempotentRequest.of(tenant, "remember", "key-1", b"{}")
    new = NewConversation("agent-agent", PAIR, {})
    answers: list[Any] = at_once(
        10, lambda _: create_with_messages(tenant, new, "key-1", [user_message("first")], request)
    )
    assert len({genesis.conversation_id for genesis, _ in answers}) == 1
    assert sum(not appended.replayed for _, appended in answers) == 1
    assert read_seqs(answers[0][1].entry.pk) == [0, 1]


def test_first_messages_between_the_same_agents_at_once_share_one_conversation(tenant: str) -> None:
    new = NewConversation("agent-agent", PAIR, {})
    answers: list[Any] = at_once(10, lambda turn: append_or_create(tenant, new, "key-1", [user_message(str(turn))]))
    (pk,) = {appended.entry.pk for _, appended in answers}
    assert read_seqs(pk) == list(range(11))
    assert verify_stored(pk).valid
