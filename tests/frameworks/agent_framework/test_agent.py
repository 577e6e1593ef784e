"""A real agent of the framework, whose model is scripted, with Annals as its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, Content, Message, tool
from asking import ScriptedModel, conversations_of, dialogue, said, texts

from annals_client import NO_RETRIES, ConnectionFailed
from annals_client.integrations.agent_framework import AnnalsHistoryProvider
from annals_client.testing import Annals, AsyncAnnals


@pytest.fixture
def history(async_annals: AsyncAnnals) -> AnnalsHistoryProvider:
    return AnnalsHistoryProvider(client=async_annals)


def agent_of(model: ScriptedModel, *providers: Any, **options: Any) -> Agent:
    return Agent(client=model, name="helper", context_providers=[*providers], **options)


@tool(approval_mode="never_require")
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Snow in {city}."


@tool(approval_mode="never_require")
def broken() -> str:
    """Never works."""
    raise ValueError("broken")


async def test_the_model_is_shown_what_was_said_before(history: AnnalsHistoryProvider) -> None:
    model = ScriptedModel("Hello, Ada.", "Ada.")
    agent = agent_of(model, history)
    session = agent.create_session(session_id="s-1")
    await agent.run("I am Ada.", session=session)
    reply = await agent.run("Who am I?", session=session)
    assert reply.text == "Ada."
    assert texts(model.asked[1]) == ["I am Ada.", "Hello, Ada.", "Who am I?"]


async def test_another_agent_continues_the_session(history: AnnalsHistoryProvider, async_annals: AsyncAnnals) -> None:
    first, second = ScriptedModel("Hello, Ada."), ScriptedModel("Ada.")
    await agent_of(first, history).run("I am Ada.", session=AgentSession(session_id="s-1"))
    other = agent_of(second, AnnalsHistoryProvider(client=async_annals))
    await other.run("Who am I?", session=AgentSession(session_id="s-1"))
    assert texts(second.asked[0]) == ["I am Ada.", "Hello, Ada.", "Who am I?"]


async def test_a_session_that_was_written_down_goes_on_in_another_process(
    history: AnnalsHistoryProvider, annals_url: str, annals_key: str
) -> None:
    agent = agent_of(ScriptedModel("Hello, Ada."), history)
    session = agent.create_session()
    await agent.run("I am Ada.", session=session)
    program = (
        "import asyncio, json, sys\n"
        "from agent_framework import Agent, AgentSession\n"
        "from annals_client.integrations.agent_framework import AnnalsHistoryProvider\n"
        "from asking import ScriptedModel, texts\n"
        "model = ScriptedModel('Ada.')\n"
        "agent = Agent(client=model, context_providers=[AnnalsHistoryProvider()])\n"
        "asyncio.run(agent.run('Who am I?', session=AgentSession.from_dict(json.load(sys.stdin))))\n"
        "print(json.dumps(texts(model.asked[0])))\n"
    )
    answer = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", program],
        input=json.dumps(session.to_dict()),
        env={**os.environ, "ANNALS_URL": annals_url, "ANNALS_KEY": annals_key},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(answer.stdout) == ["I am Ada.", "Hello, Ada.", "Who am I?"]
    assert texts(await history.get_messages(session.session_id))[2:] == ["Who am I?", "Ada."]


async def test_a_streamed_reply_is_stored_when_it_is_whole(history: AnnalsHistoryProvider) -> None:
    agent = agent_of(ScriptedModel("To be."), history)
    stream = agent.run("Or not?", session=AgentSession(session_id="s-1"), stream=True)
    async for _ in stream:
        pass
    await stream.get_final_response()
    assert texts(await history.get_messages("s-1")) == ["Or not?", "To be."]


@pytest.mark.parametrize("each_call", [False, True])
async def test_calls_of_tools_are_stored_in_their_order(history: AnnalsHistoryProvider, each_call: bool) -> None:
    call = Content.from_function_call("c-1", "weather", arguments='{"city": "Oslo"}')
    model = ScriptedModel(call, "Take a coat.", "Yes.")
    agent = agent_of(model, history, tools=[weather], require_per_service_call_history_persistence=each_call)
    session = agent.create_session(session_id="s-1")
    await agent.run("Oslo?", session=session)
    await agent.run("Sure?", session=session)
    stored = await history.get_messages("s-1")
    assert [message.role for message in stored] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert stored[2].contents[0].result == "Snow in Oslo."
    assert [message.role for message in model.asked[2]] == ["user", "assistant", "tool", "assistant", "user"]


async def test_with_storage_for_each_call_nothing_is_lost_when_the_model_fails(history: AnnalsHistoryProvider) -> None:
    call = Content.from_function_call("c-1", "broken", arguments="{}")
    agent = agent_of(ScriptedModel(call), history, tools=[broken], require_per_service_call_history_persistence=True)
    with pytest.raises(Exception, match="pop from empty list"):
        await agent.run("Try.", session=AgentSession(session_id="s-1"))
    assert [message.role for message in await history.get_messages("s-1")] == ["user", "assistant"]


async def test_a_caller_who_hands_on_everything_repeats_nothing(history: AnnalsHistoryProvider) -> None:
    agent = agent_of(ScriptedModel("1", "2", "3"), history)
    so_far: list[Message] = []
    for question in ("a", "b", "c"):
        so_far += said(question)
        reply = await agent.run(so_far, session=AgentSession(session_id="s-1"))
        so_far += reply.messages
    assert texts(await history.get_messages("s-1")) == ["a", "1", "b", "2", "c", "3"]


async def test_the_same_turn_again_is_stored_again(history: AnnalsHistoryProvider) -> None:
    agent = agent_of(ScriptedModel("Done.", "Done.", "Done."), history)
    for _ in range(3):
        await agent.run("Next.", session=AgentSession(session_id="s-1"))
    assert texts(await history.get_messages("s-1")) == ["Next.", "Done."] * 3


async def test_a_provider_beside_it_keeps_an_audit(history: AnnalsHistoryProvider, async_annals: AsyncAnnals) -> None:
    audit = AnnalsHistoryProvider("audit", client=async_annals, load_messages=False, store_context_messages=True)
    model = ScriptedModel("1", "2")
    agent = agent_of(model, history, audit)
    for question in ("a", "b"):
        await agent.run(question, session=AgentSession(session_id="s-1"))
    assert texts(model.asked[1]) == ["a", "1", "b"]
    assert texts(await audit.get_messages("s-1")) == ["a", "1", "b", "2"]


async def test_a_run_without_a_session_is_a_session_of_its_own(history: AnnalsHistoryProvider, annals: Annals) -> None:
    agent = agent_of(ScriptedModel("1", "2"), history)
    await agent.run("a")
    await agent.run("b")
    assert sorted(conversation.message_count for conversation in conversations_of(annals)) == [2, 2]


async def test_a_run_fails_where_annals_fails() -> None:
    nowhere = AnnalsHistoryProvider(client=AsyncAnnals("http://127.0.0.1:9", "key", retries=NO_RETRIES))
    with pytest.raises(ConnectionFailed):
        await agent_of(ScriptedModel("Hello."), nowhere).run("Hello.", session=AgentSession(session_id="s-1"))


async def test_max_messages_bounds_what_the_model_is_shown(async_annals: AsyncAnnals) -> None:
    history = AnnalsHistoryProvider(client=async_annals, max_messages=2)
    await history.save_messages("s-1", dialogue(*map(str, range(20))))
    model = ScriptedModel("Yes.")
    await agent_of(model, history).run("Now?", session=AgentSession(session_id="s-1"))
    assert texts(model.asked[0]) == ["18", "19", "Now?"]
