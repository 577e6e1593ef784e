"""Microsoft Agent Framework: the history of a session, and the same with memories that are recalled.

Every turn is a new process' as far as the framework is concerned: a new agent, a new provider, a new client. Of the
framework's own stores none is in DynamoDB.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    ContextProvider,
    Message,
    ResponseStream,
)

from annals_client import AsyncAnnals
from annals_client.integrations.agent_framework import AnnalsContextProvider, AnnalsHistoryProvider
from bench.frameworks.turns import Store, Take, run


class Answering(BaseChatClient[Any]):
    """A model that gives one answer."""

    def __init__(self, reply: str) -> None:
        super().__init__()
        self.reply = reply

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        async def whole() -> ChatResponse[Any]:
            return ChatResponse(messages=[Message("assistant", [self.reply])])

        async def pieces() -> AsyncIterable[ChatResponseUpdate]:
            yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(self.reply)])

        return self._build_response_stream(pieces()) if stream else whole()


def turns_with(providers: Callable[[AsyncAnnals], list[ContextProvider]]) -> Callable[[], Take]:
    """Takes turns with providers that are made anew each time."""

    async def answer(user: str, reply: str) -> None:
        async with AsyncAnnals() as annals:
            agent = Agent(client=Answering(reply), context_providers=providers(annals))
            await agent.run(user, session=AgentSession(session_id="session"))

    def take(number: int, user: str, reply: str) -> None:
        asyncio.run(answer(user, reply))

    return lambda: take


def history(annals: AsyncAnnals) -> list[ContextProvider]:
    return [AnnalsHistoryProvider(client=annals, user_id="ada", max_messages=40)]


def with_memories(annals: AsyncAnnals) -> list[ContextProvider]:
    return [*history(annals), AnnalsContextProvider(client=annals, user_id="ada", search_user_id="ada")]


if __name__ == "__main__":
    run(
        [
            Store("AnnalsHistoryProvider", turns_with(history), is_ours=True),
            Store("the same and AnnalsContextProvider", turns_with(with_memories), is_ours=True),
        ]
    )
