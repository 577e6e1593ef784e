"""Lists of memories, which the search index serves: by time, newest first, eventually consistent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from annals.access.caller import Caller
from annals.errors import DeleteManyThresholdExceeded, InvalidInput, InvalidJson, NotFound
from annals.http.conditions import demand_query_conditions
from annals.http.problems import from_validation
from annals.http.query import read_words
from annals.json_text import parse
from annals.memory import ports
from annals.memory.facts.store import delete_fact, find_fact, is_fact_id
from annals.memory.memories import delete_memory, find_memory
from annals.memory.models import Memory, SearchFilter
from annals.memory.pages import Place, place_behind
from annals.memory.searching import to_filters
from annals.memory.shown import show_document
from annals.memory.sources import ref_of, still_said
from annals.search.documents import Document
from annals.search.port import Scope

PAGING = ("limit", "cursor", "memorySpaceId")
LISTS = ("tags", "tagsAll")
NUMBERS = ("importanceMin", "importanceMax")

UNCONFIRMED = 10
"""How many memories one request may delete without being told to twice."""

MAX_MANY = 1_000


def read_filter(query: Mapping[str, str], reserved: Collection[str] = PAGING) -> SearchFilter:
    """The filter that query parameters make, but for those with a meaning of their own. Raises InvalidInput.

    They have the search's own names, and ``metadata.<path>``.
    """
    said: dict[str, Any] = {name: value for name, value in query.items() if name not in reserved}
    demand_query_conditions(said)
    metadata = {name.removeprefix("metadata."): said.pop(name) for name in list(said) if name.startswith("metadata.")}
    for name in LISTS:
        if name in said:
            said[name] = read_words(query, name)
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
    return Scope(tenant=caller.tenant, spaces=caller.spaces_among(memory_space_id), filters=to_filters(said))


def list_memories(scope: Scope, limit: int, after: Place | None) -> tuple[list[Memory], Place | None]:
    """A page of memories behind a place, and the place of the next page. Raises SearchUnavailable."""
    found = ports.index().page(scope, limit=limit + 1, after=after)
    said = still_said(scope.tenant, found[:limit], ref_of)
    return [show_document(document) for document in said], place_behind(found, limit)


def pages_of(scope: Scope, size: int) -> Iterator[list[Document]]:
    """All memories of a scope, the newest first, in pages that are read as they are asked for."""
    after = None
    while page := ports.index().page(scope, limit=size, after=after):
        yield page
        after = (page[-1].at, page[-1].memory_id)


def delete_memories(caller: Caller, scope: Scope, *, dry_run: bool, confirmed: bool) -> list[str]:
    """Delete every memory of a scope, and return the ids of those that this deleted; a dry run returns all of them.

    What somebody else deletes meanwhile is passed over.

    Raises
    ------
    DeleteManyThresholdExceeded : more than ten match, and that was not confirmed
    InvalidInput : TOO_MANY_MATCHES for one request
    """
    found = list_memories(scope, MAX_MANY, None)[0]
    if ports.index().count(scope) > MAX_MANY:
        raise InvalidInput("TOO_MANY_MATCHES", f"More than {MAX_MANY} memories match; filter further.", field="filter")
    ids = [memory["memoryId"] for memory in found]
    if dry_run:
        return ids
    if len(ids) > UNCONFIRMED and not confirmed:
        raise DeleteManyThresholdExceeded(len(ids), UNCONFIRMED)
    return [memory_id for memory_id in ids if _delete(caller, memory_id)]


def _delete(caller: Caller, memory_id: str) -> bool:
    """Delete a memory or a fact; False for one that is gone: the index is a moment behind the tables."""
    try:
        if is_fact_id(memory_id):
            return delete_fact(find_fact(caller, memory_id).fact)
        return delete_memory(find_memory(caller, memory_id))
    except NotFound:
        return False
