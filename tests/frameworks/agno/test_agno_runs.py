"""Runs of agno: exact, each message once, and as much work at turn 100 as at turn 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agno.db.base import SessionType
from agno.media import Audio, File, Image
from agno.metrics import MessageMetrics, RunMetrics
from agno.models.message import Citations, Message, UrlCitation
from agno.models.response import ToolExecution
from agno.run.agent import RunInput, RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.run.workflow import WorkflowRunOutput
from agno.session.agent import AgentSession
from agno.session.team import TeamSession
from conftest import Requests

from annals_client.testing import Annals

NOW = int(time.time())


def begin(db: Any, session_id: str = "tea", user_id: str | None = "ada") -> None:
    db.upsert_session(AgentSession(session_id=session_id, agent_id="guide", user_id=user_id, created_at=NOW))


def turn(number: int, **fields: Any) -> RunOutput:
    said = [Message(role="user", content=f"Question {number}"), Message(role="assistant", content=f"Answer {number}")]
    given: dict[str, Any] = {"messages": said, "content": f"Answer {number}", "status": RunStatus.completed, **fields}
    return RunOutput(run_id=f"run-{number}", agent_id="guide", session_id="tea", **given)


def rich_run() -> RunOutput:
    call = {"id": "c1", "type": "function", "function": {"name": "brew", "arguments": '{"minutes": 3.0}'}}
    messages = [
        Message(role="system", content="Be kind."),
        Message(role="user", content="Which tea is this?", images=[Image(content=b"\x89PNG", id="i1", format="png")]),
        Message(
            role="assistant",
            tool_calls=[call],
            reasoning_content="It looks green.",
            metrics=MessageMetrics(input_tokens=7),
        ),
        Message(role="tool", content='{"ok": true}', tool_call_id="c1", tool_name="brew", tool_args={"minutes": 3.0}),
        Message(
            role="assistant",
            content="Sencha — 煎茶.",
            provider_data={"id": "resp_1", "none": None},
            citations=Citations(urls=[UrlCitation(url="https://tea.example", title="Tea")]),
        ),
        Message(role="user", content=[{"type": "text", "text": "And this?"}, {"type": "text", "text": "Hm?"}]),
        Message(role="assistant", content=""),
    ]
    return RunOutput(
        run_id="rich",
        agent_id="guide",
        agent_name="Guide",
        session_id="tea",
        user_id="ada",
        status=RunStatus.completed,
        messages=messages,
        content="Sencha — 煎茶.",
        input=RunInput(input_content="Which tea is this?", images=[Image(content=b"\x89PNG", id="i1")]),
        tools=[ToolExecution(tool_call_id="c1", tool_name="brew", tool_args={"minutes": 3.0}, result='{"ok": true}')],
        images=[Image(url="https://tea.example/a.png", id="i2")],
        audio=[Audio(content=b"RIFF", id="a1", format="wav")],
        files=[File(content=b"%PDF", filename="tea.pdf", mime_type="application/pdf")],
        metrics=RunMetrics(input_tokens=12, output_tokens=34, duration=0.25),
        metadata={"nested": {"list": [1, 2.5, None, "x"]}},
        session_state={"cups": 2},
        created_at=NOW,
    )


def stored(db: Any, session_id: str = "tea", **more: Any) -> list[dict[str, Any]]:
    row = db.get_session(session_id, deserialize=False, **more)
    assert isinstance(row, dict)
    runs: list[dict[str, Any]] = row["runs"]
    return runs


def test_a_run_comes_back_equal_with_tool_calls_media_and_metrics(new_db: Callable[[], Any]) -> None:
    db, run = new_db(), rich_run()
    begin(db)
    db.upsert_run(run, "tea", "ada", 0)
    assert stored(new_db()) == [run.to_dict()]
    session, found = new_db().get_session("tea", SessionType.AGENT), new_db().get_run("rich")
    assert isinstance(session, AgentSession)
    assert session.runs == [found] == [RunOutput.from_dict(run.to_dict())]


def test_a_run_is_stored_as_messages_of_the_ledger_under_their_own_ids(db: Any, annals: Annals) -> None:
    run = rich_run()
    begin(db)
    db.upsert_run(run, "tea", "ada", 0)
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    messages = [*annals.messages.list(talk.conversation_id)]
    assert [message.external_id for message in messages] == [message.id for message in run.messages or []]
    assert {message.run_id for message in messages} == {"rich"}
    assert [message.role for message in messages[:5]] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages[5].content == "And this?\nHm?"
    assert annals.conversations.verify(talk.conversation_id).valid


def test_what_a_run_says_can_be_searched_and_recalled(db: Any, annals: Annals) -> None:
    begin(db)
    db.upsert_run(rich_run(), "tea", "ada", 0)
    annals.settle()
    hits = annals.conversations.search("Sencha", user_id="ada")
    assert [hit.conversation.session_id for hit in hits] == ["tea"]


def test_runs_of_teams_and_workflows_come_back_equal(db: Any) -> None:
    member = turn(1, parent_run_id="team-run")
    team = TeamRunOutput(
        run_id="team-run",
        team_id="crew",
        messages=[Message(role="user", content="Go")],
        member_responses=[member],
        status=RunStatus.completed,
        created_at=NOW,
    )
    workflow = WorkflowRunOutput(run_id="flow-run", workflow_id="flow", status=RunStatus.completed, created_at=NOW)
    db.upsert_session(TeamSession(session_id="crew", team_id="crew", user_id="ada", created_at=NOW))
    for each in (team, member, workflow):
        db.upsert_run(each, "crew", "ada")
    for expected in (team, workflow):
        row = db.get_run(str(expected.run_id), deserialize=False)
        assert isinstance(row, dict)
        assert row["run_data"] == expected.to_dict()
        assert type(db.get_run(str(expected.run_id))) is type(expected)
    session = db.get_session("crew", SessionType.TEAM)
    assert isinstance(session, TeamSession)
    assert [run.run_id for run in session.runs or []][:2] == ["team-run", "run-1"]


@pytest.mark.parametrize("size", [500_000, 5_000_000])
def test_a_run_of_any_size_is_kept(db: Any, size: int) -> None:
    begin(db)
    huge = "wort – " * (size // 9)
    run = turn(1, content=huge, metadata={"note": huge})
    run.messages = [
        Message(role="user", content=huge),
        Message(role="tool", content=huge, tool_call_id="c1"),
        Message(role="assistant", images=[Image(content=huge.encode(), id="i")], content="Seen."),
    ]
    db.upsert_run(run, "tea", "ada")
    assert stored(db) == [run.to_dict()]


def test_a_run_that_is_stored_again_adds_nothing(new_db: Callable[[], Any], annals: Annals) -> None:
    begin(new_db())
    for _ in range(2):
        new_db().upsert_run(turn_with_ids(), "tea", "ada", 0)
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    assert talk.message_count == 2
    assert len(stored(new_db())) == 1


def turn_with_ids(*more: Message, **fields: Any) -> RunOutput:
    said = [
        Message(id="m1", role="user", content="Question", created_at=NOW),
        Message(id="m2", role="assistant", content="Answer", created_at=NOW),
        *more,
    ]
    return turn(1, messages=said, created_at=NOW, **fields)


@pytest.mark.parametrize("is_other_process", [False, True])
def test_a_run_that_goes_on_appends_only_what_is_new(
    new_db: Callable[[], Any], annals: Annals, is_other_process: bool
) -> None:
    first = new_db()
    begin(first)
    first.upsert_run(turn_with_ids(status=RunStatus.paused), "tea", "ada", 0)
    whole = turn_with_ids(Message(id="m3", role="assistant", content="More", created_at=NOW))
    (new_db() if is_other_process else first).upsert_run(whole, "tea", "ada")
    assert stored(new_db()) == [whole.to_dict()]
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    assert [message.external_id for message in annals.messages.list(talk.conversation_id)] == ["m1", "m2", "m3"]


@pytest.mark.parametrize("is_other_process", [False, True])
def test_a_message_that_says_something_else_now_is_kept_as_it_is_now(
    new_db: Callable[[], Any], is_other_process: bool
) -> None:
    first = new_db()
    begin(first)
    run = turn_with_ids()
    first.upsert_run(run, "tea", "ada", 0)
    assert run.messages is not None
    run.messages[1].content = "A better answer"
    run.messages[0].compressed_content = "Q"
    run.messages[0].checkpoint_status = "RUNNING"
    for _ in range(2):
        (new_db() if is_other_process else first).upsert_run(run, "tea", "ada")
    assert stored(new_db()) == [run.to_dict()]


def test_history_that_a_run_repeats_is_not_appended_again(db: Any, annals: Annals) -> None:
    begin(db)
    first = turn_with_ids()
    db.upsert_run(first, "tea", "ada", 0)
    repeated = [message.model_copy(update={"from_history": True}) for message in first.messages or []]
    second = turn(2, messages=[Message(role="system", content="S"), *repeated, Message(role="user", content="Next")])
    db.upsert_run(second, "tea", "ada", 1)
    assert stored(db) == [first.to_dict(), second.to_dict()]
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    assert talk.message_count == 4


def test_two_turns_at_once_are_both_kept_each_in_a_place_of_its_own(new_db: Callable[[], Any]) -> None:
    begin(new_db())
    databases = [new_db() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: databases[number].upsert_run(turn(number), "tea", "ada", 0), range(4)))
    rows, total = new_db().get_runs("tea", deserialize=False)
    assert total == 4
    assert [row["run_index"] for row in rows] == [0, 1, 2, 3]
    assert sorted(run["run_id"] for run in stored(new_db())) == [f"run-{number}" for number in range(4)]


def test_a_turn_sends_what_it_adds_however_many_there_were(db: Any, requests: Requests) -> None:
    costs = []
    session = AgentSession(session_id="tea", agent_id="guide", user_id="ada", created_at=NOW)
    for number in range(12):
        requests.clear()
        session.runs = [turn(each) for each in range(number + 1)]
        db.upsert_session(session)
        db.upsert_run(turn(number), "tea", "ada", number)
        costs.append((len(requests), requests.sent_bytes))
    assert costs[-1][0] == costs[1][0] <= 4
    assert abs(costs[-1][1] - costs[1][1]) < 100


def test_a_limit_reads_the_newest_runs_of_the_history_alone(db: Any, requests: Requests) -> None:
    begin(db)
    skipped = {3: RunStatus.error, 5: RunStatus.paused}
    for number in range(8):
        parent = "run-0" if number == 6 else None
        run = turn(number, status=skipped.get(number, RunStatus.completed), parent_run_id=parent)
        db.upsert_run(run, "tea", "ada", number)
    requests.clear()
    assert [run["run_id"] for run in stored(db, runs_limit=3)] == ["run-2", "run-4", "run-7"]
    assert not any(route.endswith("/messages") for route in requests.routes)
    assert stored(db, runs_limit=0) == []
    assert len(stored(db)) == 8


def test_runs_are_listed_by_what_they_are_with_a_limit_and_a_total(db: Any) -> None:
    begin(db)
    begin(db, "other", "bob")
    for number in range(5):
        db.upsert_run(turn(number, status=RunStatus.error if number == 2 else RunStatus.completed), "tea", "ada")
    db.upsert_run(RunOutput(run_id="bobs", agent_id="guide", status=RunStatus.completed), "other", "bob")
    rows, total = db.get_runs(session_id="tea", status=RunStatus.completed, limit=2, page=2, deserialize=False)
    assert ([row["run_id"] for row in rows], total) == (["run-3", "run-4"], 4)
    assert [run.run_id for run in db.get_runs(user_id="bob")] == ["bobs"]
    with pytest.raises(ValueError, match="page"):
        db.get_runs(page=2)


def test_a_deleted_run_is_gone_with_its_words(db: Any, annals: Annals) -> None:
    begin(db)
    for number in (1, 2):
        db.upsert_run(turn(number), "tea", "ada")
    assert db.delete_run("run-1")
    assert not db.delete_run("run-1")
    assert db.get_run("run-1") is None
    assert [run["run_id"] for run in stored(db)] == ["run-2"]
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    assert [message.content for message in annals.messages.list(talk.conversation_id)][:2] == ["", ""]


def test_a_message_that_was_redacted_is_gone_from_its_run_and_all_that_repeats_it(db: Any, annals: Annals) -> None:
    begin(db)
    secret = Message(role="user", content="My number is 12.")
    run = turn(1, messages=[secret, Message(role="assistant", content="Noted.")], content="Noted.")
    run.input = RunInput(input_content="My number is 12.")
    db.upsert_run(run, "tea", "ada")
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    annals.messages.redact(talk.conversation_id, "msg-001", reason="private")
    db.upsert_run(run, "tea", "ada")  # a writer that still has the words stores them no more
    assert "12" not in str(stored(db))
    assert "12" not in str([run.data for run in annals.runs.list(talk.conversation_id, include_data=True)])


def test_what_a_rewind_took_back_is_gone_from_its_runs(db: Any, annals: Annals) -> None:
    begin(db)
    for number in (1, 2):
        db.upsert_run(turn(number), "tea", "ada")
    talk = annals.conversations.find_session("tea", user_id="ada", memory_space_id="agno")
    assert talk is not None
    annals.conversations.rewind(talk.conversation_id, to_seq=2)
    for runs in (stored(db), stored(db, runs_limit=5)):
        assert [len(run["messages"]) for run in runs] == [2, 0]
        assert runs[1]["content"] == ""


def test_a_long_text_in_any_script_is_kept(db: Any) -> None:
    begin(db)
    run = turn(1, messages=[Message(role="user", content="茶" * 290_000), Message(role="assistant", content="好")])
    db.upsert_run(run, "tea", "ada")
    assert stored(db) == [run.to_dict()]


def test_a_run_of_another_user_or_of_no_session_is_refused(db: Any, caplog: pytest.LogCaptureFixture) -> None:
    begin(db)
    with pytest.raises(ValueError, match="belongs to another user"):
        db.upsert_run(turn(1), "tea", "bob")
    with pytest.raises(ValueError, match="no session"):
        db.upsert_run(turn(1), "nowhere", "ada")
    with pytest.raises(ValueError, match="run_id"):
        db.upsert_run(RunOutput(run_id=None), "tea", "ada")
    assert stored(db) == []
    assert [record.levelname for record in caplog.records if "did not store" in record.message] == ["ERROR"] * 3


def test_a_pending_run_is_cancelled_once_and_a_completed_one_never(db: Any) -> None:
    begin(db)
    db.upsert_run(turn(1, status=RunStatus.pending, content=None, messages=None), "tea", "ada")
    db.upsert_run(turn(2), "tea", "ada")
    assert not db.cancel_pending_run("run-1", session_id="tea", reason="late", user_id="bob")
    assert db.cancel_pending_run("run-1", session_id="tea", reason="late", user_id="ada")
    assert not db.cancel_pending_run("run-1", session_id="tea", reason="late", user_id="ada")
    assert not db.cancel_pending_run("run-2", session_id="tea", reason="late", user_id="ada")
    run = db.get_run("run-1")
    assert isinstance(run, RunOutput)
    assert (run.status, run.content) == (RunStatus.cancelled, "late")
