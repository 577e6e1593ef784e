"""Moving to Annals from agno's own databases."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from agno.db.schemas import UserMemory
from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.session.agent import AgentSession
from agno.session.summary import SessionSummary
from agno.session.team import TeamSession

from annals_client.integrations.agno.copying import Copied, copy_database, open_database

NOW = int(time.time())


def turn(number: int) -> RunOutput:
    said = [Message(role="user", content=f"Question {number}"), Message(role="assistant", content=f"Answer {number}")]
    return RunOutput(run_id=f"run-{number}", agent_id="guide", messages=said, content=f"Answer {number}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database of agno's, with two sessions of three runs, and two memories."""
    source = SqliteDb(db_file=str(tmp_path / "agno.db"))
    times: Any = {"created_at": NOW - 90, "updated_at": NOW - 50}
    state, summary = {"session_state": {"cups": 1}}, SessionSummary("On tea.", ["tea"])
    source.upsert_sessions(
        [
            AgentSession("tea", "guide", user_id="ada", session_data=state, summary=summary, **times),
            TeamSession("crew", team_id="crew", user_id="bob", **times),
        ],
        preserve_updated_at=True,
    )
    for number in range(3):
        source.upsert_run(turn(number), "tea" if number < 2 else "crew", "ada", number)
    for user_id in ("ada", "bob"):
        memory = UserMemory("Likes tea.", f"of-{user_id}", ["tea"], user_id, created_at=NOW - 70, updated_at=NOW - 60)
        source.upsert_memories([memory], preserve_updated_at=True)
    source.close()
    return tmp_path / "agno.db"


def test_what_was_copied_is_what_agno_reads_of_its_own_database(file: Path, db: Any) -> None:
    source: Any = open_database(file)
    assert copy_database(source, db) == Copied(sessions=2, runs=3, memories=2)
    for session_id in ("tea", "crew"):
        theirs, ours = (each.get_session(session_id, deserialize=False) for each in (source, db))
        assert ours["runs"] == theirs["runs"]
        assert {name: ours[name] for name in theirs if name in ours} == {
            name: value for name, value in theirs.items() if name in ours
        }
    assert db.get_user_memories("ada") == source.get_user_memories("ada")
    assert [run.run_id for run in db.get_session("tea").runs] == ["run-0", "run-1"]


def test_a_copy_that_is_made_again_completes_it_and_leaves_what_went_on(file: Path, db: Any) -> None:
    source = open_database(file)
    assert copy_database(source, db, dry_run=True) == Copied(sessions=2, runs=3, memories=2)
    assert db.get_sessions() == []
    copy_database(source, db)
    db.upsert_session(AgentSession("tea", "guide", user_id="ada", session_data={"session_state": {"cups": 2}}))
    db.upsert_user_memory(UserMemory("Likes coffee.", "of-ada", user_id="ada"))
    db.delete_run("run-2")
    expected = Copied(runs=1, sessions_there=2, runs_there=2, memories_there=2)
    assert copy_database(source, db) == expected
    assert db.get_session("tea").session_data == {"session_state": {"cups": 2}}
    assert db.get_user_memory("of-ada").memory == "Likes coffee."


def test_a_session_that_another_user_has_is_left_out_and_named(file: Path, db: Any) -> None:
    db.upsert_session(AgentSession("tea", "guide", user_id="eve", created_at=NOW))
    assert copy_database(open_database(file), db).refused == ["tea"]
    assert db.get_session("tea").runs == []


def test_a_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_database(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
