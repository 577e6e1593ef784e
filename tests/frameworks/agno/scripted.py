"""A model of agno that answers by a script, without a network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

Step = Callable[[list[Message]], ModelResponse]


def says(text: str) -> Step:
    """Answer this."""
    return lambda _: ModelResponse(role="assistant", content=text)


def calls(name: str, **arguments: Any) -> Step:
    """Call a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call-{name}", "type": "function", "function": function}
    return lambda _: ModelResponse(role="assistant", content=None, tool_calls=[call])


def echoes(messages: list[Message]) -> ModelResponse:
    """Answer with the last message."""
    return ModelResponse(role="assistant", content=f"You said: {messages[-1].content}")


@dataclass
class ScriptedModel(Model):
    """Takes the steps of a script, and echoes when there are none left. ``seen`` are the prompts that it got."""

    id: str = "scripted"
    script: list[Step] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)

    def _answer(self, messages: list[Message]) -> ModelResponse:
        self.seen.append([str(message.content) for message in messages])
        return (self.script.pop(0) if self.script else echoes)(messages)

    def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(kwargs["messages"])

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(kwargs["messages"])

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        yield self._answer(kwargs["messages"])

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        yield self._answer(kwargs["messages"])

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return ModelResponse(**vars(response)) if not isinstance(response, ModelResponse) else response

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return self._parse_provider_response(response)
