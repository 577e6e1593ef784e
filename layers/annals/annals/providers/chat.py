"""The protocol of chat models: messages in, the reply in pieces as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

from annals.errors import ChatUnavailable


@dataclass(frozen=True)
class ChatMessage:
    """A message as a model gets it. The content is never blank."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Usage:
    """The tokens of a request and of its reply, as the model counts them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Finished:
    """The end of a reply: its reason, in the model's words (``stop``, ``length``, …), and its tokens if known."""

    reason: str
    usage: Usage | None = None


Pieces = AsyncGenerator[str | Finished, None]


class ChatModel(Protocol):
    """A model that writes replies."""

    @property
    def model(self) -> str:
        """The name of the model that answers if a call names none."""
        ...

    def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        """Stream the reply to the last message.

        Parameters
        ----------
        messages : the conversation so far, oldest first; the last one is the user's
        instructions : the system prompt
        model : another model of the same provider

        Returns
        -------
        Pieces of text as they come, then one ``Finished``. An empty piece is a sign of life: the model works on
        something that is no text. Closing the generator ends the request.

        Raises
        ------
        ChatUnavailable : no reply, or the reply broke off; what came before is part of it
        """
        ...


async def paced(pieces: Pieces, *, stall_s: float, total_s: float) -> Pieces:
    """The same pieces, with timeouts: ``stall_s`` for each silence, ``total_s`` for the whole reply.

    Raises
    ------
    ChatUnavailable : the model was silent, or talked, for too long
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + total_s
    async with aclosing(pieces):
        while True:
            try:
                async with asyncio.timeout_at(min(clock() + stall_s, deadline)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ChatUnavailable(_too_long(stall_s, total_s, late=clock() >= deadline)) from None
            yield piece


def _too_long(stall_s: float, total_s: float, *, late: bool) -> str:
    if late:
        return f"The chat model's reply took longer than {total_s:.3g} s."
    return f"The chat model was silent for {stall_s:g} s."
