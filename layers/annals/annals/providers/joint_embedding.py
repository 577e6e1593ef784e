"""An embedder whose vectors leave room for those that callers bring, so that one index holds both.

A vector of the index is the model's, followed by zeros; or as many zeros as the model has dimensions, followed by a
caller's. So the cosine of one of the model's and one of a caller's is 0, and neither is taken for like the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from annals.providers.embedding import Embedder, Vector, unit_vector


class JointEmbedder:
    """A model's embedder, with room after its vectors.

    Parameters
    ----------
    embedder : the model's
    caller_dimensions : the most numbers that a caller's vector may have
    """

    def __init__(self, embedder: Embedder, caller_dimensions: int) -> None:
        self.semantic = embedder.semantic
        self._embedder = embedder
        self._room = [0.0] * caller_dimensions

    @property
    def model(self) -> str:
        """The model's name."""
        return self._embedder.model

    @property
    def dimensions(self) -> int:
        """The length of every vector, with the room in it."""
        return self._embedder.dimensions + len(self._room)

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts; see Embedder.embed."""
        return [[*vector, *self._room] if vector else [] for vector in self._embedder.embed(texts)]


def in_model_part(vector: Sequence[float], dimensions: int) -> Vector:
    """A vector of the model, in an index of so many dimensions."""
    return [*vector, *[0.0] * (dimensions - len(vector))]


def in_caller_part(vector: Sequence[float], caller_dimensions: int, dimensions: int) -> Vector:
    """A caller's vector at unit length, in an index of so many dimensions, of which so many are the callers'."""
    start = dimensions - caller_dimensions
    return [*[0.0] * start, *unit_vector(vector), *[0.0] * (caller_dimensions - len(vector))]
