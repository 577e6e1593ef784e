"""Vectors that the caller's own model makes of texts, where a memory space takes such."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from annals_client import wire
from annals_client.formats.messages import to_annals

logger = logging.getLogger("annals_client")

GenerateEmbedding = Callable[[str], "Iterable[float] | Awaitable[Iterable[float] | None] | None"]
"""Makes the vector of a text; None is for a text that is to have none."""


@dataclass(frozen=True)
class Embedded:
    """The vector of a text, or why there is none."""

    vector: list[float] | None = None
    problem: str | None = None

    def then(self, later: Embedded) -> Embedded:
        """The vector of a later text, with the first problem of both."""
        return Embedded(later.vector, self.problem or later.problem)


def require_function(generate: GenerateEmbedding | None) -> None:
    """Raise TypeError for a function that would have to be awaited."""
    if iscoroutinefunction(generate):
        raise TypeError(
            "Annals calls generate_embedding; a coroutine function needs remember_stream of AsyncAnnals, or await it "
            "yourself and give the message an embedding"
        )


def embed(generate: GenerateEmbedding | None, text: str) -> Embedded:
    """The vector of a text; what the function raises is logged, and named as the problem."""
    if generate is None or not text.strip():
        return Embedded()
    try:
        return _embedded(generate(text))
    except Exception as failure:
        logger.exception("generate_embedding failed")
        return _problem(failure)


async def embed_async(generate: GenerateEmbedding | None, text: str) -> Embedded:
    """The same, with a function that may be a coroutine function."""
    if generate is None or not text.strip():
        return Embedded()
    try:
        made = generate(text)
        return _embedded(await made if isawaitable(made) else made)
    except Exception as failure:
        logger.exception("generate_embedding failed")
        return _problem(failure)


def with_embedding(said: Any, role: str, vector: list[float] | None) -> Any:
    """What one side of a turn said, as a request has it, with its vector."""
    if vector is None:
        return said
    message = said if isinstance(said, dict) else {"role": role, "content": said}
    return {**message, "embedding": vector}


def said_text(said: Any, role: str = "user") -> str:
    """The text of what one side of a turn said, as a request has it."""
    message = said if isinstance(said, dict) else {"role": role, "content": said}
    return str(to_annals({"role": role, **message}).get("content") or "")


def _embedded(made: Any) -> Embedded:
    return Embedded(None if made is None else wire.vector(made))


def _problem(failure: Exception) -> Embedded:
    return Embedded(problem=f"generate_embedding raised {type(failure).__name__}: {failure}")
