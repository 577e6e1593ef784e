"""An agent of Microsoft Agent Framework that remembers its sessions, and its user beyond them, without a model.

pip install 'annals-client[agent-framework]'
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/agent_framework_agent.py "I like green tea." "What tea do I like?"

Each sentence is said in a session of its own, to an agent that is made anew.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, Awaitable, Mapping, Sequence
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)

from annals_client import AsyncAnnals
from annals_client.integrations.agent_framework import AnnalsContextProvider, AnnalsHistoryProvider


class Model(FunctionInvocationLayer[Any], BaseChatClient[Any]):
    """Says what it is shown of the past."""

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        past = " / ".join(line for message in messages[:-1] for line in message.text.splitlines()[2:])
        reply = f"I remember: {past}" if past else "We have not met."

        async def whole() -> ChatResponse[Any]:
            return ChatResponse(messages=[Message("assistant", [reply])])

        async def pieces() -> AsyncIterable[ChatResponseUpdate]:
            yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(reply)])

        return self._build_response_stream(pieces()) if stream else whole()


async def say(annals: AsyncAnnals, number: int, sentence: str) -> None:
    """A new agent, in a new session of the same user."""
    history = AnnalsHistoryProvider(client=annals, user_id="ada")
    memories = AnnalsContextProvider(client=annals, user_id="ada", search_user_id="ada")
    agent = Agent(client=Model(), context_providers=[history, memories])
    reply = await agent.run(sentence, session=agent.create_session(session_id=f"session-{number}"))
    print(f"user: {sentence}\nassistant: {reply.text}")


async def until_found(annals: AsyncAnnals, sentence: str) -> None:
    """Wait until what was said can be searched, which takes a moment."""
    for _ in range(60):
        hits = await annals.memory.search(sentence, memory_space_id="agent-framework", user_id="ada", limit=3)
        if any(hit.content == sentence for hit in hits):
            return
        await asyncio.sleep(0.5)


async def main(sentences: list[str]) -> None:
    async with AsyncAnnals() as annals:
        for number, sentence in enumerate(sentences, start=1):
            await say(annals, number, sentence)
            await until_found(annals, sentence)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["I like green tea.", "What tea do I like?"]))
