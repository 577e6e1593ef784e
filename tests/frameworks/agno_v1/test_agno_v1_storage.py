"""Sessions of agno 1, kept by Annals."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import served
from agno.agent import Agent
from agno.memory.agent import AgentMemory
from agno.memory.v2.memory import Memory
from agno.models.message import Message
from agno.run.v2.workflow import WorkflowRunResponse
from agno.storage.session import AgentSession, Session, TeamSession, WorkflowSession, WorkflowSessionV2
from agno.storage.sqlite import SqliteStorage
from agno.team import Team
from agno_v1_fakes import Echo

from annals_client import AnnalsError, AsyncAnnals, Conflict
from annals_client.integrations.agno_v1 import AnnalsStorage
from annals_client.testing import Annals

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/agno_v1_agent.py"
LONG = "What I want to say takes more than a few words, so it is here. "


@pytest.fixture
def storage(annals: Annals) -> AnnalsStorage:
    return AnnalsStorage(client=annals)


def turn(storage: Any, said: str, session_id: str = "s", user_id: str | None = "ada", **options: Any) -> Any:
    """A turn as in a function: by an agent of its own."""
    options = {"model": Echo(), "memory": Memory(), "description": "You help.", "telemetry": False, **options}
    return Agent(storage=storage, session_id=session_id, user_id=user_id, **options).run(said)


def runs_of(session: Session | None) -> list[dict[str, Any]]:
    assert isinstance(session, AgentSession)
    assert session.memory is not None
    runs: list[dict[str, Any]] = session.memory["runs"]
    return runs


def told(session: Session | None) -> list[str]:
    """What the user said, by the runs of a session."""
    messages = [each for run in runs_of(session) for each in run["messages"] if not each["from_history"]]
    return [each["content"] for each in messages if each["role"] == "user"]


def without_times(session: Session | None) -> dict[str, Any]:
    assert session is not None
    return {name: value for name, value in session.to_dict().items() if name not in ("created_at", "updated_at")}


class Both(SqliteStorage):
    """agno's own storage, beside ours."""

    def __init__(self, ours: AnnalsStorage, file: Path) -> None:
        super().__init__(table_name="t", db_file=str(file))
        self.ours = ours
        self.create()

    def upsert(self, session: Session, create_and_retry: bool = True) -> Session | None:
        own = super().upsert(session)
        assert without_times(self.ours.upsert(session)) == without_times(own)
        return own


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("memory", [Memory, AgentMemory])
def test_a_session_is_what_agno_s_own_storage_keeps(
    storage: AnnalsStorage, annals: Annals, tmp_path: Path, history: bool, memory: Any
) -> None:
    both = Both(storage, tmp_path / "own.db")
    for number in range(5):
        state = {"n": [number, None]}
        turn(both, f"{LONG}{number}", add_history_to_messages=history, session_state=state, memory=memory())

    assert without_times(AnnalsStorage(client=annals).read("s")) == without_times(both.read("s"))


def test_an_agent_goes_on_where_another_one_was(storage: AnnalsStorage) -> None:
    def count(messages: list[Message]) -> str:
        return f"{len([each for each in messages if each.role == 'user'])} questions"

    answers = [turn(storage, f"q{n}", model=Echo(answer=count), add_history_to_messages=True).content for n in range(3)]

    assert answers == ["1 questions", "2 questions", "3 questions"]


def test_messages_are_in_the_ledger_once_each(storage: AnnalsStorage, annals: Annals) -> None:
    for said in ("hello", "and more", "and good-bye"):
        turn(storage, said, add_history_to_messages=True)

    talk = annals.conversations.find_session("agent_sessions/s", user_id="ada", memory_space_id="agno")
    assert talk is not None
    there = [(each.role, each.content) for each in annals.messages.list(talk.conversation_id)]
    assert [content for role, content in there if role == "user"] == ["hello", "and more", "and good-bye"]
    assert len([role for role, _ in there if role == "assistant"]) == 3


def cost(annals: Annals, work: Any) -> int:
    """The write units that some work takes."""
    spent = 0

    def note(response: httpx.Response) -> None:
        nonlocal spent
        spent += int(response.headers["x-annals-cost"].split("wcu=")[1].split(",")[0])

    url, key = served.url(), annals.sender.connection.key
    transport = httpx.HTTPTransport(uds=url.removeprefix("unix://")) if url.startswith("unix://") else None
    http = httpx.Client(headers={"X-Annals-Cost": "1"}, event_hooks={"response": [note]}, transport=transport)
    with Annals(url, key, http=http) as metered:
        work(AnnalsStorage(client=metered))
    return spent


def test_a_turn_costs_what_it_adds(storage: AnnalsStorage, annals: Annals) -> None:
    def one(metered: AnnalsStorage) -> None:
        turn(metered, "x" * 200, model=Echo(answer=lambda _: "y" * 800), add_history_to_messages=True)

    costs = [cost(annals, one) for _ in range(40)]

    assert max(costs[20:]) <= max(costs[1:10]) + 1, costs


def test_runs_that_are_added_at_once_are_all_kept(storage: AnnalsStorage) -> None:
    turn(storage, "first")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: turn(storage, f"at once {number}"), range(8)))

    assert sorted(told(storage.read("s"))) == [*[f"at once {n}" for n in range(8)], "first"]


def _turns(url: str, key: str, name: str) -> None:
    for number in range(3):
        turn(AnnalsStorage(url=url, key=key), f"{name} {number}")


def test_processes_share_a_session(annals_url: str, annals_key: str, storage: AnnalsStorage) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_turns, args=(annals_url, annals_key, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0

    assert sorted(told(storage.read("s"))) == [f"{name} {number}" for name in "ab" for number in range(3)]


def test_a_run_that_changes_is_replaced(storage: AnnalsStorage) -> None:
    turn(storage, "one")
    turn(storage, "two")
    session = storage.read("s")
    runs = runs_of(session)
    runs[0]["status"] = "CANCELLED"

    assert session is not None
    storage.upsert(session)

    assert next(run["status"] for run in runs_of(storage.read("s"))) == "CANCELLED"
    assert told(storage.read("s")) == ["one", "two"]


def test_the_same_session_id_of_two_users_is_refused_or_two_sessions(annals: Annals, storage: AnnalsStorage) -> None:
    session = AgentSession(session_id="s", user_id="ada", memory={"runs": []})
    storage.upsert(session)
    with pytest.raises(Conflict):
        storage.upsert(AgentSession(session_id="s", user_id="byron", memory={"runs": []}))
    assert storage.read("s", user_id="byron") is None

    for user in ("ada", "byron"):
        turn(AnnalsStorage(client=annals, user_id=user), f"of {user}", user_id=user)
    assert told(AnnalsStorage(client=annals, user_id="byron").read("s")) == ["of byron"]


def test_sessions_are_listed_by_user_and_agent_and_no_more_than_the_limit(storage: AnnalsStorage) -> None:
    for name, user in (("a", "ada"), ("b", "byron"), ("c", "ada")):
        turn(storage, "hi", session_id=name, user_id=user, agent_id=f"agent-{user}")

    assert sorted(storage.get_all_session_ids()) == ["a", "b", "c"]
    assert sorted(storage.get_all_session_ids(user_id="ada")) == ["a", "c"]
    assert [each.session_id for each in storage.get_all_sessions(entity_id="agent-byron")] == ["b"]
    assert len(storage.get_recent_sessions(limit=1)) == 1
    assert len(storage.get_recent_sessions()) == 2
    assert storage.get_recent_sessions(user_id="nobody") == []


def test_a_deleted_session_is_erased_and_its_id_is_free(storage: AnnalsStorage, annals: Annals) -> None:
    turn(storage, "a secret")
    talk = annals.conversations.find_session("agent_sessions/s", user_id="ada", memory_space_id="agno")
    assert talk is not None

    storage.delete_session("s")
    storage.delete_session()

    assert storage.read("s") is None
    with pytest.raises(AnnalsError):
        annals.conversations.get(talk.conversation_id)
    turn(storage, "anew")
    assert told(storage.read("s")) == ["anew"]
    storage.drop()
    assert storage.get_all_session_ids() == []


SESSIONS: list[tuple[str, Session]] = [
    ("team", TeamSession("s", team_id="t", user_id="ada", memory={"runs": [{"run_id": "r"}]}, team_data={"n": 1})),
    ("workflow", WorkflowSession("s", workflow_id="w", user_id="ada", memory={"x": [None]}, workflow_data={})),
    ("workflow_v2", WorkflowSessionV2("s", workflow_id="w", user_id="ada", workflow_name="W", workflow_data={"n": 1})),
    (
        "workflow_v2",
        WorkflowSessionV2("s", workflow_id="w", runs=[WorkflowRunResponse(run_id="r", content=LONG, workflow_id="w")]),
    ),
    ("agent", AgentSession("s")),
    ("agent", AgentSession("s", memory=None, session_data={"session_state": {"é": "\u2028"}}, extra_data={})),
]


@pytest.mark.parametrize(("mode", "session"), SESSIONS)
def test_sessions_of_every_kind_come_back_as_they_were(annals: Annals, mode: Any, session: Session) -> None:
    storage = AnnalsStorage(client=annals, mode=mode)

    storage.upsert(session)
    storage.upsert(session)

    found = storage.read("s")
    assert type(found) is type(session)
    assert without_times(found) == without_times(type(session).from_dict(session.to_dict()))


def test_a_team_goes_on(annals: Annals, tmp_path: Path) -> None:
    for number in range(3):
        storage = AnnalsStorage("teams", client=annals)
        member = Agent(name="Member", model=Echo(), telemetry=False)
        team = Team(
            members=[member],
            model=Echo(),
            storage=storage,
            memory=Memory(),
            session_id="s",
            user_id="ada",
            telemetry=False,
        )
        team.run(f"q{number}")

    session = AnnalsStorage("teams", client=annals, mode="team").read("s")
    assert isinstance(session, TeamSession)
    assert session.memory is not None
    assert len(session.memory["runs"]) == 3


@pytest.mark.parametrize("size", [500_000, 4_500_000])
def test_a_turn_of_any_size_is_kept(storage: AnnalsStorage, annals: Annals, size: int) -> None:
    said = "".join(f"{number} " for number in range(size // 6))

    turn(storage, said, model=Echo(answer=lambda _: "A lot."))

    assert told(AnnalsStorage(client=annals).read("s")) == [said]


def test_what_fails_is_raised(storage: AnnalsStorage, annals_url: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        storage.upsert(AgentSession(session_id="s", session_data={"x": object()}))
    with pytest.raises(AnnalsError):
        AnnalsStorage(url=annals_url, key="no-key").upsert(AgentSession(session_id="s"))


def test_an_asynchronous_agent_will_do(async_annals: AsyncAnnals) -> None:
    storage = AnnalsStorage(client=async_annals)

    async def main() -> Any:
        agent = Agent(model=Echo(), storage=storage, memory=Memory(), session_id="s", user_id="ada", telemetry=False)
        return await agent.arun("hi")

    assert asyncio.run(main()).content == "You said: hi"
    assert told(storage.read("s")) == ["hi"]


def test_the_example_goes_on_each_time_that_it_runs(annals_environment: None) -> None:
    for heard in ("1 question", "2 questions"):
        command = [sys.executable, str(EXAMPLE), "Which tea?"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)  # noqa: S603 - our example
        assert done.returncode == 0, done.stderr
        assert heard in done.stdout
