"""A model that gives the answers that it is told to give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from strands.models import Model


class Answering(Model):
    """A model without a network: each call gives the next answer, a text or a call of a tool."""

    def __init__(self, *answers: str | Mapping[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def update_config(self, **config: Any) -> None:
        """There is nothing to be set."""

    def get_config(self) -> Any:
        """There is nothing to be shown."""
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        """Nobody asks for it."""
        raise NotImplementedError

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """The next answer, as Bedrock streams it."""
        self.asked.append([*messages])
        answer = self.answers.pop(0)
        for event in _of_text(answer) if isinstance(answer, str) else _of_call(answer):
            yield event


def _of_text(text: str) -> Iterable[Any]:
    yield {"messageStart": {"role": "assistant"}}
    yield {"contentBlockStart": {"start": {}}}
    yield {"contentBlockDelta": {"delta": {"text": text}}}
    yield {"contentBlockStop": {}}
    yield {"messageStop": {"stopReason": "end_turn"}}


def _of_call(call: Mapping[str, Any]) -> Iterable[Any]:
    yield {"messageStart": {"role": "assistant"}}
    yield {"contentBlockStart": {"start": {"toolUse": {"name": call["name"], "toolUseId": call["id"]}}}}
    yield {"contentBlockDelta": {"delta": {"toolUse": {"input": call.get("input", "{}")}}}}
    yield {"contentBlockStop": {}}
    yield {"messageStop": {"stopReason": "tool_use"}}
