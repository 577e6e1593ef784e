"""Lists of memories, which the search index serves: by time, newest first, eventually consistent.

Here are also the lists of one memory's versions, which the tables serve, and the deletion of all that a list has.
"""

from __future__ import annotations

from itertools import chain, islice

from annals.access.caller import Caller
from annals.answers import Room
from annals.errors import DeleteManyThresholdExceeded, InvalidInput, NotFound
from annals.memory.facts.fact_deletion import delete_visible_fact
from annals.memory.facts.fact_items import is_fact_id
from annals.memory.index_pages import READ_AT_ONCE, IndexPosition, list_page, walk_pages
from annals.memory.memories.memory_deletion import delete_visible_memory
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.memory_presenters import present_document, present_memory
from annals.memory.memories.memory_reads import previous_versions
from annals.memory.memories.models import Memory
from annals.search.protocol import Scope

MAX_UNCONFIRMED = 10
"""How many memories one request may delete without a confirmation."""

MAX_DELETED = 1_000
"""How many memories one request may delete."""


def list_memories(scope: Scope, limit: int, after: IndexPosition | None) -> tuple[list[Memory], IndexPosition | None]:
    """A page of memories behind a position, and the position of the next page. Raises SearchUnavailable."""
    return list_page(scope, limit, after, present_document)


def list_memory_versions(memory: StoredMemory, limit: int, before: int | None) -> tuple[list[Memory], int | None]:
    """A page of a memory's versions, the newest first, those before a number; also the number to go on from."""
    items: list[Memory] = []
    room = Room()
    for version in (memory, *previous_versions(memory)):
        if before is not None and version.version >= before:
            continue
        item = present_memory(version)
        if len(items) == limit or not room.takes(item):
            return items, items[-1]["version"]
        items.append(item)
    return items, None


def delete_memories(caller: Caller, scope: Scope, *, dry_run: bool, confirmed: bool) -> list[str]:
    """Delete every memory of a scope, and return the ids of those that this deleted; a dry run returns all of them.

    What another request deletes meanwhile is passed over.

    Raises
    ------
    DeleteManyThresholdExceeded : more than ten match, and that was not confirmed
    InvalidInput : TOO_MANY_MATCHES for one request
    """
    documents = chain.from_iterable(walk_pages(scope, READ_AT_ONCE))
    ids = [document.memory_id for document in islice(documents, MAX_DELETED + 1)]
    if len(ids) > MAX_DELETED:
        detail = f"More than {MAX_DELETED} memories match; filter further."
        raise InvalidInput("TOO_MANY_MATCHES", detail, field="filter")
    if dry_run:
        return ids
    if len(ids) > MAX_UNCONFIRMED and not confirmed:
        raise DeleteManyThresholdExceeded(len(ids), MAX_UNCONFIRMED)
    return [memory_id for memory_id in ids if _delete(caller, memory_id)]


def _delete(caller: Caller, memory_id: str) -> bool:
    """Delete a memory or a fact; False for one that is gone: the index is a moment behind the tables."""
    try:
        if is_fact_id(memory_id):
            return delete_visible_fact(caller, memory_id)
        return delete_visible_memory(caller, memory_id)
    except NotFound:
        return False
