"""Several makers of one session at once, and one that is erased meanwhile, on databases where concurrency is real."""

from __future__ import annotations

from typing import Any

import pytest

from annals.conversations.create import (
    CreateResult,
    NewConversation,
    create,
    create_with_messages_if_missing,
    get_or_create,
    get_session,
)
from annals.errors import ConversationAlreadyExists, SessionAlreadyExists, SessionNotFound
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE
from annals.ledger.idempotency import IdempotentRequest
from tests.support.ledgers import read_seqs, user_message
from tests.support.racing import at_once

pytestmark = pytest.mark.usefixtures("database")

ADA = {"userId": "ada", "memorySpaceId": "work"}


def session(conversation_id: str | None = None, owners: Any = ADA) -> NewConversation:
    return NewConversation("user-agent", owners, {}, conversation_id, session_id="s-1")


def erase(tenant: str, conversation_id: str) -> None:
    append(tenant, conversation_id, [NewRecord(ERASURE, b"{}")], state=ERASED)


def ids(answers: list[CreateResult]) -> set[str]:
    return {answer.head.genesis.conversation_id for answer in answers}


def test_however_many_ask_for_a_session_at_once_it_is_made_once(tenant: str) -> None:
    answers: list[CreateResult] = at_once(20, lambda _: get_or_create(tenant, session(), "key-1"))
    (made,) = ids(answers)
    assert sum(answer.created for answer in answers) == 1
    assert get_session(tenant, "s-1", ADA).genesis.conversation_id == made


def test_two_users_who_ask_at_once_get_a_session_each(tenant: str) -> None:
    owners = [ADA, {**ADA, "userId": "bob"}, {"userId": "ada"}, {}]
    answers: list[CreateResult] = at_once(16, lambda turn: get_or_create(tenant, session(owners=owners[turn % 4]), "k"))
    assert len(ids(answers)) == 4
    assert all(answer.head.genesis.participants == owners[turn % 4] for turn, answer in enumerate(answers))


def test_equal_requests_for_a_session_at_once_are_answered_alike(tenant: str) -> None:
    request = IdempotentRequest.of(tenant, "by-session", "key-1", b"{}")
    answers: list[CreateResult] = at_once(10, lambda _: get_or_create(tenant, session(), "key-1", request))
    assert len(ids(answers)) == 1
    assert all(answer.created for answer in answers)
    assert sum(not answer.replayed for answer in answers) == 1


def test_of_conversations_that_would_be_one_session_at_once_one_is(tenant: str) -> None:
    answers = at_once(10, lambda turn: create(tenant, session(f"conv-{turn}"), "key-1"))
    (made,) = [answer for answer in answers if isinstance(answer, CreateResult)]
    assert sum(isinstance(answer, SessionAlreadyExists) for answer in answers) == 9
    assert get_session(tenant, "s-1", ADA) == made.head


def test_a_session_s_own_id_that_is_asked_for_at_once_is_given_once(tenant: str) -> None:
    answers = at_once(10, lambda _: create(tenant, session("conv-1"), "key-1"))
    assert sum(isinstance(answer, CreateResult) for answer in answers) == 1
    assert sum(isinstance(answer, ConversationAlreadyExists) for answer in answers) == 9


def test_first_messages_of_a_session_at_once_make_it_once(tenant: str) -> None:
    new = session("conv-1")
    answers = at_once(8, lambda turn: create_with_messages_if_missing(tenant, new, "key-1", [user_message(str(turn))]))
    (made,) = [answer for answer in answers if answer is not None]
    assert read_seqs(made[1].entry.pk) == [0, 1]


def test_an_erased_session_is_made_again_once_by_however_many_ask(tenant: str) -> None:
    first = get_or_create(tenant, session(), "key-1").head.genesis.conversation_id
    # The lock is still there, as it is between an erasure's record and what follows it.
    erase(tenant, first)
    with pytest.raises(SessionNotFound):
        get_session(tenant, "s-1", ADA)
    answers: list[CreateResult] = at_once(10, lambda _: get_or_create(tenant, session(), "key-1"))
    assert len(ids(answers) | {first}) == 2
    assert sum(answer.created for answer in answers) == 1


def test_an_erasure_between_two_who_make_a_session_leaves_it_to_one_conversation(tenant: str) -> None:
    first = get_or_create(tenant, session(), "key-1").head.genesis.conversation_id

    def act(turn: int) -> Any:
        return erase(tenant, first) if turn == 0 else get_or_create(tenant, session(), "key-1")

    at_once(8, act)
    answers: list[CreateResult] = at_once(4, lambda _: get_or_create(tenant, session(), "key-1"))
    assert len(ids(answers)) == 1
    assert first not in ids(answers)
