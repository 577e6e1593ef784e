"""Made documents in any number: words that are as unevenly frequent as a language's, vectors that lie in clusters."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from annals.search.documents import Document, Vector
from annals.search.queries import QUESTION_WORDS

VOCABULARY = 30_000
ZIPF = 1.05
"""A word's frequency falls with its rank to this power."""
SPOKEN_WORDS = 20
"""The median length of a turn; lengths are log-normal."""
DIMENSIONS = 384
LATENT = 64
"""Vectors of text fill far fewer directions than they have dimensions."""
TOPICS, SUBTOPICS = 100, 2_000
USERS = 5
START_MS, STEP_MS = 1_700_000_000_000, 60_000
TENANT = "bench"


@dataclass(frozen=True)
class Corpus:
    """``size`` turns of conversations of 50. The same seed makes the same ones.

    A turn's window holds the two turns before it; its window's vector is the mean of theirs.
    """

    size: int
    seed: int = 0

    @cached_property
    def texts(self) -> list[str]:
        """The turns' texts."""
        rng = np.random.default_rng(self.seed)
        shares = 1 / np.arange(1, VOCABULARY + 1) ** ZIPF
        lengths = np.clip(rng.lognormal(np.log(SPOKEN_WORDS), 0.6, self.size), 3, 200).astype(int)
        chosen = rng.choice(np.array(vocabulary()), lengths.sum(), p=shares / shares.sum())
        return [" ".join(words) for words in np.split(chosen, np.cumsum(lengths)[:-1])]

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """The turns' embeddings, of unit length: shape (size, DIMENSIONS)."""
        rng = np.random.default_rng(self.seed + 1)
        topics = rng.normal(size=(TOPICS, LATENT))
        subtopics = topics[rng.integers(TOPICS, size=SUBTOPICS)] + rng.normal(size=(SUBTOPICS, LATENT))
        latent = subtopics[rng.integers(SUBTOPICS, size=self.size)] + rng.normal(size=(self.size, LATENT))
        return _unit(latent @ rng.normal(size=(LATENT, DIMENSIONS)) + rng.normal(size=(self.size, DIMENSIONS)))

    @cached_property
    def window_vectors(self) -> NDArray[np.float32]:
        """The windows' embeddings."""
        vectors = self.vectors
        return _unit(vectors + np.roll(vectors, 1, axis=0) + np.roll(vectors, 2, axis=0))

    def documents(self, spaces: list[str]) -> Iterator[Document]:
        """The turns as documents; ``spaces`` names each one's space."""
        for row, text in enumerate(self.texts):
            conversation, seq = f"c{row // 50}", row % 50 + 1
            yield Document(
                tenant=TENANT,
                memory_id=f"mem:{conversation}:{seq}",
                memory_space_id=spaces[row],
                conversation_id=conversation,
                seq=seq,
                message_ids=(f"msg-{seq:03}",),
                content=text,
                window="\n".join(self.texts[max(0, row - 2) : row + 1]),
                speaker=f"Speaker{row % 10}",
                role=("user", "assistant")[row % 2],
                user_id=f"user-{row // 50 % USERS}",
                tags=("rare",) if row % max(1, self.size // 20) == 7 else (),
                importance=row % 101,
                at=START_MS + STEP_MS * row,
                vectors=(as_vector(self.vectors[row]),),
                vector_digests=(f"{row:064x}",),
                window_vector=as_vector(self.window_vectors[row]),
                window_digest=f"{row + self.size:064x}",
            )

    def questions(self, count: int) -> list[tuple[str, Vector]]:
        """Questions about turns: some of a turn's words, and a vector near the turn's."""
        rng = np.random.default_rng(self.seed + 2)
        questions = []
        for row in rng.integers(self.size, size=count):
            words = rng.permutation(self.texts[row].split())[:6]
            vector = self.vectors[row] + rng.normal(size=DIMENSIONS) * 0.5 / np.sqrt(DIMENSIONS)
            questions.append((f"what did they say about {' '.join(words)}?", as_vector(_unit(vector[None])[0])))
        return questions


def vocabulary() -> list[str]:
    """Words by rank: those that every question is full of, then made ones."""
    rng = random.Random(0)
    words = dict.fromkeys(sorted(QUESTION_WORDS))
    while len(words) < VOCABULARY:
        words["".join(rng.choice("bcdfghjklmnprstvw") + rng.choice("aeiou") for _ in range(rng.randint(1, 4)))] = None
    return list(words)


def as_vector(row: NDArray[np.float32]) -> Vector:
    """A row of a matrix as a document has it."""
    return tuple(row.tolist())


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
