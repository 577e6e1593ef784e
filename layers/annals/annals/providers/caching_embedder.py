"""An embedder for one question: searches that ask the same get the same answer, and the model is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from annals.providers.embedding import Embedder, Vector


class CachingEmbedder:
    """An embedder that remembers what it was asked, and is thrown away with the question."""

    def __init__(self, embedder: Embedder) -> None:
        self.semantic = embedder.semantic
        self._embedder = embedder
        self._answers: dict[tuple[str, ...], list[Vector]] = {}
        self._lock = Lock()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._embedder.model

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        return self._embedder.dimensions

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts; see Embedder.embed. Who asks the same meanwhile waits for the first one's answer."""
        with self._lock:
            asked = tuple(texts)
            if asked not in self._answers:
                self._answers[asked] = self._embedder.embed(texts)
            return self._answers[asked]
