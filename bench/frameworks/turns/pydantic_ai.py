"""Pydantic AI: a run of an agent, whose messages are loaded before and stored after it.

It has no store in a database. Every turn is a new agent's and a new client's.
"""

from __future__ import annotations

import asyncio

from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import UsageLimits

from annals_client import Annals, AsyncAnnals
from annals_client.integrations.pydantic_ai import AnnalsConversationStore, AnnalsMessageHistory
from bench.frameworks.turns import Store, Take, run

UNLIMITED = UsageLimits(request_limit=None)


def history() -> Take:
    """Takes turns with the messages alone."""

    def take(number: int, user: str, reply: str) -> None:
        with Annals() as annals:
            messages = AnnalsMessageHistory("chat", annals, user_id="ada")
            agent = Agent(TestModel(custom_output_text=reply))
            messages.append(agent.run_sync(user, message_history=messages.load()).new_messages())

    return take


def store() -> Take:
    """Takes turns with a conversation and all that it carries."""

    async def turn(user: str, reply: str) -> None:
        async with AsyncAnnals() as annals:
            conversations = AnnalsConversationStore(annals, user_id="ada")
            conversation = await conversations.load("chat") or Conversation(conversation_id="chat")
            agent = Agent(TestModel(custom_output_text=reply))
            await conversations.save(await agent.run(user, conversation=conversation, usage_limits=UNLIMITED))

    return lambda number, user, reply: asyncio.run(turn(user, reply))


if __name__ == "__main__":
    run(
        [
            Store("AnnalsMessageHistory", history, is_ours=True),
            Store("AnnalsConversationStore", store, is_ours=True),
        ]
    )
