"""The protocol of embedding models: texts in, vectors out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from annals import telemetry

Vector = list[float]


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is their similarity.

    ``semantic`` is False for a model that knows only spelling: its neighbours share words, not meaning.
    """

    semantic: bool

    @property
    def model(self) -> str:
        """The model's name; vectors of different models must not be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of every vector. May ask the model, once; raises EmbeddingUnavailable."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts. Threads may share an embedder.

        Parameters
        ----------
        texts : any number of texts of any length; a model reads the beginning of one that is too long for it

        Returns
        -------
        One vector for each text, in their order: ``dimensions`` floats, of unit length. A blank text (nothing but
        whitespace) has no vector: an empty list stands for it, and it reaches no model.

        Raises
        ------
        EmbeddingUnavailable : the model does not answer, or answers with something else than such vectors
        """
        ...


def is_blank(text: str) -> bool:
    """Whether there is nothing to embed."""
    return not text.strip()


def embed_nonblank(texts: Sequence[str], embed: Callable[[list[str]], Iterable[Vector]]) -> list[Vector]:
    """Embed the texts that are not blank; an empty list stands for each of the others."""
    present = [encodable(text) for text in texts if not is_blank(text)]
    telemetry.count("EmbeddedTexts", len(present))
    vectors = iter(embed(present))
    return [[] if is_blank(text) else next(vectors) for text in texts]


def encodable(text: str) -> str:
    """The text with a question mark for every half of a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def unit_vector(vector: Sequence[float]) -> Vector:
    """The vector at length 1. Raises ValueError for one that has no direction (zero, or not finite)."""
    length = math.hypot(*vector)
    if not length or not math.isfinite(length):
        raise ValueError("a vector without direction")
    return [value / length for value in vector]
