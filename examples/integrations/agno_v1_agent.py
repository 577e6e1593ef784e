"""An agent of agno 1 that goes on each time that the program is run, with a model that needs no network.

pip install 'annals-client[agno-v1]'
ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/integrations/agno_v1_agent.py "Which tea?"
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.memory.v2.memory import Memory
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

from annals_client.integrations.agno_v1 import AnnalsMemoryDb, AnnalsStorage


@dataclass
class Counts(Model):
    """Counts what it was asked."""

    id: str = "counts"

    def invoke(self, messages: list[Message], *args: Any, **kwargs: Any) -> str:
        asked = sum(message.role == "user" for message in messages)
        return f"I heard {asked} question{'s' if asked > 1 else ''} so far."

    async def ainvoke(self, messages: list[Message], *args: Any, **kwargs: Any) -> str:
        return self.invoke(messages)

    def invoke_stream(self, messages: list[Message], *args: Any, **kwargs: Any) -> Iterator[str]:
        yield self.invoke(messages)

    async def ainvoke_stream(  # type: ignore[override]  # agno iterates over it, and declares another type
        self, messages: list[Message], *args: Any, **kwargs: Any
    ) -> AsyncIterator[str]:
        yield self.invoke(messages)

    def parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return ModelResponse(role="assistant", content=response)

    def parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return ModelResponse(role="assistant", content=response)


def main(prompt: str) -> None:
    agent = Agent(
        model=Counts(),
        storage=AnnalsStorage(table_name="agent_sessions"),
        memory=Memory(db=AnnalsMemoryDb(table_name="user_memories")),
        session_id="chat-7",
        user_id="ada",
        add_history_to_messages=True,
        telemetry=False,
    )
    print(agent.run(prompt).content)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Which tea?")
