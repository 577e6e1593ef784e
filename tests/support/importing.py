"""The parts in which the client sends a file."""

from __future__ import annotations

from annals_client.importing import MAX_PART_BYTES, ImportFile, Part, Source, open_source


def parts_of(source: Source, max_bytes: int = MAX_PART_BYTES) -> list[Part]:
    """The parts of a file, none of which is broken."""
    with open_source(source) as file:
        return list(ImportFile(file).parts(max_bytes))
