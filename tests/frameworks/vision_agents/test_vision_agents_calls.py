"""A real Agent, with its local edge: its calls are kept, and go on where they stopped."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from annals_client import Annals, AsyncAnnals
from annals_client.integrations.support import Clients
from annals_client.integrations.vision_agents import with_annals
from annals_client.retries import NO_RETRIES

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/vision_agents_call.py"

try:
    from vision_agents.core import Agent, User
    from vision_agents.core.llm.llm import LLMResponseDelta, LLMResponseFinal
    from vision_agents.plugins.local.edge import LocalEdge

    from examples.integrations import vision_agents_call as parts
except OSError as failure:  # sounddevice, without PortAudio
    pytest.skip(f"The local edge does not work here: {failure}", allow_module_level=True)

Said = list[tuple[str, str]]


class Interrupted(parts.Model):
    """Begins a reply, and never ends it."""

    async def simple_response(
        self, text: str, participant: Any = None
    ) -> AsyncIterator[LLMResponseDelta | LLMResponseFinal]:
        yield LLMResponseDelta(delta="Once upon", content_index=0, item_id="reply")
        self.done.set()
        await asyncio.sleep(60)


def agent_of(edge: LocalEdge, sentence: str, model: parts.Model) -> Agent:
    """An agent in a call in which somebody says a sentence."""
    user = User(id="assistant", name="Assistant")
    return Agent(edge=edge, llm=model, stt=parts.Transcriber(sentence), agent_user=user)


def local_edge() -> LocalEdge:
    """The framework's edge of this machine, with no sound."""
    return LocalEdge(audio_input=parts.Microphone(0, "silence"), audio_output=parts.Speaker(0, "silence"))


async def call(agent: Agent, model: parts.Model) -> None:
    """The agent is in a call until it has answered."""
    async with agent.join(await agent.edge.create_call("call-7")):
        await asyncio.wait_for(model.done.wait(), 30)
        await asyncio.sleep(0.1)


def said(annals: Annals, **owner: str) -> Said:
    """Who said what, in the order in which it was complete."""
    talk = annals.conversations.find_session("call-7", **owner)
    assert talk is not None
    return [(message.role or "", message.content) for message in annals.messages.list(talk.conversation_id)]


async def test_a_call_is_stored_and_the_next_one_begins_with_it(async_annals: AsyncAnnals, annals: Annals) -> None:
    for sentence in ("I like tea.", "Which drink?"):
        model = parts.Model()
        edge = with_annals(local_edge(), async_annals, user_id="ada", memory_space_id="demo")
        await call(agent_of(edge, sentence, model), model)
    assert said(annals, user_id="ada", memory_space_id="demo") == [
        ("user", "I like tea."),
        ("assistant", "So far I heard: I like tea."),
        ("user", "Which drink?"),
        ("assistant", "So far I heard: I like tea. Which drink?"),
    ]


async def test_a_reply_that_the_end_of_the_call_cuts_off_is_stored_as_incomplete(
    async_annals: AsyncAnnals, annals: Annals
) -> None:
    model = Interrupted()
    await call(agent_of(with_annals(local_edge(), async_annals), "Tell me.", model), model)
    assert said(annals) == [("user", "Tell me."), ("assistant", "Once upon")]
    talk = annals.conversations.find_session("call-7")
    assert talk is not None
    assert [message.status for message in annals.messages.list(talk.conversation_id)] == [None, "incomplete"]


async def test_an_agent_leaves_its_call_though_annals_is_away_and_nothing_is_lost(
    async_annals: AsyncAnnals, annals: Annals, caplog: pytest.LogCaptureFixture
) -> None:
    model = parts.Model()
    agent = agent_of(with_annals(local_edge(), async_annals), "I like tea.", model)
    with caplog.at_level(logging.ERROR):
        async with agent.join(await agent.edge.create_call("call-7")):
            conversation: Any = agent.conversation
            conversation._place.sessions.clients = Clients(AsyncAnnals("http://127.0.0.1:9", "k", retries=NO_RETRIES))
            await asyncio.wait_for(model.done.wait(), 30)
            await asyncio.sleep(0.1)
    assert agent.closed
    assert "Messages of a call are not stored yet" in caplog.text
    conversation._place.sessions.clients = Clients(async_annals)
    await conversation.close()
    assert said(annals) == [("user", "I like tea."), ("assistant", "So far I heard: I like tea.")]


def test_the_example_runs_as_printed(annals_environment: None) -> None:
    run: Callable[..., Any] = subprocess.run
    done = run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-2:] == [
        "assistant: So far I heard: I like tea. Which drink?",
        "-- the call ends",
    ]
