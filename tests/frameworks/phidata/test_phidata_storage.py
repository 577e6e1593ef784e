"""Sessions of phidata's agents, kept by Annals."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import phi.agent  # noqa: F401 - before all others: phidata's modules import each other in a circle
import pytest
import served
from phi.agent.agent import Agent
from phi.agent.session import AgentSession
from phi.memory.agent import AgentMemory
from phi.model.message import Message
from phi.storage.agent.sqlite import SqlAgentStorage
from phidata_fakes import Echo

from annals_client import AnnalsError, AsyncAnnals, Conflict
from annals_client.integrations.phidata import AnnalsAgentStorage
from annals_client.testing import Annals

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/phidata_agent.py"


@pytest.fixture
def storage(annals: Annals) -> AnnalsAgentStorage:
    return AnnalsAgentStorage(client=annals)


def turn(storage: Any, said: str, session_id: str = "s", user_id: str | None = "ada", **options: Any) -> Any:
    """A turn as in a function: by an agent of its own."""
    options = {"model": Echo(), "description": "You help.", **options}
    agent = Agent(storage=storage, session_id=session_id, user_id=user_id, monitoring=False, telemetry=False, **options)
    return agent.run(said)


def told(session: AgentSession | None) -> list[str]:
    """What the user said, by the runs of a session."""
    assert session is not None
    assert session.memory is not None
    return [run["message"]["content"] for run in session.memory["runs"]]


def without_times(session: AgentSession | None) -> dict[str, Any]:
    assert session is not None
    return session.model_dump(exclude={"created_at", "updated_at"})


LONG = "What I want to say takes more than a few words, so it is here. "


@pytest.mark.parametrize("history", [False, True])
def test_a_session_is_what_phidata_s_own_storage_keeps(
    storage: AnnalsAgentStorage, annals: Annals, tmp_path: Path, history: bool
) -> None:
    class Both(SqlAgentStorage):  # type: ignore[misc,unused-ignore]
        def upsert(self, session: AgentSession, create_and_retry: bool = True) -> AgentSession | None:
            stored = storage.upsert(session)
            assert stored is not None
            own: AgentSession | None = super().upsert(session)
            assert without_times(stored) == without_times(own)
            return own

    both = Both(table_name="t", db_file=str(tmp_path / "own.db"))
    both.create()
    for number in range(5):
        turn(both, f"{LONG}{number // 2}", add_history_to_messages=history, session_state={"n": [number, None]})

    assert without_times(AnnalsAgentStorage(client=annals).read("s")) == without_times(both.read("s"))


def test_an_agent_goes_on_where_another_one_was(storage: AnnalsAgentStorage) -> None:
    def count(messages: list[Message]) -> str:
        return f"{len([each for each in messages if each.role == 'user'])} questions"

    answers = [turn(storage, f"q{n}", model=Echo(answer=count), add_history_to_messages=True).content for n in range(3)]

    assert answers == ["1 questions", "2 questions", "3 questions"]


def test_messages_are_in_the_ledger_once_each(storage: AnnalsAgentStorage, annals: Annals) -> None:
    for said in ("hello", "hello", "and good-bye"):
        turn(storage, said, add_history_to_messages=True)

    talk = annals.conversations.find_session("agent_sessions/s", user_id="ada", memory_space_id="phidata")
    assert talk is not None
    said_there = [(each.role, each.content) for each in annals.messages.list(talk.conversation_id)]
    assert [content for role, content in said_there if role == "user"] == ["hello", "hello", "and good-bye"]
    assert [content for role, content in said_there if role == "assistant"] == [
        "You said: hello",
        "You said: hello",
        "You said: and good-bye",
    ]


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
        work(AnnalsAgentStorage(client=metered))
    return spent


def test_a_turn_costs_what_it_adds(storage: AnnalsAgentStorage, annals: Annals) -> None:
    said = "x" * 200

    def one(metered: AnnalsAgentStorage) -> None:
        turn(metered, said, model=Echo(answer=lambda _: "y" * 800), add_history_to_messages=True)

    costs = [cost(annals, one) for _ in range(40)]

    assert max(costs[20:]) <= max(costs[1:10]) + 1, costs


def test_runs_that_are_added_at_once_are_all_kept(storage: AnnalsAgentStorage) -> None:
    turn(storage, "first")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: turn(storage, f"at once {number}"), range(8)))

    session = storage.read("s")
    assert sorted(told(session)) == ["at once 0", *[f"at once {n}" for n in range(1, 8)], "first"]
    assert session is not None
    assert session.memory is not None
    assert len({run["response"]["run_id"] for run in session.memory["runs"]}) == 9


def _turns(url: str, key: str, name: str) -> None:
    for number in range(3):
        turn(AnnalsAgentStorage(url=url, key=key), f"{name} {number}")


def test_processes_share_a_session(annals_url: str, annals_key: str, storage: AnnalsAgentStorage) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_turns, args=(annals_url, annals_key, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0

    assert sorted(told(storage.read("s"))) == [f"{name} {number}" for name in "ab" for number in range(3)]


def test_the_same_session_id_of_two_users_is_refused_or_two_sessions(
    annals: Annals, storage: AnnalsAgentStorage
) -> None:
    turn(storage, "mine")
    with pytest.raises(Conflict):
        turn(storage, "and mine", user_id="byron")
    assert told(storage.read("s")) == ["mine"]
    assert storage.read("s", user_id="byron") is None

    for user in ("ada", "byron"):
        turn(AnnalsAgentStorage(client=annals, user_id=user), f"of {user}", user_id=user)
    assert told(AnnalsAgentStorage(client=annals, user_id="byron").read("s")) == ["of byron"]


def test_sessions_without_a_user_are_kept(storage: AnnalsAgentStorage) -> None:
    turn(storage, "hi", user_id=None)
    turn(storage, "again", user_id=None)

    assert told(storage.read("s")) == ["hi", "again"]


def test_sessions_are_listed_by_user_and_agent(storage: AnnalsAgentStorage, annals: Annals) -> None:
    for name, user in (("a", "ada"), ("b", "byron"), ("c", "ada")):
        turn(storage, "hi", session_id=name, user_id=user, agent_id=f"agent-{user}")

    assert sorted(storage.get_all_session_ids()) == ["a", "b", "c"]
    assert sorted(storage.get_all_session_ids(user_id="ada")) == ["a", "c"]
    assert [each.session_id for each in storage.get_all_sessions(agent_id="agent-byron")] == ["b"]
    assert AnnalsAgentStorage("another", client=annals).get_all_session_ids() == []


def test_a_deleted_session_is_erased_and_its_id_is_free(storage: AnnalsAgentStorage, annals: Annals) -> None:
    turn(storage, "a secret")
    talk = annals.conversations.find_session("agent_sessions/s", user_id="ada", memory_space_id="phidata")
    assert talk is not None

    storage.delete_session("s")
    storage.delete_session("s")
    storage.delete_session()

    assert storage.read("s") is None
    with pytest.raises(AnnalsError):
        annals.conversations.get(talk.conversation_id)
    turn(storage, "anew")
    assert told(storage.read("s")) == ["anew"]


def test_a_session_whose_conversation_was_erased_begins_anew(storage: AnnalsAgentStorage, annals: Annals) -> None:
    turn(storage, "before")
    session = storage.read("s")
    annals.settle()  # what was said before an erasure, and is heard of later, is erased once more
    annals.users.erase("ada")

    assert storage.read("s") is None
    assert session is not None
    storage.upsert(session)
    assert told(storage.read("s")) == ["before"]


def test_dropping_a_table_erases_its_sessions(storage: AnnalsAgentStorage) -> None:
    for name in "ab":
        turn(storage, "hi", session_id=name)

    storage.drop()

    assert storage.get_all_sessions() == []


def test_a_session_without_runs_takes_its_messages_back(storage: AnnalsAgentStorage, annals: Annals) -> None:
    turn(storage, "before")
    session = storage.read("s")
    assert session is not None
    assert session.memory is not None
    session.memory["runs"], session.memory["messages"] = [], []

    storage.upsert(session)

    again = storage.read("s")
    assert again is not None
    assert again.memory is not None
    assert (again.memory["runs"], again.memory["messages"]) == ([], [])
    turn(storage, "after")
    assert told(storage.read("s")) == ["after"]


@pytest.mark.parametrize("size", [500_000, 4_500_000])
def test_a_turn_of_any_size_is_kept(storage: AnnalsAgentStorage, annals: Annals, size: int) -> None:
    said = "".join(f"{number} " for number in range(size // 6))

    turn(storage, said, model=Echo(answer=lambda _: "A lot."))

    session = AnnalsAgentStorage(client=annals).read("s")
    assert told(session) == [said]


def test_what_is_no_json_is_refused_and_not_lost_silently(storage: AnnalsAgentStorage) -> None:
    with pytest.raises((TypeError, ValueError)):
        storage.upsert(AgentSession(session_id="s", user_id="ada", memory={"runs": []}, session_data={"x": object()}))


def test_an_error_of_annals_is_raised(annals_url: str) -> None:
    with pytest.raises(AnnalsError):
        turn(AnnalsAgentStorage(url=annals_url, key="no-key"), "hi")


def test_a_message_that_is_redacted_is_no_longer_in_the_session(storage: AnnalsAgentStorage, annals: Annals) -> None:
    turn(storage, "a secret word of mine that is long enough to be named")
    talk = annals.conversations.find_session("agent_sessions/s", user_id="ada", memory_space_id="phidata")
    assert talk is not None
    (asked,) = [each for each in annals.messages.list(talk.conversation_id) if each.role == "user"]
    annals.messages.redact(talk.conversation_id, asked.message_id, reason="asked for")

    session = AnnalsAgentStorage(client=annals).read("s")

    assert session is not None
    assert session.memory is not None
    assert [each["role"] for each in session.memory["messages"]] == ["system", "assistant"]
    turn(storage, "next")
    again = storage.read("s")
    assert again is not None
    assert again.memory is not None
    assert "a secret" not in str([run.get("message") for run in again.memory["runs"]])


def test_json_that_looks_like_what_the_adapter_writes_comes_back(storage: AnnalsAgentStorage) -> None:
    odd = {"$message": "x", "n": [{"$text": 1}, {"$plain": {"$plain": None}}, 1.5, True, "é"]}
    run = {"message": {"role": "user", "content": "hi"}, "response": {"content": odd, "run_id": "r"}}
    session = AgentSession(session_id="s", user_id="ada", memory={"runs": [run], "messages": []}, user_data=odd)

    storage.upsert(session)

    assert without_times(storage.read("s")) == without_times(session)


def test_a_system_message_that_changes_is_kept(storage: AnnalsAgentStorage) -> None:
    for number in range(3):
        memory = AgentMemory(update_system_message_on_change=True)
        turn(storage, f"q{number}", description=f"Version {number}.", memory=memory)

    session = storage.read("s")
    assert session is not None
    assert session.memory is not None
    contents = [each["content"] for each in session.memory["messages"]]
    assert contents[0] == "Version 2."
    assert contents[1::2] == ["q0", "q1", "q2"]


def test_an_asynchronous_client_and_an_asynchronous_agent_will_do(async_annals: AsyncAnnals) -> None:
    storage = AnnalsAgentStorage(client=async_annals)

    async def main() -> Any:
        agent = Agent(model=Echo(), storage=storage, session_id="s", user_id="ada", monitoring=False, telemetry=False)
        return await agent.arun("hi")

    assert asyncio.run(main()).content == "You said: hi"
    assert told(storage.read("s")) == ["hi"]


def test_the_example_goes_on_each_time_that_it_runs(annals_environment: None) -> None:
    for heard in ("1 question", "2 questions"):
        command = [sys.executable, str(EXAMPLE), "Which tea?"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)  # noqa: S603 - our example
        assert done.returncode == 0, done.stderr
        assert heard in done.stdout
