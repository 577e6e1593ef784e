"""Asking a chat model for an answer in a form: the whole reply is collected, checked, and asked for once more."""

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
"""How often a model is asked for an answer in the right form."""


@dataclass(frozen=True)
class StructuredChat:
    """Asks a chat model; ``stall_s`` is the longest silence of it."""

    chat: ChatModel
    stall_s: float

    def ask(self, question: str, instructions: str, form: type[T], *, within_s: float, model: str | None = None) -> T:
        """The model's answer to a question, in a form that the instructions describe as JSON.

        Raises
        ------
        ChatUnavailable : the model did not answer within so many seconds, or twice not in that form
        """
        asked = [ChatMessage("user", question)]
        deadline = time.monotonic() + within_s
        for _ in range(TRIES):
            text = asyncio.run(self._answer(asked, instructions, model, deadline - time.monotonic()))
            if answer := _parsed(text, form):
                return answer
        raise ChatUnavailable("The chat model gave no answer in the form that it was asked for.")

    async def _answer(self, asked: Sequence[ChatMessage], instructions: str, model: str | None, total_s: float) -> str:
        pieces = self.chat.stream(asked, instructions=instructions, model=model)
        async with aclosing(paced(pieces, stall_s=self.stall_s, total_s=total_s)) as answer:
            return "".join([piece async for piece in answer if isinstance(piece, str)])


def _parsed(text: str, form: type[T]) -> T | None:
    """What a model's answer says, around which some models write a fence; None where it is not in the form."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        return form.model_validate_json(text[begin : end + 1]) if begin >= 0 else None
    except ValidationError:
        return None
