"""Pages of the lists that the search index serves, and the places from which they go on."""

from __future__ import annotations

from collections.abc import Sequence

from annals.http.cursors import Cursors
from annals.search.documents import Document

Place = tuple[int, str]
"""A memory's place in a list: its time, in Unix milliseconds, and its id."""


def read_place(cursor: str | None, cursors: Cursors) -> Place | None:
    """The place from which a cursor goes on. Raises InvalidInput INVALID_CURSOR."""
    if not cursor:
        return None
    at, memory_id = cursors.read(cursor)
    return at, memory_id


def place_behind(found: Sequence[Document], limit: int) -> Place | None:
    """The place behind a page of ``limit``, where one more was found."""
    last = found[limit - 1] if len(found) > limit else None
    return (last.at, last.memory_id) if last else None
