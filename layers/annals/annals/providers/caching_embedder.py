"""An embedder for one query: several searches of it embed the same texts once."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from annals.providers.embedding import Embedder, Vector


class CachingEmbedder:
    """An embedder that caches its vectors, and is thrown away with the query."""

    def __init__(self, embedder: Embedder) -> None:
        self.semantic = embedder.semantic
        self._embedder = embedder
        self._cache: dict[tuple[str, ...], list[Vector]] = {}
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
        """Embed texts; see Embedder.embed. A second thread waits for the first one's vectors."""
        with self._lock:
            key = tuple(texts)
            if key not in self._cache:
                self._cache[key] = self._embedder.embed(texts)
            return self._cache[key]
