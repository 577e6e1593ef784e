"""Vectors of a store's items: which texts are embedded, how vectors are stored, and how near they are to a query."""

from __future__ import annotations

import math
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from sys import byteorder
from typing import Any, Literal, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, PutOp, ensure_embeddings, get_text_at_path, tokenize_path

Vector = Sequence[float]

VectorsByText = Mapping[str, Vector]


class VectorIndex:
    """What is embedded of items.

    Parameters
    ----------
    config : LangGraph's: ``dims``, ``embed``, and ``fields``

    Raises
    ------
    ValueError : ``dims`` is not a positive number
    """

    def __init__(self, config: IndexConfig) -> None:
        self._dims = config["dims"]
        if not isinstance(self._dims, int) or self._dims < 1:
            raise ValueError(f"index['dims'] must be a positive whole number, not {self._dims!r}")
        self.embeddings: Embeddings = ensure_embeddings(config["embed"])
        self._fields = [(path, _tokens(path)) for path in config.get("fields") or ["$"]]

    def texts_of(self, put: PutOp) -> list[str]:
        """The texts of an item that are embedded: each field's, and each element's of a list."""
        if put.value is None or put.index is False:
            return []
        fields = self._fields if put.index is None else [(path, _tokens(path)) for path in put.index]
        return [text for _, tokens in fields for text in get_text_at_path(dict(put.value), cast("Any", tokens))]

    def by_text(self, texts: Sequence[str], vectors: Sequence[Vector]) -> dict[str, Vector]:
        """The vector of each text. Raises ValueError where they are not what the index is for."""
        if len(texts) != len(vectors):
            raise ValueError(f"{len(texts)} texts were embedded, and {len(vectors)} vectors came")
        for vector in vectors:
            if len(vector) != self._dims:
                raise ValueError(f"A vector has {len(vector)} dimensions, and index['dims'] is {self._dims}")
        return dict(zip(texts, vectors, strict=True))


def _tokens(path: str) -> list[str] | Literal["$"]:
    return "$" if path == "$" else tokenize_path(path)


def to_text(vector: Vector) -> str:
    """A vector as it is stored: numbers of four bytes in Base64."""
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def from_text(text: str) -> array[float]:
    """The vector that is stored so."""
    numbers = array("f")
    numbers.frombytes(b64decode(text))
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def nearness(query: Vector, vectors: Iterable[Sequence[Vector]]) -> list[float | None]:
    """How near each item is to a query, as the cosine of its nearest vector; None for an item without vectors."""
    length = math.sqrt(sum(map(mul, query, query)))
    return [max((_cosine(query, length, each) for each in of_item), default=None) for of_item in vectors]


def _cosine(query: Vector, length: float, vector: Vector) -> float:
    product = length * math.sqrt(sum(map(mul, vector, vector)))
    return sum(map(mul, query, vector)) / product if product else 0.0
