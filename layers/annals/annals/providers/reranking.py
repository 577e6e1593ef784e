"""The protocol of reranking models: a query and texts in, a score for each text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

LONGEST_TEXT = 2_000
"""How many characters of a text are read."""


class Reranker(Protocol):
    """A model that reads a query and a text together, which tells more than comparing their vectors."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers a query.

        Parameters
        ----------
        query : a text that is not blank
        texts : at least one, none of them blank; the beginning of a long one is read

        Returns
        -------
        A number for each text, in their order: the higher, the better. Only numbers of one answer can be compared.

        Raises
        ------
        RerankUnavailable : the model does not answer, or answers with something else
        """
        ...
