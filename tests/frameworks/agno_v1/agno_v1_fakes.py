"""A model of agno that needs no network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

Answer = Callable[[list[Message]], str]


@dataclass
class Echo(Model):
    """Answers with what it was asked, or by a function of its messages."""

    id: str = "echo"
    answer: Answer | None = None

    def _say(self, messages: list[Message]) -> str:
        return self.answer(messages) if self.answer else f"You said: {messages[-1].content}"

    def invoke(self, messages: list[Message], *args: Any, **kwargs: Any) -> str:
        return self._say(messages)

    async def ainvoke(self, messages: list[Message], *args: Any, **kwargs: Any) -> str:
        return self._say(messages)

    def invoke_stream(self, messages: list[Message], *args: Any, **kwargs: Any) -> Iterator[str]:
        yield self._say(messages)

    async def ainvoke_stream(  # type: ignore[override]  # agno iterates over it, and declares another type
        self, messages: list[Message], *args: Any, **kwargs: Any
    ) -> AsyncIterator[str]:
        yield self._say(messages)

    def parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return ModelResponse(role="assistant", content=response)

    def parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return ModelResponse(role="assistant", content=response)
