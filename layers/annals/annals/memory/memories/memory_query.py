"""The query parameters of lists, counts and exports of memories, as what the domain takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from annals.api.filters import require_query_conditions
from annals.api.problems import from_validation
from annals.api.query import read_choice, read_flag, read_list
from annals.conversations.formats import CSV, FORMULAS
from annals.errors import InvalidInput, InvalidJson
from annals.json_text import parse
from annals.memory.facts.fact_items import SUPERSEDED
from annals.memory.memories.memory_export import MemoryExportOptions
from annals.memory.memories.memory_export_formats import FORMATS, UNGUARDED_CSV
from annals.memory.memories.memory_items import ARCHIVED
from annals.memory.memories.models import SearchFilter

LIST_PARAMS = ("limit", "cursor", "memorySpaceId")
"""The query parameters of a list that are no filter."""

OWNER_PARAMS = ("memorySpaceId", "userId", "agentId")
"""The query parameters that name the owner of a memory with an external id."""

STATUS_PARAMS = {"includeArchived": ARCHIVED, "includeSuperseded": SUPERSEDED}
"""The query parameters that add memories of another status to an export."""

EXPORT_PARAMS = ("format", "formulas", "includeVersions", "memorySpaceId", *STATUS_PARAMS)
"""The query parameters of an export that are no filter."""

LISTS = ("tags", "tagsAll")
NUMBERS = ("importanceMin", "importanceMax")


def read_memory_filter(query_params: Mapping[str, str], reserved: Collection[str] = LIST_PARAMS) -> SearchFilter:
    """The filter that query parameters make, but for those with a meaning of their own. Raises InvalidInput.

    They have the search's own names, and ``metadata.<path>``.
    """
    fields: dict[str, Any] = {name: value for name, value in query_params.items() if name not in reserved}
    require_query_conditions(fields)
    metadata = {
        name.removeprefix("metadata."): fields.pop(name) for name in list(fields) if name.startswith("metadata.")
    }
    for name in LISTS:
        if name in fields:
            fields[name] = read_list(query_params, name)
    for name in NUMBERS:
        if name in fields and fields[name].isascii() and fields[name].isdigit():
            fields[name] = int(fields[name])
    try:
        memory_filter = SearchFilter.model_validate(fields)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
    return memory_filter.model_copy(update={"metadata": {path: _meanings(word) for path, word in metadata.items()}})


def _meanings(word: str) -> tuple[Any, ...]:
    """What a word in a query can mean: itself, or the number or truth value that it spells."""
    try:
        value = parse(word)
    except (InvalidJson, InvalidInput):
        return (word,)
    return (word, value) if isinstance(value, int | float) else (word,)


def read_export_options(query_params: Mapping[str, str]) -> MemoryExportOptions:
    """The export that query parameters describe.

    Raises InvalidInput: INVALID_FORMAT, or what ``read_memory_filter`` raises.
    """
    name = read_choice(query_params, "format", FORMATS, "json")
    keep_formulas = read_choice(query_params, "formulas", FORMULAS, "guard") == "keep"
    return MemoryExportOptions(
        memory_space_id=query_params.get("memorySpaceId"),
        filter=read_memory_filter(query_params, EXPORT_PARAMS),
        more_statuses=tuple(status for param, status in STATUS_PARAMS.items() if read_flag(query_params, param)),
        format=UNGUARDED_CSV if keep_formulas and name == CSV else FORMATS[name],
        with_versions=read_flag(query_params, "includeVersions"),
    )
