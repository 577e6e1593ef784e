"""Real agents of agno on Annals: they remember in other processes, and lose no turn."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.memory import MemoryManager
from agno.models.base import Model
from agno.session.summary import SessionSummaryManager
from agno.team import Team
from conftest import Requests
from scripted import ScriptedModel, calls, says

from annals_client import Forbidden
from annals_client.integrations.agno import AnnalsDb
from annals_client.testing import Annals

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/agno_memories.py"


def weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


def agent(db: Any, model: Model, **more: Any) -> Agent:
    return Agent(id="guide", model=model, db=db, telemetry=False, **more)


def test_an_agent_goes_on_in_another_process_where_it_was(new_db: Callable[[], Any]) -> None:
    for text in ("I am Ada.", "I like tea."):
        agent(new_db(), ScriptedModel()).run(text, session_id="tea", user_id="ada")
    model = ScriptedModel()
    agent(new_db(), model, add_history_to_context=True).run("Who am I?", session_id="tea", user_id="ada")
    said = ["I am Ada.", "You said: I am Ada.", "I like tea.", "You said: I like tea.", "Who am I?"]
    assert model.seen == [said]


async def test_an_asynchronous_agent_does_so_too(async_db: Any, new_db: Callable[[], Any]) -> None:
    await agent(async_db, ScriptedModel()).arun("I am Ada.", session_id="tea", user_id="ada")
    model = ScriptedModel()
    asynchronous = agent(async_db, model, add_history_to_context=True)
    await asynchronous.arun("Who am I?", session_id="tea", user_id="ada")
    assert model.seen == [["I am Ada.", "You said: I am Ada.", "Who am I?"]]
    assert len((await async_db.get_session("tea")).runs) == 2
    assert len(new_db().get_session("tea").runs) == 2


def test_a_run_with_a_tool_comes_back_with_its_call_and_its_result(new_db: Callable[[], Any], annals: Annals) -> None:
    model = ScriptedModel(script=[calls("weather", city="Oslo"), says("Take an umbrella.")])
    done = agent(new_db(), model, tools=[weather]).run("Do I need an umbrella?", session_id="s", user_id="ada")
    found = new_db().get_run(done.run_id)
    assert [message.to_dict() for message in found.messages] == [message.to_dict() for message in done.messages or []]
    assert [(tool.tool_name, tool.result) for tool in found.tools] == [("weather", "It rains in Oslo.")]
    talk = annals.conversations.find_session("s", user_id="ada", memory_space_id="agno")
    assert talk is not None
    exported = annals.conversations.context_as(talk.conversation_id, 1000, "openai-chat").messages
    assert exported[1]["tool_calls"][0]["function"]["name"] == "weather"


def test_memories_and_the_summary_are_made_along_the_way(new_db: Callable[[], Any]) -> None:
    manager = MemoryManager(
        model=ScriptedModel(script=[calls("add_memory", memory="Ada likes tea.", topics=["tea"]), says("Done.")])
    )
    summaries = SessionSummaryManager(model=ScriptedModel(script=[says('{"summary": "On tea.", "topics": ["tea"]}')]))
    agent(
        new_db(),
        ScriptedModel(),
        memory_manager=manager,
        update_memory_on_run=True,
        session_summary_manager=summaries,
        enable_session_summaries=True,
    ).run("I like tea.", session_id="tea", user_id="ada")
    (memory,) = new_db().get_user_memories("ada")
    assert (memory.memory, memory.topics, memory.user_id) == ("Ada likes tea.", ["tea"], "ada")
    assert new_db().get_session("tea").summary.summary == "On tea."
    model = ScriptedModel()
    agent(new_db(), model, add_memories_to_context=True).run("Hello", session_id="other", user_id="ada")
    assert "Ada likes tea." in model.seen[0][0]


def test_agents_who_answer_one_session_at_once_lose_no_turn(new_db: Callable[[], Any]) -> None:
    agent(new_db(), ScriptedModel()).run("Begin", session_id="tea", user_id="ada")

    async def all_at_once() -> None:
        agents = [agent(new_db(), ScriptedModel()) for _ in range(4)]
        turns = [
            asyncio.to_thread(each.run, f"Turn {n}", session_id="tea", user_id="ada") for n, each in enumerate(agents)
        ]
        await asyncio.gather(*turns)

    asyncio.run(all_at_once())
    runs = new_db().get_session("tea").runs
    assert sorted(run.input.input_content for run in runs) == ["Begin", *[f"Turn {n}" for n in range(4)]]


def test_a_turn_of_an_agent_is_a_few_requests_at_any_length(db: Any, requests: Requests) -> None:
    counts = []
    for number in range(10):
        requests.clear()
        agent(db, ScriptedModel()).run(f"Turn {number}", session_id="tea", user_id="ada")
        counts.append(len(requests))
    assert counts[2:] == [counts[2]] * 8
    assert counts[2] <= 7


def test_a_team_keeps_its_own_runs_and_those_of_its_members(new_db: Callable[[], Any]) -> None:
    member = Agent(id="member", name="Member", model=ScriptedModel(script=[says("42")]), telemetry=False)
    lead = ScriptedModel(
        script=[calls("delegate_task_to_member", member_id="member", task="Compute"), says("It is 42.")]
    )
    team = Team(id="crew", members=[member], model=lead, db=new_db(), telemetry=False)
    done = team.run("What is it?", session_id="crew", user_id="ada")
    session = new_db().get_session("crew")
    assert done.content == "It is 42."
    assert {run.content for run in session.runs} == {"It is 42.", "42"}


def test_an_agent_that_cannot_read_its_session_fails_and_writes_nothing(
    new_db: Callable[[], Any], annals: Annals, annals_url: str
) -> None:
    blind = AnnalsDb(url=annals_url, key=annals.keys.create("blind", ["write"]).key)
    with pytest.raises(Forbidden):
        agent(blind, ScriptedModel()).run("Hello", session_id="tea", user_id="ada")
    assert new_db().get_session("tea") is None


def test_a_turn_that_could_not_be_stored_is_logged_as_an_error(
    annals: Annals, annals_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    mute = AnnalsDb(url=annals_url, key=annals.keys.create("mute", ["read"]).key)
    assert agent(mute, ScriptedModel()).run("Hello", session_id="tea", user_id="ada").content
    assert any(record.levelname == "ERROR" and "did not store" in record.message for record in caplog.records)


def test_the_example_runs(annals_environment: None) -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Ada's memories: Ada likes green tea. | Ada lives in Oslo."
