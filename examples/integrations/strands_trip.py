"""An agent of Strands that plans a trip in Annals, without a model: it remembers what was said, in earlier trips, too.

pip install 'annals-client[strands]'
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/strands_trip.py lisbon "I am allergic to peanuts."
python examples/integrations/strands_trip.py hanoi "What can I eat with my allergies?"

The first word names the trip. Each sentence is a turn, for which the agent is made anew, as in a Lambda function.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from typing import Any

from strands import Agent
from strands.memory import MemoryManager
from strands.models import Model

from annals_client.integrations.strands import AnnalsMemoryStore, AnnalsSessionManager


class Parrot(Model):
    """Says what it was told in this session, and what it was reminded of."""

    def update_config(self, **config: Any) -> None:
        """There is nothing to be set."""

    def get_config(self) -> Any:
        """There is nothing to be shown."""
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        """It cannot."""
        raise NotImplementedError

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """A reply, as a model streams it."""
        texts = [block["text"] for each in messages for block in each["content"] if each["role"] == "user"]
        *earlier, _ = [text for text in texts if "<memory>" not in text]
        reminders = re.findall(r"<entry[^>]*>\s*(.*?)\s*</entry>", texts[-1], re.DOTALL)
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {}}}
        yield {"contentBlockDelta": {"delta": {"text": f"You said before: {earlier}. I remember: {reminders}."}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def turn(trip: str, said: str) -> str:
    """One turn of a trip, by a new agent."""
    agent = Agent(
        agent_id="guide",
        model=Parrot(),
        session_manager=AnnalsSessionManager(trip, user_id="ada"),
        memory_manager=MemoryManager(stores=[AnnalsMemoryStore("trips", user_id="ada")]),
        callback_handler=None,
    )
    return str(agent(said)).strip()


if __name__ == "__main__":
    for sentence in sys.argv[2:]:
        print(turn(sys.argv[1], sentence))
