"""The formats of an export of memories: how they become a file, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from annals.conversations.formats import CSV, CSV_TYPE, NDJSON
from annals.formats import csv_text
from annals.json_text import dump

COLUMNS = (
    "memoryId", "memorySpaceId", "version", "status", "createdAt", "updatedAt", "contentType", "sourceType", "userId",
    "agentId", "participantId", "importance", "content", "tags", "metadata", "conversationRef", "fact", "externalId",
    "localTime",
)  # fmt: skip

PresentedMemory = Mapping[str, Any]
"""A memory as the API shows it; with its versions, in ``previousVersions``, where the export includes them."""


@dataclass(frozen=True)
class Format:
    """How memories are written: the answer's content type, the file's suffix, and the pieces of the file."""

    content_type: str
    suffix: str
    write: Callable[[Iterable[PresentedMemory]], Iterator[str]]


def _json(memories: Iterable[PresentedMemory]) -> Iterator[str]:
    yield '{"memories":['
    for index, memory in enumerate(memories):
        yield ("," if index else "") + dump(memory)
    yield "]}"


def _jsonl(memories: Iterable[PresentedMemory]) -> Iterator[str]:
    for memory in memories:
        yield dump({"type": "memory", **memory}) + "\n"


def _csv(memories: Iterable[PresentedMemory], *, guard: bool = True) -> Iterator[str]:
    """A row for each memory, and one for each of its previous versions after it."""
    yield csv_text.row(COLUMNS)
    for memory in memories:
        for version in (memory, *memory.get("previousVersions", ())):
            yield csv_text.row((_cell(version.get(name, "")) for name in COLUMNS), guard=guard)


def _cell(value: Any) -> Any:
    return dump(value) if isinstance(value, dict | list) else value


FORMATS = {
    "json": Format("application/json", ".json", _json),
    "jsonl": Format(NDJSON, ".jsonl", _jsonl),
    CSV: Format(CSV_TYPE, ".csv", _csv),
}
"""The formats by name."""

UNGUARDED_CSV = replace(FORMATS[CSV], write=partial(_csv, guard=False))
"""CSV in which formulas stay formulas."""
