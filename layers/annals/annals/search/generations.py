"""An index that can be built anew beside the one in service, and take its place in one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from annals.errors import ConfigurationError, SearchUnavailable
from annals.search.documents import INDEX_VERSION, OWNED_SINCE
from annals.search.protocol import SearchIndex

Place = tuple[str, str]
"""The tenant and the memory id of a document."""


class RebuildableIndex(SearchIndex, Protocol):
    """A search index of which there may be two: the one in service, and the next, which is being built.

    Whoever writes the one in service writes the next one, too. Every method raises SearchUnavailable where the index
    does not answer.
    """

    def made_with(self) -> Mapping[str, str]:
        """What the index was made with, as ``form`` says it; empty where there is none."""
        ...

    def next(self) -> Self | None:
        """The index that is being built to take this one's place, if there is one."""
        ...

    def build(self, *, model: str, dimensions: int, beside: str = "") -> Self:
        """The next index: made, or the one that was begun before.

        Parameters
        ----------
        beside : the name of another index in service, whose next one it is as well
        """
        ...

    def switch(self, new: Self) -> None:
        """Have the next index take this one's place, in one step; who reads or writes finds the one or the other.

        Where somebody else has put it in service already, nothing is to do. Raises SearchUnavailable where it was
        given up meanwhile; another that was begun since does not take the place.
        """
        ...

    def drop_former(self) -> None:
        """Remove the indexes that were in service before this one."""
        ...

    def drop_next(self) -> None:
        """Remove the index that is being built."""
        ...

    def note(self, place: str) -> None:
        """Keep with the index how far its building has come."""
        ...

    def noted(self) -> str:
        """What was noted last; empty at first."""
        ...

    def walk(self, *, limit: int, after: Place | None = None) -> list[Place]:
        """The next documents of all tenants behind a place, in the order of places."""
        ...


def form(model: str, dimensions: int) -> dict[str, str]:
    """What an index is made with: documents of one version, vectors of one model."""
    return {"version": str(INDEX_VERSION), "model": model, "dimensions": str(dimensions)}


def require_owners(name: str, found: Mapping[str, str]) -> None:
    """Raise SearchUnavailable for an index whose documents don't say to whom they belong."""
    if found and int(found.get("version", 0)) < OWNED_SINCE:
        raise SearchUnavailable(
            f"The index {name} is of an older version, and does not know whose memories it holds: "
            "`annals rebuild index` makes it anew (docs/search-index.md)."
        )


def require_form(name: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raise ConfigurationError for an index that was made with something else."""
    if dict(found) != dict(wanted):
        made, asked = (
            f"{each.get('model')} ({each.get('dimensions')} dimensions, form {each.get('version')})"
            for each in (found, wanted)
        )
        raise ConfigurationError(
            f"The index {name} was made with {made}, not {asked}: set EMBEDDINGS_MODEL and EMBEDDINGS_DIMENSIONS back, "
            "or build another index (docs/search-index.md)."
        )
