"""Structured replies of a chat model: the whole reply is collected, validated, and requested once more if invalid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from annals.errors import ChatUnavailable
from annals.providers.chat import ChatMessage, ChatModel, paced

T = TypeVar("T", bound=BaseModel)

TRIES = 2
"""How often a model is asked for a valid reply."""


@dataclass(frozen=True)
class StructuredChat:
    """A chat model whose replies are JSON; ``stall_s`` is its longest silence, in seconds."""

    chat: ChatModel
    stall_s: float

    def ask(
        self, prompt: str, instructions: str, reply_type: type[T], *, within_s: float, model: str | None = None
    ) -> T:
        """The model's reply to a prompt, validated.

        Parameters
        ----------
        instructions : what the model is to do, and the JSON that it is to reply with
        reply_type : the pydantic model of that JSON
        within_s : seconds for all tries together
        model : another model of the same provider

        Raises
        ------
        ChatUnavailable : the model did not reply in time, or twice not with such JSON
        """
        messages = [ChatMessage("user", prompt)]
        deadline = time.monotonic() + within_s
        for _ in range(TRIES):
            text = asyncio.run(self._collect(messages, instructions, model, deadline - time.monotonic()))
            if reply := _parse(text, reply_type):
                return reply
        raise ChatUnavailable("The chat model gave no answer in the form that it was asked for.")

    async def _collect(
        self, messages: Sequence[ChatMessage], instructions: str, model: str | None, total_s: float
    ) -> str:
        pieces = self.chat.stream(messages, instructions=instructions, model=model)
        async with aclosing(paced(pieces, stall_s=self.stall_s, total_s=total_s)) as reply:
            return "".join([piece async for piece in reply if isinstance(piece, str)])


def _parse(text: str, reply_type: type[T]) -> T | None:
    """The JSON object of a reply, which some models put into a fence; None where it is invalid."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        return reply_type.model_validate_json(text[begin : end + 1]) if begin >= 0 else None
    except ValidationError:
        return None
