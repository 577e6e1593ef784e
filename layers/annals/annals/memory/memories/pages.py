"""Pages of the lists that the search index serves, and the places from which they go on."""

from __future__ import annotations

from annals.api.cursors import Cursors

Place = tuple[int, str]
"""A memory's place in a list: its time, in Unix milliseconds, and its id."""


def read_place(cursor: str | None, cursors: Cursors) -> Place | None:
    """The place from which a cursor goes on. Raises InvalidInput INVALID_CURSOR."""
    if not cursor:
        return None
    at, memory_id = cursors.read(cursor)
    return at, memory_id
