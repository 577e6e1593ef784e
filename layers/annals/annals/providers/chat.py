"""The protocol of chat models: messages in, the reply in pieces as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from annals.errors import ChatUnavailable
from annals.formats.streams.usage import token_counts


@dataclass(frozen=True)
class ChatMessage:
    """A message as a model gets it. The content is never blank."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Usage:
    """The tokens of a request and of its reply, as the model counts them; None for what it does not say."""

    input_tokens: int | None
    output_tokens: int | None

    @staticmethod
    def of(counts: Any) -> Usage | None:
        """The tokens that a model's own counts say, under whatever names; None where they say nothing."""
        if not isinstance(counts, Mapping):
            return None
        known = token_counts(counts)
        return None if known is None else Usage(*known)

    def present(self) -> dict[str, int | None]:
        """As the API shows it."""
        return {"inputTokens": self.input_tokens, "outputTokens": self.output_tokens}


@dataclass(frozen=True)
class Finished:
    """The end of a reply.

    Parameters
    ----------
    reason : why it ended, in the model's words (``stop``, ``length``, …); None where the model gave no reason
    usage : its tokens, if they are known
    parts : what the reply has beside its text, as the model's provider has it: calls of tools, reasoning, usage
    """

    reason: str | None
    usage: Usage | None = None
    parts: Any = field(default=None, compare=False)


class ReplyBrokeOff(ChatUnavailable):
    """A reply broke off; ``parts`` is what came beside its text."""

    def __init__(self, detail: str, parts: Any) -> None:
        super().__init__(detail)
        self.parts = parts


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
        ChatUnavailable : no reply
        ReplyBrokeOff : what came before is part of the reply
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
