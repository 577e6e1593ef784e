"""An agent of Google ADK whose sessions, state and memories are in Annals, without a model.

pip install 'annals-client[google-adk]'
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/google_adk_agent.py "I like green tea." "What tea do I like?"

Each sentence is said in a session of its own, to a runner that is made anew.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator

from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.tools.preload_memory_tool import PreloadMemoryTool
from google.genai import types

from annals_client import AsyncAnnals
from annals_client.integrations.google_adk import AnnalsMemoryService, AnnalsSessionService

APP, USER = "tea_shop", "ada"


class Model(BaseLlm):
    """Says what it is shown of the past."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """The reply."""
        texts = [part.text or "" for content in llm_request.contents for part in content.parts or []]
        lines = {line for text in texts for line in text.splitlines() if line.startswith("user: ")}
        past = sorted(line for line in lines if line.removeprefix("user: ") not in texts)
        reply = f"I remember: {' / '.join(past)}" if past else "We have not met."
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=reply)]))


async def say(annals: AsyncAnnals, number: int, sentence: str) -> None:
    """A new runner, in a new session of the same user."""
    sessions = AnnalsSessionService(annals)
    agent = LlmAgent(
        name="guide", model=Model(model="none"), instruction="Be kind.", tools=[PreloadMemoryTool()], output_key="last"
    )
    runner = Runner(app_name=APP, agent=agent, session_service=sessions, memory_service=AnnalsMemoryService(sessions))
    session = await sessions.create_session(app_name=APP, user_id=USER, state={"user:sessions": number})
    said = types.Content(role="user", parts=[types.Part(text=sentence)])
    print(f"user: {sentence}")
    async for event in runner.run_async(user_id=USER, session_id=session.id, new_message=said):
        if event.is_final_response() and event.content and event.content.parts:
            print(f"guide: {event.content.parts[0].text}")


async def until_found(annals: AsyncAnnals, sentence: str) -> None:
    """Wait until what was said can be searched, which takes a moment."""
    for _ in range(60):
        hits = await annals.memory.search(sentence, memory_space_id=APP, user_id=USER, limit=3)
        if any(hit.content == sentence for hit in hits):
            return
        await asyncio.sleep(0.5)


async def main(sentences: list[str]) -> None:
    async with AsyncAnnals() as annals:
        for number, sentence in enumerate(sentences, start=1):
            await say(annals, number, sentence)
            await until_found(annals, sentence)
        print("sessions:", (await AnnalsSessionService(annals).get_user_state(app_name=APP, user_id=USER))["sessions"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["I like green tea.", "What tea do I like?"]))
