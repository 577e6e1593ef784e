"""The formats of an export: how conversations become a file, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from annals.conversations.snapshot import Snapshot
from annals.errors import DamagedEntry
from annals.formats import csv_text
from annals.formats.lines import LINE_FORMATS, write_line
from annals.json_text import dump
from annals.ledger.export_lines import Header, damaged_line, entry_line, header_line
from annals.times import now_ms

COLUMNS = (
    "conversationId", "kind", "messageId", "seq", "timestamp", "role", "originalRole", "content", "name", "userId",
    "participantId", "from", "to", "threadId", "runId", "externalId", "status", "finishReason", "supersedes", "parts",
    "metadata", "localTime",
)  # fmt: skip
JSON_COLUMNS = ("parts", "metadata")


@dataclass(frozen=True)
class Format:
    """How an export is written.

    Parameters
    ----------
    content_type : of the answer
    suffix : of the file's name
    write : the pieces of one conversation
    heading : what a file begins with, by whether it holds metadata
    opening, between, closing : what is around several conversations
    with_damage : whether it shows a conversation whose last entry cannot be read, too
    """

    content_type: str
    suffix: str
    write: Callable[[Snapshot], Iterator[str]]
    heading: Callable[[bool], str] = lambda _: ""
    opening: str = ""
    between: str = ""
    closing: str = ""
    with_damage: bool = False

    def write_one(self, snapshot: Snapshot) -> Iterator[str]:
        """The pieces of a file that holds one conversation."""
        yield self.heading(snapshot.with_metadata)
        yield from self.write(snapshot)

    def write_many(self, snapshots: Iterable[Snapshot], *, with_metadata: bool) -> Iterator[str]:
        """The pieces of a file that holds any number of conversations."""
        yield self.heading(with_metadata)
        yield self.opening
        for index, each in enumerate(snapshots):
            yield self.between if index else ""
            yield from self.write(each)
        yield self.closing


def _json(snapshot: Snapshot) -> Iterator[str]:
    """The conversation's own object, left open for its messages and its runs, if there are any."""
    yield dump(snapshot.conversation())[:-1] + ',"messages":['
    for index, message in enumerate(snapshot.messages()):
        yield ("," if index else "") + dump(message)
    yield "]"
    has_runs = False
    for run in snapshot.runs():
        yield ("," if has_runs else ',"runs":[') + dump(run)
        has_runs = True
    yield "]}" if has_runs else "}"


def _jsonl(snapshot: Snapshot) -> Iterator[str]:
    """A line for the conversation, whose own type goes by ``conversationType``, one for each message and each run."""
    conversation = snapshot.conversation()
    yield _line({"type": "conversation", "conversationType": conversation.pop("type"), **conversation})
    for message in snapshot.messages():
        yield _line({"type": "message", "conversationId": conversation["conversationId"], **message})
    for run in snapshot.runs():
        yield _line({"type": "run", "conversationId": conversation["conversationId"], **run})


def _csv(snapshot: Snapshot, *, guard: bool = True) -> Iterator[str]:
    conversation_id = snapshot.head.genesis.conversation_id
    for message in snapshot.messages():
        values = {"conversationId": conversation_id, "kind": "message", **message}
        yield csv_text.row(
            [_cell(values, name) for name in csv_columns(with_metadata=snapshot.with_metadata)], guard=guard
        )


def csv_columns(*, with_metadata: bool) -> tuple[str, ...]:
    """The columns of a CSV file."""
    return COLUMNS if with_metadata else tuple(name for name in COLUMNS if name != "metadata")


def _cell(values: Mapping[str, Any], name: str) -> Any:
    if name in values and name in JSON_COLUMNS:
        return dump(values[name])
    return values.get(name, "")


def _chat_line(name: str, snapshot: Snapshot) -> Iterator[str]:
    """One line, in a format of other programs: the preamble as a system message, then the messages that can be read."""
    is_empty = True
    metadata = snapshot.conversation().get("metadata")
    for piece in write_line(name, snapshot.current_messages(), metadata):
        is_empty = False
        yield piece
    if not is_empty:
        yield "\n"


def _ledger(snapshot: Snapshot) -> Iterator[str]:
    known = None if snapshot.known == snapshot.head.checkpoint else snapshot.known
    yield header_line(Header(snapshot.head.pk, snapshot.head.checkpoint, snapshot.tail.count, now_ms(), known)) + "\n"
    for entry in snapshot.entries():
        yield (damaged_line(entry) if isinstance(entry, DamagedEntry) else entry_line(entry)) + "\n"


def _line(values: Mapping[str, Any]) -> str:
    return dump(values) + "\n"


NDJSON = "application/x-ndjson"

LEDGER, CSV = "ledger", "csv"

CSV_TYPE = "text/csv; charset=utf-8"

FORMATS = {
    "json": Format("application/json", ".json", _json, opening='{"conversations":[', between=",", closing="]}"),
    "jsonl": Format(NDJSON, ".jsonl", _jsonl),
    CSV: Format(CSV_TYPE, ".csv", _csv, heading=lambda metadata: csv_text.row(csv_columns(with_metadata=metadata))),
    **{
        name: Format(NDJSON, f".{name.removesuffix('-chat')}.jsonl", partial(_chat_line, name)) for name in LINE_FORMATS
    },
    LEDGER: Format(NDJSON, ".ledger.jsonl", _ledger, with_damage=True),
}
"""The formats by name."""

INLINE, REFERENCES = "inline", "references"
"""Where the large parts of messages can be: in their places, or where references in these places lead."""

FORMULAS = ("guard", "keep")
"""What can become of formulas in CSV: guarded by an apostrophe, or kept as they are."""

UNGUARDED_CSV = replace(FORMATS[CSV], write=partial(_csv, guard=False))
"""CSV in which formulas are kept."""
