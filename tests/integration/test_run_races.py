"""Runs that are put at once, on databases where concurrency is real."""

from __future__ import annotations

from typing import Any

import pytest

from annals.conversations.create import NewConversation, create
from annals.conversations.run_items import NewRun
from annals.conversations.run_store import PutResult, delete_run, find_run, put_run, walk_runs
from annals.errors import ConversationErased, PreconditionFailed
from annals.memory.erasure.conversation_erasure import erase_conversation
from tests.support.racing import at_once

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def pk(tenant: str) -> str:
    new = NewConversation("user-agent", {"userId": "ada"}, {}, "talk", session_id="s")
    return create(tenant, new, "key-1").head.pk


def ids(pk: str) -> list[str]:
    return [run.run_id for run, _ in walk_runs(pk)]


def test_runs_that_are_created_at_once_get_numbers_without_a_gap(pk: str) -> None:
    answers: list[PutResult] = at_once(12, lambda turn: put_run(pk, NewRun(f"r-{turn}", "running")))
    assert sorted(answer.run.number for answer in answers) == list(range(1, 13))
    by_number = sorted(answers, key=lambda answer: answer.run.number)
    assert ids(pk) == [answer.run.run_id for answer in by_number]


def test_one_run_that_is_created_at_once_is_one(pk: str) -> None:
    answers: list[PutResult] = at_once(10, lambda _: put_run(pk, NewRun("r", "running")))
    assert sum(answer.created for answer in answers) == 1
    assert {(answer.run.number, answer.run.version) for answer in answers} == {(1, 1)}
    assert ids(pk) == ["r"]


def test_of_those_who_replace_one_version_at_once_one_does(pk: str) -> None:
    put_run(pk, NewRun("r", "running"))
    answers = at_once(8, lambda turn: put_run(pk, NewRun("r", f"s-{turn}"), expected_version=1))
    (won,) = [answer for answer in answers if isinstance(answer, PutResult)]
    assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == 7
    stored = find_run(pk, "r")
    assert stored
    assert (stored.status, stored.version) == (won.run.status, 2)


def test_those_who_replace_whatever_is_there_at_once_all_do(pk: str) -> None:
    put_run(pk, NewRun("r", "running"))
    answers: list[PutResult] = at_once(6, lambda turn: put_run(pk, NewRun("r", f"s-{turn}")))
    assert sorted(answer.run.version for answer in answers) == [2, 3, 4, 5, 6, 7]


def test_a_run_that_is_deleted_and_put_at_once_is_there_whole_or_not_at_all(pk: str) -> None:
    put_run(pk, NewRun("r", "running", data="1"))

    def act(turn: int) -> Any:
        return delete_run(pk, "r") if turn % 2 else put_run(pk, NewRun("r", f"s-{turn}", data=str(turn)))

    at_once(8, act)
    put_run(pk, NewRun("last", "running"))
    assert ids(pk) in (["last"], ["r", "last"])


def test_an_erasure_beside_runs_that_are_put_leaves_none(tenant: str, pk: str) -> None:
    put_run(pk, NewRun("r", "running"))

    def act(turn: int) -> Any:
        if turn == 0:
            return erase_conversation(tenant, "talk", "key-1", budget_s=10)
        return put_run(pk, NewRun(f"r-{turn % 3}", f"s-{turn}"))

    answers = at_once(8, act)
    assert all(isinstance(answer, PutResult | ConversationErased) for answer in answers[1:])
    # One that was created before the erasure began, and is put after it, finds that.
    with pytest.raises(ConversationErased):
        put_run(pk, NewRun("late", "running"))
    erase_conversation(tenant, "talk", "key-1", budget_s=10)
    assert ids(pk) == []
