"""Exports: conversations as files in one of the formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from annals.access.caller import Caller
from annals.conversations.formats import Format
from annals.conversations.lists import Selection
from annals.conversations.read import require_conversation_access
from annals.conversations.snapshot import take_snapshot, take_snapshots


@dataclass(frozen=True)
class ExportOptions:
    """How an export is to be written; ``with_parts`` is whether large parts are in their places."""

    format: Format
    with_metadata: bool = True
    with_parts: bool = False


def export_one(caller: Caller, conversation_id: str, options: ExportOptions) -> Iterator[str]:
    """The pieces of a conversation's file. Raises ConversationNotFound or ConversationErased, at once."""
    require_conversation_access(caller, conversation_id)
    snapshot = take_snapshot(
        caller.tenant,
        conversation_id,
        with_metadata=options.with_metadata,
        with_damage=options.format.with_damage,
        with_parts=options.with_parts,
    )
    return options.format.write_one(snapshot)


def export_many(selection: Selection, options: ExportOptions) -> Iterator[str]:
    """The pieces of a file of all conversations of a selection, the oldest first."""
    snapshots = take_snapshots(
        selection,
        with_metadata=options.with_metadata,
        with_damage=options.format.with_damage,
        with_parts=options.with_parts,
    )
    return options.format.write_many(snapshots, with_metadata=options.with_metadata)
