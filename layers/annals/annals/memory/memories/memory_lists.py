"""Lists of memories, which the search index serves: by time, newest first, eventually consistent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TypeVar

from pydantic import ValidationError

from annals.access.caller import Caller
from annals.answers import Room
from annals.api.filters import require_query_conditions
from annals.api.problems import from_validation
from annals.api.query import read_list
from annals.errors import DeleteManyThresholdExceeded, InvalidInput, InvalidJson, NotFound
from annals.json_text import parse
from annals.memory import adapters
from annals.memory.facts.store import delete_seen_fact, is_fact_id
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.models import Memory, SearchFilter
from annals.memory.memories.pages import Place
from annals.memory.memories.presenters import present_document, present_memory
from annals.memory.memories.search_filters import to_filters
from annals.memory.memories.store import delete_seen, previous_versions
from annals.memory.sources import source_ref_of, with_existing_sources
from annals.search.documents import Document
from annals.search.protocol import Scope

PAGING_PARAMS = ("limit", "cursor", "memorySpaceId")
LISTS = ("tags", "tagsAll")
NUMBERS = ("importanceMin", "importanceMax")

UNCONFIRMED = 10
"""How many memories one request may delete without being told to twice."""

MAX_MANY = 1_000

READ_AT_ONCE = 100
"""How many documents one round trip brings: each may hold 400 KB."""

T = TypeVar("T")


def read_filter(query: Mapping[str, str], reserved: Collection[str] = PAGING_PARAMS) -> SearchFilter:
    """The filter that query parameters make, but for those with a meaning of their own. Raises InvalidInput.

    They have the search's own names, and ``metadata.<path>``.
    """
    said: dict[str, Any] = {name: value for name, value in query.items() if name not in reserved}
    require_query_conditions(said)
    metadata = {name.removeprefix("metadata."): said.pop(name) for name in list(said) if name.startswith("metadata.")}
    for name in LISTS:
        if name in said:
            said[name] = read_list(query, name)
    for name in NUMBERS:
        if name in said and said[name].isascii() and said[name].isdigit():
            said[name] = int(said[name])
    try:
        found = SearchFilter.model_validate(said)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
    return found.model_copy(update={"metadata": {name: _meanings(word) for name, word in metadata.items()}})


def _meanings(word: str) -> tuple[Any, ...]:
    """What a word in a query can mean: itself, or the number or truth value that it spells."""
    try:
        value = parse(word)
    except (InvalidJson, InvalidInput):
        return (word,)
    return (word, value) if isinstance(value, int | float) else (word,)


def scope_of(caller: Caller, memory_space_id: str | None, said: SearchFilter) -> Scope:
    """What a list may show: the spaces that the caller may see, or the one it names among them."""
    return Scope(tenant=caller.tenant, spaces=caller.visible_spaces(memory_space_id), filters=to_filters(said))


def list_memories(scope: Scope, limit: int, after: Place | None) -> tuple[list[Memory], Place | None]:
    """A page of memories behind a place, and the place of the next page. Raises SearchUnavailable."""
    return page_of(scope, limit, after, present_document)


def list_kept_versions(memory: StoredMemory, limit: int, before: int | None) -> tuple[list[Memory], int | None]:
    """A page of a memory's versions, the newest first, those before a number; also the number to go on from."""
    shown: list[Memory] = []
    room = Room()
    for version in (memory, *previous_versions(memory)):
        if before is not None and version.version >= before:
            continue
        item = present_memory(version)
        if len(shown) == limit or not room.takes(item):
            return shown, shown[-1]["version"]
        shown.append(item)
    return shown, None


def page_of(
    scope: Scope, limit: int, after: Place | None, show: Callable[[Document], T | None]
) -> tuple[list[T], Place | None]:
    """Up to ``limit`` documents behind a place as they are shown, as many as an answer has room for.

    Parameters
    ----------
    show : a document as the API shows it, or None for one that is passed over, as one is whose source is withdrawn

    Returns
    -------
    list and Place or None
        What is shown, and the place to go on from, where there is more.
    """
    shown: list[T] = []
    last, room = after, Room()
    for number, (document, is_said) in enumerate(_with_sources(scope, min(limit + 1, READ_AT_ONCE), after)):
        item = show(document) if is_said else None
        if number == limit or (item is not None and not room.takes(item)):
            return shown, last
        if item is not None:
            shown.append(item)
        last = (document.at, document.memory_id)
    return shown, None


def _with_sources(scope: Scope, size: int, after: Place | None) -> Iterator[tuple[Document, bool]]:
    """The documents behind a place, each with whether what it comes from is still said."""
    for page in pages_of(scope, size, after):
        said = {document.memory_id for document in with_existing_sources(scope.tenant, page, source_ref_of)}
        yield from ((document, document.memory_id in said) for document in page)


def pages_of(scope: Scope, size: int, after: Place | None = None) -> Iterator[list[Document]]:
    """All memories of a scope behind a place, the newest first, in pages that are read as they are asked for."""
    while page := adapters.index().list_documents(scope, limit=size, after=after):
        yield page
        if len(page) < size:
            return
        after = (page[-1].at, page[-1].memory_id)


def delete_memories(caller: Caller, scope: Scope, *, dry_run: bool, confirmed: bool) -> list[str]:
    """Delete every memory of a scope, and return the ids of those that this deleted; a dry run returns all of them.

    What somebody else deletes meanwhile is passed over.

    Raises
    ------
    DeleteManyThresholdExceeded : more than ten match, and that was not confirmed
    InvalidInput : TOO_MANY_MATCHES for one request
    """
    found = chain.from_iterable(pages_of(scope, READ_AT_ONCE))
    ids = [document.memory_id for document in islice(found, MAX_MANY + 1)]
    if len(ids) > MAX_MANY:
        raise InvalidInput("TOO_MANY_MATCHES", f"More than {MAX_MANY} memories match; filter further.", field="filter")
    if dry_run:
        return ids
    if len(ids) > UNCONFIRMED and not confirmed:
        raise DeleteManyThresholdExceeded(len(ids), UNCONFIRMED)
    return [memory_id for memory_id in ids if _delete(caller, memory_id)]


def _delete(caller: Caller, memory_id: str) -> bool:
    """Delete a memory or a fact; False for one that is gone: the index is a moment behind the tables."""
    try:
        if is_fact_id(memory_id):
            return delete_seen_fact(caller, memory_id)
        return delete_seen(caller, memory_id)
    except NotFound:
        return False
