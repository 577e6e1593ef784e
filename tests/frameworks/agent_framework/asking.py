"""What the tests of the framework have in common: its messages, and an agent whose model is scripted."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping, Sequence
from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)

from annals_client.models import Conversation
from annals_client.testing import Annals


def conversations_of(annals: Annals) -> list[Conversation]:
    """All conversations, once the list has them."""
    annals.settle()
    return list(annals.conversations.list())


def said(*texts: str, role: str = "user") -> list[Message]:
    """Messages of a role."""
    return [Message(role, [text]) for text in texts]


def dialogue(*texts: str) -> list[Message]:
    """What a user and an assistant say in turns."""
    return [Message(("user", "assistant")[place % 2], [text]) for place, text in enumerate(texts)]


def dicts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages as the framework writes them: what is equal is equal in all that they hold."""
    return [message.to_dict() for message in messages]


def texts(messages: Iterable[Message]) -> list[str]:
    """What messages say."""
    return [message.text for message in messages]


class ScriptedModel(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A model that answers from a script: texts, or contents such as calls of functions. ``asked`` is what it got."""

    def __init__(self, *replies: str | Content) -> None:
        super().__init__()
        self.replies = list(replies)
        self.asked: list[list[Message]] = []

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        self.asked.append(list(messages))
        reply = self.replies.pop(0)
        content = Content.from_text(reply) if isinstance(reply, str) else reply
        if stream:
            return self._build_response_stream(_pieces(content))

        async def respond() -> ChatResponse[Any]:
            return ChatResponse(messages=[Message("assistant", [content])])

        return respond()


async def _pieces(content: Content) -> AsyncIterable[ChatResponseUpdate]:
    if content.type != "text" or not content.text:
        yield ChatResponseUpdate(role="assistant", contents=[content])
        return
    for letter in content.text:
        yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(letter)])
