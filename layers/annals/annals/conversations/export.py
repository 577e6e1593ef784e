"""Exports: conversations as files in one of the formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from annals.access.caller import Caller
from annals.api.query import read_flag
from annals.conversations.formats import CSV, FORMATS, LEDGER, UNGUARDED_CSV, Format, keeps_formulas
from annals.conversations.lists import Selection
from annals.conversations.read import require_conversation_access
from annals.conversations.snapshot import snapshot, snapshots
from annals.errors import InvalidInput

OPTIONS = ("format", "includeMetadata", "formulas")
"""The query parameters that are no filter."""


@dataclass(frozen=True)
class ExportOptions:
    """How an export is to be written."""

    format: Format
    with_metadata: bool = True


def read_options(query: Mapping[str, str]) -> ExportOptions:
    """The options that query parameters name. Raises InvalidInput INVALID_FORMAT."""
    name = query.get("format", "json")
    if name not in FORMATS:
        raise InvalidInput("INVALID_FORMAT", f"format must be one of {', '.join(FORMATS)}.", field="format")
    with_metadata = read_flag(query, "includeMetadata", default=True)
    if name == LEDGER and not with_metadata:
        detail = "A ledger is exported as it is hashed, with its metadata."
        raise InvalidInput("INVALID_FORMAT", detail, field="includeMetadata")
    keeps = keeps_formulas(query) and name == CSV
    return ExportOptions(UNGUARDED_CSV if keeps else FORMATS[name], with_metadata)


def export_one(caller: Caller, conversation_id: str, options: ExportOptions) -> Iterator[str]:
    """The pieces of a conversation's file. Raises ConversationNotFound or ConversationErased, at once."""
    require_conversation_access(caller, conversation_id)
    found = snapshot(
        caller.tenant,
        conversation_id,
        with_metadata=options.with_metadata,
        with_damage=options.format.with_damage,
    )
    return options.format.write_one(found)


def export_many(chosen: Selection, options: ExportOptions) -> Iterator[str]:
    """The pieces of a file of all conversations of a selection, the oldest first."""
    found = snapshots(chosen, with_metadata=options.with_metadata, with_damage=options.format.with_damage)
    return options.format.write_many(found, with_metadata=options.with_metadata)
