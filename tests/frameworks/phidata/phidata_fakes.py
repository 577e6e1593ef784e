"""Models of phidata that need no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import phi.agent  # noqa: F401 - before all others: phidata's modules import each other in a circle
from phi.model.base import Model
from phi.model.message import Message
from phi.model.response import ModelResponse


class Echo(Model):
    """Answers with what it was asked, or by a function of its messages."""

    id: str = "echo"
    answer: Callable[[list[Message]], str] | None = None

    def response(self, messages: list[Message]) -> ModelResponse:
        said = self.answer(messages) if self.answer else f"You said: {messages[-1].content}"
        messages.append(Message(role="assistant", content=said))
        return ModelResponse(content=said)

    async def aresponse(self, messages: list[Message]) -> ModelResponse:
        return self.response(messages)


class Remembers(Model):
    """A manager of memories that stores whatever it is told, by the tool."""

    id: str = "remembers"

    def response(self, messages: list[Message]) -> ModelResponse:
        functions: dict[str, Any] = self.functions or {}
        told = messages[-1].content
        assert functions["add_memory"].entrypoint is not None
        functions["add_memory"].entrypoint(memory=f"The user said: {told}")
        return ModelResponse(content="done")
