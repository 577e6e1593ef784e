"""What the tests of the framework have in common: its messages, and a model that is scripted."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, MutableSequence
from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMessage,
    ChatOptions,
    ChatResponse,
    ChatResponseUpdate,
    FunctionCallContent,
    TextContent,
    use_function_invocation,
)

from annals_client.models import Conversation
from annals_client.testing import Annals


def conversations_of(annals: Annals) -> list[Conversation]:
    """All conversations, once the list has them."""
    annals.settle()
    return list(annals.conversations.list())


def said(*texts: str, role: Any = "user") -> list[ChatMessage]:
    """Messages of a role."""
    return [ChatMessage(role=role, text=text) for text in texts]


def dialogue(*texts: str) -> list[ChatMessage]:
    """What a user and an assistant say in turns."""
    roles: tuple[Any, Any] = ("user", "assistant")
    return [ChatMessage(role=roles[place % 2], text=text) for place, text in enumerate(texts)]


def dicts(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """Messages as the framework writes them: what is equal is equal in all that they hold."""
    return [message.to_dict() for message in messages]


def texts(messages: Iterable[ChatMessage]) -> list[str]:
    """What messages say."""
    return [message.text for message in messages]


@use_function_invocation
class ScriptedModel(BaseChatClient):
    """A model that answers from a script: texts, or calls of functions. ``asked`` is what it got."""

    def __init__(self, *replies: str | FunctionCallContent) -> None:
        super().__init__()
        self.replies = list(replies)
        self.asked: list[list[ChatMessage]] = []

    def _next(self, messages: MutableSequence[ChatMessage]) -> TextContent | FunctionCallContent:
        self.asked.append(list(messages))
        reply = self.replies.pop(0)
        return TextContent(reply) if isinstance(reply, str) else reply

    async def _inner_get_response(
        self, *, messages: MutableSequence[ChatMessage], chat_options: ChatOptions, **kwargs: Any
    ) -> ChatResponse:
        return ChatResponse(messages=[ChatMessage(role="assistant", contents=[self._next(messages)])])

    async def _inner_get_streaming_response(
        self, *, messages: MutableSequence[ChatMessage], chat_options: ChatOptions, **kwargs: Any
    ) -> AsyncIterable[ChatResponseUpdate]:
        content = self._next(messages)
        pieces = [TextContent(letter) for letter in content.text] if isinstance(content, TextContent) else [content]
        for piece in pieces:
            yield ChatResponseUpdate(role="assistant", contents=[piece])
