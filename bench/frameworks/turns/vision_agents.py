"""Vision Agents: a call in which the user's sentence comes whole, and the reply in fragments of a word.

Its own conversations are kept by no database. Every turn is a new conversation object, as of an agent that joins again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from annals_client import AsyncAnnals
from annals_client.integrations.vision_agents import AnnalsConversation
from bench.frameworks.turns import Store, Take, run


def annals(**options: Any) -> Take:
    """Takes turns in one call."""

    async def turn(number: int, user: str, reply: str) -> None:
        async with AsyncAnnals() as client:
            conversation = await AnnalsConversation.load("", session_id="call", client=client, user_id="ada", **options)
            await conversation.send_message("user", "ada", user)
            for index, word in enumerate(reply.split(" ")):
                await conversation.upsert_message(
                    "assistant", "agent", f"{word} ", f"reply-{number}", content_index=index, completed=False
                )
                await asyncio.sleep(0.01)  # as fast as models are
            await conversation.upsert_message(
                "assistant", "agent", reply, f"reply-{number}", completed=True, replace=True
            )
            await conversation.close()

    return lambda number, user, reply: asyncio.run(turn(number, user, reply))


if __name__ == "__main__":
    run(
        [
            Store("AnnalsConversation", annals, is_ours=True),
            Store("AnnalsConversation, no drafts", lambda: annals(draft_interval_s=None), is_ours=True),
        ]
    )
