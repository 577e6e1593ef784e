"""A chat of Pydantic AI that goes on each time that the program is run, with a model that needs no network.

pip install 'annals-client[pydantic-ai]'
ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/integrations/pydantic_ai_chat.py "Which tea?"
"""

from __future__ import annotations

import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from annals_client.integrations.pydantic_ai import AnnalsMessageHistory


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Counts what it was asked."""
    asked = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    return ModelResponse([TextPart(f"I heard {len(asked)} question{'s' if len(asked) > 1 else ''} so far.")])


def main(prompt: str) -> None:
    agent = Agent(FunctionModel(model))
    history = AnnalsMessageHistory("chat-7", user_id="ada", memory_space_id="demo")

    result = agent.run_sync(prompt, message_history=history.load())
    history.append(result.new_messages())

    print(result.output)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Which tea?")
