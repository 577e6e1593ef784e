"""Sessions of agno: found by their ids, kept apart by their users, listed without their runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agno.db.base import SessionType
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import Session
from agno.session.agent import AgentSession
from agno.session.summary import SessionSummary
from agno.session.team import TeamSession
from agno.session.workflow import WorkflowSession
from conftest import Requests

from annals_client import AnnalsError, Forbidden
from annals_client.integrations.agno import AnnalsDb
from annals_client.testing import Annals

NOW = int(time.time())


def agent_session(session_id: str = "tea", user_id: str | None = "ada", **more: Any) -> AgentSession:
    return AgentSession(
        **{"session_id": session_id, "agent_id": "guide", "user_id": user_id, "created_at": NOW, **more}
    )


def run(number: int) -> RunOutput:
    said = [Message(role="user", content=f"Question {number}"), Message(role="assistant", content="Answer")]
    return RunOutput(run_id=f"run-{number}", agent_id="guide", messages=said, status=RunStatus.completed)


def ids(sessions: Any) -> list[str]:
    return [session.session_id for session in sessions]


FULL: dict[str, Any] = {
    "session_id": "full / ☕",
    "user_id": "ada",
    "session_data": {"session_name": "Tea", "session_state": {"cups": 2.5, "none": None}, "session_metrics": {"a": 1}},
    "metadata": {"nested": {"list": [1, None, "x"]}},
    "created_at": NOW - 1000,
}


@pytest.mark.parametrize(
    "session",
    [
        AgentSession(**FULL, agent_id="guide", agent_data={"name": "Guide"}, summary=SessionSummary("Tea.", ["tea"])),
        TeamSession(**FULL, team_id="crew", team_data={"name": "Crew"}, summary=SessionSummary("Tea.", ["tea"])),
        WorkflowSession(**FULL, workflow_id="flow", workflow_data={"name": "Flow"}),
    ],
    ids=["agent", "team", "workflow"],
)
def test_a_session_comes_back_with_all_of_its_fields(new_db: Callable[[], Any], session: Session) -> None:
    new_db().upsert_session(session)
    found = new_db().get_session(session.session_id)
    assert type(found) is type(session)
    expected = {**session.to_dict(), "updated_at": session.created_at, "runs": None}
    assert {**found.to_dict(), "runs": None} == expected


def test_a_session_keeps_when_it_was_made_and_says_when_it_changed(db: Any) -> None:
    db.upsert_session(agent_session(created_at=NOW - 500))
    changed = db.upsert_session(agent_session(created_at=NOW, session_data={"session_state": {"cups": 1}}))
    assert isinstance(changed, AgentSession)
    assert changed.created_at == NOW - 500
    assert changed.updated_at is not None
    assert changed.updated_at >= NOW
    bulk = db.upsert_sessions([agent_session(updated_at=123)], preserve_updated_at=True)
    assert [each.updated_at for each in bulk] == [123]


def test_another_owners_write_is_refused_and_logged(
    new_db: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    new_db().upsert_session(agent_session(session_data={"session_name": "Ada's"}))
    for database in (new_db(), new_db()):
        assert database.upsert_session(agent_session(user_id="bob")) is None
        assert database.upsert_session(agent_session(user_id=None)) is None
        assert database.upsert_sessions([agent_session(user_id="bob"), agent_session("free", "bob")])[1:] == []
        assert database.get_session("tea", user_id="bob") is None
        assert database.rename_session("tea", None, "Bob's", user_id="bob") is None
        assert not database.delete_session("tea", user_id="bob")
        assert not database.delete_session("tea", user_id="")
    found = new_db().get_session("tea")
    assert isinstance(found, AgentSession)
    assert (found.user_id, found.session_data) == ("ada", {"session_name": "Ada's"})
    assert any(record.levelname == "ERROR" and "another user" in record.message for record in caplog.records)


def test_a_session_of_nobody_becomes_its_first_users(new_db: Callable[[], Any], annals: Annals) -> None:
    first, second = new_db(), new_db()
    first.upsert_session(agent_session(user_id=None))
    first.upsert_run(run(1), "tea", None)
    second.get_session("tea")
    assert first.upsert_session(agent_session(user_id="ada")) is not None
    assert second.upsert_session(agent_session(user_id="bob")) is None
    second.upsert_run(run(2), "tea", "ada")
    assert ids(new_db().get_sessions(user_id="ada")) == ["tea"]
    found = new_db().get_session("tea", user_id="ada")
    assert isinstance(found, AgentSession)
    assert [each.run_id for each in found.runs or []] == ["run-1", "run-2"]


def test_two_who_make_the_same_session_at_once_make_one(new_db: Callable[[], Any]) -> None:
    databases = [new_db() for _ in range(4)]
    sessions = [agent_session(user_id="ada" if number % 2 else "bob") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda number: databases[number].upsert_session(sessions[number]), range(4)))
    owner = new_db().get_session("tea").user_id
    assert [result is not None for result in results] == [session.user_id == owner for session in sessions]
    assert len(new_db().get_sessions()) == 1


def test_a_deleted_session_is_erased_and_its_id_is_free(new_db: Callable[[], Any], annals: Annals) -> None:
    first, second = new_db(), new_db()
    first.upsert_session(agent_session(summary=SessionSummary("Secret.", [])))
    first.upsert_run(run(1), "tea", "ada")
    second.get_session("tea")
    assert first.delete_session("tea", user_id="ada")
    assert not first.delete_session("tea")
    for database in (first, second):
        assert database.get_session("tea") is None
        assert database.get_run("run-1") is None
        assert database.get_sessions() == []
    assert second.upsert_session(agent_session(user_id="bob")) is not None
    second.upsert_run(run(1), "tea", "bob")
    assert first.upsert_session(agent_session(user_id="ada")) is None
    found = first.get_session("tea", user_id="bob")
    assert isinstance(found, AgentSession)
    assert ([each.run_id for each in found.runs or []], found.summary) == (["run-1"], None)


def test_a_session_whose_conversation_was_erased_elsewhere_is_gone_and_can_begin_anew(
    new_db: Callable[[], Any], annals: Annals
) -> None:
    databases = new_db(), new_db()
    for database in databases:
        database.upsert_session(agent_session(summary=SessionSummary("Secret.", [])))
        database.upsert_session(agent_session("other"))
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    annals.conversations.erase(talk.conversation_id)
    for database in databases:
        assert database.get_session("tea") is None
        rows, total = database.get_sessions(deserialize=False, limit=5)
        assert ([row["session_id"] for row in rows], total) == (["other"], 1)
    for database in databases:
        assert database.upsert_session(agent_session(user_id="bob")) is not None
    assert new_db().get_session("tea", user_id="bob") is not None


def test_erasing_a_user_takes_all_that_agno_kept_of_them(new_db: Callable[[], Any], annals: Annals) -> None:
    database = new_db()
    for user_id in ("ada", "bob"):
        database.upsert_session(agent_session(f"of-{user_id}", user_id, session_data={"session_name": user_id}))
        database.upsert_run(run(1 if user_id == "ada" else 2), f"of-{user_id}", user_id)
    annals.users.erase("ada")
    for each in (database, new_db()):
        assert each.get_session("of-ada") is None
        assert ids(each.get_sessions()) == ["of-bob"]
        assert each.get_run("run-1") is None
        assert each.get_run("run-2") is not None


def test_sessions_are_listed_with_a_true_limit_and_total_and_without_reading_runs(db: Any, requests: Requests) -> None:
    for number in range(6):
        db.upsert_session(agent_session(f"s{number}", created_at=NOW + number))
        db.upsert_run(run(number), f"s{number}", "ada")
    db.upsert_session(agent_session("bobs", "bob"))
    requests.clear()
    some = db.get_sessions(user_id="ada", limit=2, page=2, sort_by="created_at", sort_order="desc", include_runs=False)
    assert ids(some) == ["s3", "s2"]
    assert requests.routes == ["POST /v1/documents/list", "POST /v1/documents/batch"]
    assert [session.runs for session in some] == [[], []]
    rows, total = db.get_sessions(user_id="ada", limit=2, include_runs=False, deserialize=False)
    assert (len(rows), total) == (2, 6)
    assert rows[0]["runs"] is None
    whole = db.get_sessions(user_id="ada", limit=1)
    assert [each.run_id for each in whole[0].runs or []] == ["run-0"]


def test_sessions_are_filtered_and_sorted_as_agno_says(db: Any) -> None:
    names = ["Green tea", "Black TEA", "Water", None]
    for number, name in enumerate(names):
        data = {"session_name": name} if name else None
        db.upsert_session(agent_session(f"s{number}", created_at=NOW - number, session_data=data))
    db.upsert_session(TeamSession(session_id="crew", team_id="guide", created_at=NOW + 50, user_id="ada"))
    db.rename_session("s3", SessionType.AGENT, "Ice tea")
    assert sorted(ids(db.get_sessions(session_name="tea"))) == ["s0", "s1", "s3"]
    assert ids(db.get_sessions(component_id="guide", session_type=SessionType.TEAM)) == ["crew"]
    assert len(db.get_sessions(component_id="guide")) == 5
    assert ids(db.get_sessions(start_timestamp=NOW - 1, end_timestamp=NOW)) == ["s0", "s1"]
    assert ids(db.get_sessions()) == ["s0", "s1", "s2", "s3", "crew"]
    assert ids(db.get_sessions(sort_by="created_at", sort_order="asc", limit=2)) == ["s3", "s2"]
    assert ids(db.get_sessions(sort_by="updated_at", limit=1)) in (["crew"], ["s3"])
    assert len(db.get_sessions(sort_by="nonsense")) == 5


def test_a_read_error_is_raised_and_never_looks_like_an_empty_session(annals: Annals, annals_url: str) -> None:
    AnnalsDb(annals).upsert_session(agent_session())
    weak = annals.keys.create("elsewhere", ["read", "write"], memory_spaces=["elsewhere"])
    database = AnnalsDb(url=annals_url, key=weak.key)
    for read in (database.get_session, lambda _: database.get_sessions()):
        with pytest.raises(AnnalsError):
            read("tea")
    blind = annals.keys.create("writer", ["write"])
    with pytest.raises(Forbidden):
        AnnalsDb(url=annals_url, key=blind.key).get_session("tea")


def test_a_key_limited_to_the_databases_space_is_enough(annals: Annals, annals_url: str) -> None:
    limited = annals.keys.create("agno only", ["read", "write", "erase"], memory_spaces=["agno"])
    database = AnnalsDb(url=annals_url, key=limited.key)
    database.upsert_session(agent_session())
    database.upsert_run(run(1), "tea", "ada")
    assert ids(database.get_sessions(user_id="ada")) == ["tea"]
    assert database.delete_session("tea")


def test_databases_of_different_spaces_share_nothing(annals: Annals) -> None:
    one, other = AnnalsDb(annals, memory_space_id="one"), AnnalsDb(annals, memory_space_id="other")
    one.upsert_session(agent_session())
    assert other.get_session("tea") is None
    assert other.upsert_session(agent_session(user_id="bob")) is not None
    assert ids(one.get_sessions()) == ["tea"]


def test_daily_figures_are_those_of_agnos_own_arithmetic(db: Any) -> None:
    figures = []
    databases: tuple[Any, ...] = (InMemoryDb(), db)  # type: ignore[no-untyped-call]
    for database in databases:
        for user_id in ("ada", None):
            tokens = {"session_metrics": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}
            database.upsert_session(agent_session(f"of-{user_id}", user_id, session_data=tokens))
            done = RunOutput(run_id=f"run-{user_id}", agent_id="guide", model="m", model_provider="p")
            database.upsert_run(done, f"of-{user_id}", user_id)
        for _ in range(2):
            database.calculate_metrics()
        records, latest = database.get_metrics()
        assert latest is not None
        kept = [{name: value for name, value in record.items() if not name.endswith("_at")} for record in records]
        figures.append(sorted(kept, key=str))
        assert len(database.get_metrics(user_id="")[0]) == len(database.get_metrics(user_id="ada")[0]) == 1
    assert figures[0] == figures[1]


def test_what_is_not_kept_says_so(db: Any) -> None:
    for refused in (db.get_traces, db.get_learnings, db.get_eval_runs, db.get_knowledge_contents, db.create_spans):
        with pytest.raises(NotImplementedError, match="AnnalsDb keeps sessions, runs, memories"):
            refused()
    with pytest.raises(NotImplementedError):
        db.get_schedules()


def test_a_database_is_named_again_by_what_its_dict_says(annals_environment: None) -> None:
    database = AnnalsDb(memory_space_id="tea")
    again = AnnalsDb.from_dict(database.to_dict())
    assert (again.memory_space_id, again.id) == ("tea", database.id)
    assert "key" not in database.to_dict()
