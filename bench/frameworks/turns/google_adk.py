"""Google ADK: a runner with our session service; the framework has none of its own on DynamoDB.

Every turn is a new process' as far as the framework is concerned: a new runner, a new service, a new client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.run_config import RunConfig
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from annals_client.integrations.google_adk import AnnalsSessionService
from bench.frameworks.turns import Store, Take, run


class Answering(BaseLlm):
    """A model that gives one answer."""

    reply: str

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """The answer."""
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=self.reply)]))


def turns_with(config: RunConfig | None = None, **agent: Any) -> Callable[[], Take]:
    """Takes turns with a runner that is made anew each time."""

    async def turn(number: int, user: str, reply: str) -> None:
        sessions = AnnalsSessionService()
        if number == 1:
            await sessions.create_session(app_name="bench", user_id="ada", session_id="s")
        guide = LlmAgent(name="guide", model=Answering(model="answering", reply=reply), **agent)
        runner = Runner(app_name="bench", agent=guide, session_service=sessions)
        said = types.Content(role="user", parts=[types.Part(text=user)])
        async for _ in runner.run_async(user_id="ada", session_id="s", new_message=said, run_config=config):
            pass
        await sessions.close()

    return lambda: lambda number, user, reply: asyncio.run(turn(number, user, reply))


RECENT = RunConfig(get_session_config=GetSessionConfig(num_recent_events=20))

STORES = [
    Store("AnnalsSessionService", turns_with(), is_ours=True),
    Store("the same, with the reply in the state (output_key)", turns_with(output_key="last"), is_ours=True),
    Store("the same, reading the newest 20 events", turns_with(RECENT), is_ours=True),
]

if __name__ == "__main__":
    run(STORES)
