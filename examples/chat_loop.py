"""Chat in the terminal: the server's model answers from stored memories, and Annals stores every turn.

ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/chat_loop.py
"""

from __future__ import annotations

import asyncio
import sys

from annals_client import AsyncAnnals, Context, Delta, Result, Start, StreamFailed


async def answer(annals: AsyncAnnals, conversation_id: str | None, question: str) -> str | None:
    """Print the reply as it arrives, and return the conversation's id."""
    stream = annals.memory.remember_stream(
        memory_space_id="demo", user_id="ada", conversation_id=conversation_id, user_message=question
    )
    async for event in stream:
        match event:
            case Start():
                conversation_id = event.conversation_id
            case Context():
                print(f"({len(event.memory_ids)} memories, {event.history_count} messages)")
            case Delta():
                print(event.text, end="", flush=True)
            case Result():
                print(f"\n(message {event.conversation.message_count} of {event.conversation.conversation_id})")
    return conversation_id


async def main() -> None:
    async with AsyncAnnals() as annals:
        conversation_id = None
        while question := (await asyncio.to_thread(sys.stdin.readline)).strip():
            try:
                conversation_id = await answer(annals, conversation_id, question)
            except StreamFailed as failure:
                print(f"\n{failure.detail} Stored: {failure.stored}")


if __name__ == "__main__":
    asyncio.run(main())
