"""An agent of phidata that goes on each time that the program is run, with a model that needs no network.

pip install 'annals-client[phidata]'
ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/integrations/phidata_agent.py "Which tea?"
"""

from __future__ import annotations

import sys

from phi.agent.agent import Agent
from phi.model.base import Model
from phi.model.message import Message
from phi.model.response import ModelResponse

from annals_client.integrations.phidata import AnnalsAgentStorage


class Counts(Model):
    """Counts what it was asked."""

    id: str = "counts"

    def response(self, messages: list[Message]) -> ModelResponse:
        asked = sum(message.role == "user" for message in messages)
        answer = Message(role="assistant", content=f"I heard {asked} question{'s' if asked > 1 else ''} so far.")
        messages.append(answer)
        return ModelResponse(content=answer.content)


def main(prompt: str) -> None:
    agent = Agent(
        model=Counts(),
        storage=AnnalsAgentStorage(table_name="agent_sessions"),
        session_id="chat-7",
        user_id="ada",
        add_history_to_messages=True,
        monitoring=False,
        telemetry=False,
    )
    print(agent.run(prompt).content)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Which tea?")
