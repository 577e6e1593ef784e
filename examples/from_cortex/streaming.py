"""Streams: a reply of your own model is handed on as it comes, and stored, with facts that you find in it.

ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/from_cortex/streaming.py
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

from annals_client import AsyncAnnals
from annals_client.resources.facts import NewFact


async def reply() -> AsyncIterator[str]:
    """What a model would say: text, or chunks of OpenAI, Anthropic, Bedrock, the AI SDK and others."""
    for word in ("Noted", ": ", "no ", "peanuts."):
        await asyncio.sleep(0)
        yield word


async def facts_of(said: str, answered: str) -> list[NewFact]:
    """What you find in a turn; without such a function, ``extract_facts=True`` has the server's model look."""
    if "allergic to " not in said:
        return []
    what = said.rpartition("allergic to ")[2].rstrip(".")
    return [{"fact": f"Ada is allergic to {what}.", "subject": "Ada", "predicate": "is allergic to", "object": what}]


async def main() -> None:
    name = uuid4().hex[:8]
    async with AsyncAnnals() as annals:
        result = await annals.memory.remember_stream(
            response_stream=reply(),
            memory_space_id=f"space-{name}",
            user_id=f"ada-{name}",
            user_name="Ada",
            user_message="I am allergic to peanuts.",
            extract_facts=facts_of,
        )
        print(result.full_response)
        print(result.conversation.message_ids, [fact.fact for fact in result.facts])


if __name__ == "__main__":
    asyncio.run(main())
