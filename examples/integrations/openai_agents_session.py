"""An agent of OpenAI Agents that remembers its session, without a key of OpenAI's: its model is told what to say.

pip install 'annals-client[openai-agents]'
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/openai_agents_session.py "I like tea." "Which drink?"

Each sentence is said in a session that is opened anew; the last answer is then taken back, and given again.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agents import Agent, Runner, set_tracing_disabled
from agents.testing import ModelStep, ScriptedModel
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from annals_client.integrations.openai_agents import AnnalsSession


def answer(text: str) -> ModelStep:
    """A reply of the model."""
    said = ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])
    message = ResponseOutputMessage(id="msg", type="message", role="assistant", status="completed", content=[said])
    return ModelStep(output=[message])


async def main(*sentences: str) -> None:
    """Say the sentences, and show what the session holds."""
    set_tracing_disabled(True)
    model = ScriptedModel([answer(f"You said: {sentence}") for sentence in sentences] + [answer("Tea, as you said.")])
    agent = Agent(name="guide", model=model)
    for sentence in sentences:
        async with AnnalsSession("kitchen", user_id="ada") as session:
            await Runner.run(agent, sentence, session=session)
    async with AnnalsSession("kitchen", user_id="ada") as session:
        for _ in range(2):
            await session.pop_item()
        await Runner.run(agent, sentences[-1], session=session)
        for item in await session.get_items():
            content: Any = dict(item).get("content")
            print(content if isinstance(content, str) else content[0]["text"])


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ["I like tea.", "Which drink?"])))
