"""OpenAI Agents: a session's items, in the framework's own SQLite and in ours. None of its stores is in DynamoDB.

Every turn is a new process' as far as the framework is concerned: a new agent, a new session, a new client. The model
gets the newest 40 items.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from agents import Agent, Runner, Session, SessionSettings, SQLiteSession, set_tracing_disabled
from agents.testing import ModelStep, ScriptedModel
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from annals_client.integrations.openai_agents import AnnalsSession
from bench.frameworks.turns import Store, Take, run

LIMIT = SessionSettings(limit=40)


def answering(reply: str) -> ScriptedModel:
    """A model that gives one answer."""
    said = ResponseOutputText(type="output_text", text=reply, annotations=[], logprobs=[])
    message = ResponseOutputMessage(id="msg", type="message", role="assistant", status="completed", content=[said])
    return ScriptedModel([ModelStep(output=[message])])


def turns_with(opened: Callable[[], AbstractAsyncContextManager[Session]]) -> Take:
    """Takes turns with a session that is opened anew each time."""

    async def answer(user: str, reply: str) -> None:
        async with opened() as session:
            await Runner.run(Agent(name="guide", model=answering(reply)), user, session=session)

    def take(number: int, user: str, reply: str) -> None:
        asyncio.run(answer(user, reply))

    return take


def sqlite() -> Take:
    """Their own, in a file."""
    file = Path(tempfile.mkdtemp(), "sessions.db")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Session]:
        session = SQLiteSession("trip", file, session_settings=LIMIT)
        try:
            yield session
        finally:
            session.close()

    return turns_with(opened)


def annals() -> Take:
    """Ours."""
    return turns_with(lambda: AnnalsSession("trip", user_id="ada", session_settings=LIMIT))


if __name__ == "__main__":
    set_tracing_disabled(True)
    run([Store("SQLiteSession", sqlite), Store("AnnalsSession", annals, is_ours=True)])
