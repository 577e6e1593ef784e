"""Agents of agno that remember a user across sessions and processes: ``python examples/integrations/agno_memories.py``.

The model is a script, so that the program runs without a network; put your own in its place. ``ANNALS_URL`` and
``ANNALS_KEY`` say where Annals answers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.memory import MemoryManager
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

from annals_client.integrations.agno import AnnalsDb


@dataclass
class Scripted(Model):
    """A model that remembers what it is told, and answers with what it was reminded of."""

    id: str = "scripted"

    def _answer(self, messages: list[Message], tools: Any) -> ModelResponse:
        said = next(str(message.content) for message in reversed(messages) if message.role == "user")
        if tools and messages[-1].role != "tool":
            arguments = json.dumps({"memory": said.replace("I like", "Ada likes").replace("I live", "Ada lives")})
            call = {"id": "call-1", "type": "function", "function": {"name": "add_memory", "arguments": arguments}}
            return ModelResponse(role="assistant", tool_calls=[call])
        reminded = [line for line in str(messages[0].content).splitlines() if line.startswith("- Ada")]
        return ModelResponse(role="assistant", content=f"I know: {'; '.join(reminded) or 'nothing yet'}")

    def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(kwargs["messages"], kwargs.get("tools"))

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self.invoke(*args, **kwargs)

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        yield self.invoke(*args, **kwargs)

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        yield self.invoke(*args, **kwargs)

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return response if isinstance(response, ModelResponse) else ModelResponse()

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return self._parse_provider_response(response)


def new_agent(db: AnnalsDb) -> Agent:
    """An agent as a new process would make it."""
    return Agent(
        model=Scripted(),
        db=db,
        memory_manager=MemoryManager(model=Scripted()),
        update_memory_on_run=True,
        add_memories_to_context=True,
        add_history_to_context=True,
        telemetry=False,
    )


def main() -> None:
    """Tell an agent something in two sessions, and have a new one remember it in a third."""
    new_agent(AnnalsDb()).run("I like green tea.", session_id="monday", user_id="ada")
    new_agent(AnnalsDb()).run("I live in Oslo.", session_id="tuesday", user_id="ada")
    db = AnnalsDb()
    print(new_agent(db).run("What do you know of me?", session_id="wednesday", user_id="ada").content)
    memories = db.get_user_memories(user_id="ada", limit=2)
    print("Ada's memories:", " | ".join(str(memory.memory) for memory in memories if not isinstance(memory, dict)))


if __name__ == "__main__":
    main()
