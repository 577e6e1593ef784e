"""Models for the tests of search: one knows a few meanings, one how well texts answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annals.errors import EmbeddingUnavailable, RerankUnavailable
from annals.providers.embedding import Vector, unit_vector
from annals.search import words
from annals.search.documents import Document

MEANINGS = (
    {"car", "automobile", "drive", "driving"},
    {"dog", "puppy", "pet"},
    {"holiday", "vacation", "trip"},
    {"music", "song", "guitar"},
)
OTHER = 4
TENANT = "acme"
SPACE = "team"
NOON = 1_750_000_000_000  # 15 June 2025


class FakeEmbedder:
    """Words of one meaning point the same way; all other words share the directions that are left."""

    model = "fake"
    dimensions = len(MEANINGS) + OTHER

    def __init__(self, *, semantic: bool = True, refuses: str = "", model: str = "fake") -> None:
        self.semantic = semantic
        self.model = model
        self.down = False
        self.embedded: list[str] = []
        self._refuses = refuses

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts; with ``refuses``, no batch that has this word in it; none at all while it is ``down``."""
        if self.down or (self._refuses and any(self._refuses in text for text in texts)):
            raise EmbeddingUnavailable("The model does not answer.")
        self.embedded += texts
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Vector:
        vector = [0.01] * self.dimensions
        for word in words.words(text):
            vector[_direction(word)] += 1.0
        return unit_vector(vector)


class FakeReranker:
    """Knows the scores of some texts, 0 for others; with None it does not answer."""

    model = "fake"

    def __init__(self, scores: Mapping[str, float] | None) -> None:
        self.requests: list[tuple[str, list[str]]] = []
        self._scores = scores

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """The scores that are known."""
        self.requests.append((query, list(texts)))
        if self._scores is None:
            raise RerankUnavailable("The model does not answer.")
        return [self._scores.get(text, 0.0) for text in texts]


def _direction(word: str) -> int:
    known = next((index for index, meaning in enumerate(MEANINGS) if word in meaning), None)
    return len(MEANINGS) + sum(map(ord, word)) % OTHER if known is None else known


def memory(name: str, content: str, **more: Any) -> Document:
    """A memory of the team; a name like ``c1:7`` is the seventh turn of conversation c1."""
    conversation, _, seq = name.partition(":")
    turn = {"conversation_id": conversation, "seq": int(seq), "message_ids": (f"msg-{int(seq):03}",)} if seq else {}
    common = {"tenant": TENANT, "memory_space_id": SPACE, "window": content, "at": NOON}
    return Document(**{**common, **turn, "memory_id": name, "content": content, **more})
