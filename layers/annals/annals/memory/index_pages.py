"""What a caller may see of the search index, and pages of that, the newest first, for lists of memories and of facts.

The index learns of a redaction or an erasure a moment later only; what comes from removed words is passed over here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from annals.access.caller import Caller
from annals.answers import Room
from annals.api.cursors import Cursors
from annals.memory import adapters
from annals.memory.sources import with_existing_documents
from annals.search.documents import Document
from annals.search.protocol import Filters, Scope

READ_AT_ONCE = 100
"""How many documents one round trip brings: each may hold 400 KB."""

IndexPosition = tuple[int, str]
"""Where a document is in the index: its time, in Unix milliseconds, and its id."""

T = TypeVar("T")


def visible_scope(
    caller: Caller,
    memory_space_id: str | None = None,
    filters: Filters | None = None,
    for_user: str | None = None,
) -> Scope:
    """What of the index a caller may see: its spaces, or the one that is named among them.

    Parameters
    ----------
    for_user : only what belongs to this user or to nobody, with the user's own user memories of no space where the
        caller may see all spaces; None for anybody's
    """
    return Scope(
        tenant=caller.tenant,
        spaces=caller.visible_spaces(memory_space_id),
        filters=filters or Filters(),
        for_user=for_user,
        with_spaceless=caller.spaces is None,
    )


def read_position(cursor: str | None, cursors: Cursors) -> IndexPosition | None:
    """The position that a list goes on from. Raises InvalidInput INVALID_CURSOR."""
    if not cursor:
        return None
    at, memory_id = cursors.read(cursor)
    return at, memory_id


def position_of(document: Document) -> IndexPosition:
    """Where a document is in the index."""
    return document.at, document.memory_id


def walk_pages(scope: Scope, size: int, after: IndexPosition | None = None) -> Iterator[list[Document]]:
    """All documents of a scope behind a position, the newest first, in pages that are read as they are needed."""
    while page := adapters.index().list_documents(scope, limit=size, after=after):
        yield page
        if len(page) < size:
            return
        after = position_of(page[-1])


def list_page(
    scope: Scope, limit: int, after: IndexPosition | None, present: Callable[[Document], T | None]
) -> tuple[list[T], IndexPosition | None]:
    """Up to ``limit`` documents behind a position, as many as an answer has room for.

    Parameters
    ----------
    present : a document as the API shows it, or None for one that is passed over

    Returns
    -------
    list and IndexPosition or None
        The documents as the API shows them, and the position to go on from, where there is more.

    Raises
    ------
    SearchUnavailable
    """
    items: list[T] = []
    last, room = after, Room()
    for number, (document, has_source) in enumerate(_with_sources(scope, min(limit + 1, READ_AT_ONCE), after)):
        item = present(document) if has_source else None
        if number == limit or (item is not None and not room.takes(item)):
            return items, last
        if item is not None:
            items.append(item)
        last = position_of(document)
    return items, None


def _with_sources(scope: Scope, size: int, after: IndexPosition | None) -> Iterator[tuple[Document, bool]]:
    """The documents behind a position, each with whether the words that it comes from are still there."""
    for page in walk_pages(scope, size, after):
        existing = {document.memory_id for document in with_existing_documents(scope.tenant, page, lambda each: each)}
        yield from ((document, document.memory_id in existing) for document in page)
