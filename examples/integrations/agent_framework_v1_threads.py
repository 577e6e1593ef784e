"""A thread of Microsoft Agent Framework 1.0.0b251007 that is written down, and goes on in another agent; no model.

pip install 'annals-client[agent-framework-v1]'
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/agent_framework_v1_threads.py "I am Ada." "Who am I?"
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterable, MutableSequence
from typing import Any

from agent_framework import BaseChatClient, ChatMessage, ChatOptions, ChatResponse, ChatResponseUpdate, TextContent

from annals_client.integrations.agent_framework_v1 import AnnalsChatAgent, AnnalsChatMessageStore


class Model(BaseChatClient):
    """Says what it is shown of the past."""

    async def _inner_get_response(
        self, *, messages: MutableSequence[ChatMessage], chat_options: ChatOptions, **kwargs: Any
    ) -> ChatResponse:
        past = " / ".join(message.text for message in messages[:-1])
        return ChatResponse(messages=[ChatMessage(role="assistant", text=f"So far: {past or 'nothing'}")])

    async def _inner_get_streaming_response(
        self, *, messages: MutableSequence[ChatMessage], chat_options: ChatOptions, **kwargs: Any
    ) -> AsyncIterable[ChatResponseUpdate]:
        response = await self._inner_get_response(messages=messages, chat_options=chat_options)
        yield ChatResponseUpdate(role="assistant", contents=[TextContent(response.messages[0].text)])


async def main(sentences: list[str]) -> None:
    written = None
    for sentence in sentences:
        agent = AnnalsChatAgent(
            Model(), chat_message_store_factory=lambda: AnnalsChatMessageStore(user_id="ada", max_messages=100)
        )
        thread = await agent.deserialize_thread(json.loads(written)) if written else agent.get_new_thread()
        reply = await agent.run(sentence, thread=thread)
        print(f"user: {sentence}\nassistant: {reply.text}")
        written = json.dumps(await thread.serialize())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["I am Ada.", "Who am I?"]))
