"""Messages: the records that people and agents said, as the API shows them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from annals.json_text import dump
from annals.ledger.append import NewRecord
from annals.ledger.entry import MESSAGE, PREAMBLE, Entry, Record
from annals.ledger.read import read_records, walk_records_from
from annals.times import to_rfc3339

Message = TypedDict(
    "Message",
    {
        "messageId": str,
        "seq": int,
        "role": NotRequired[str],
        "content": NotRequired[str],
        "parts": NotRequired[Any],
        "name": NotRequired[str],
        "userId": NotRequired[str],
        "participantId": NotRequired[str],
        "from": NotRequired[str],
        "to": NotRequired[str],
        "threadId": NotRequired[str],
        "runId": NotRequired[str],
        "metadata": NotRequired[dict[str, Any]],
        "timestamp": str,
        "status": NotRequired[Literal["incomplete", "redacted", "archived", "damaged"]],
    },
)
"""A message as it is stored."""

MESSAGE_ID = re.compile(r"msg-([0-9]{3}|[1-9][0-9]{3,11})")


HIDDEN_STATUSES = ("redacted", "damaged")
"""The statuses of messages whose words are not shown."""

MEMORY_FIELD = "memory"
"""The part of a body that says what the message is as a memory; it is not part of the message."""


ANSWERED = "answers"
"""The mark that says to which seq a reply is the answer, where the conversation does not say whose it is."""


def message_id(seq: int) -> str:
    """``msg-`` and the seq, at least three digits."""
    return f"msg-{seq:03d}"


def seq_of(message_id: str) -> int | None:
    """The seq that a message id names, or None if it is no message id."""
    found = MESSAGE_ID.fullmatch(message_id)
    return int(found[1]) if found else None


def new_message(said: Mapping[str, Any]) -> NewRecord:
    """The record of a message: the JSON text of all that the caller said of it."""
    return NewRecord(MESSAGE, dump(said).encode())


def memory_field(importance: int | None, tags: Sequence[str], answers: int | None = None) -> dict[str, Any]:
    """The part of a body that says what a message is as a memory; nothing where there is nothing to say."""
    said = {"importance": importance, "tags": list(tags) or None, ANSWERED: answers}
    marks = {name: value for name, value in said.items() if value is not None}
    return {MEMORY_FIELD: marks} if marks else {}


def present_message(record: Record, entry: Entry, archived: int = 0) -> Message:
    """A message as the API shows it: redacted where its body is gone, archived up to the seq ``archived``.

    A body that is not what was appended is not shown: such a message is damaged.
    """
    place = {"messageId": message_id(record.seq), "seq": record.seq, "timestamp": to_rfc3339(entry.at)}
    said = record.said()
    if said is None:
        return cast("Message", {**place, "status": "redacted" if record.body is None else "damaged"})
    said.pop(MEMORY_FIELD, None)
    if record.seq <= archived:
        said["status"] = "archived"
    return cast("Message", place | said)


def messages_of(entry: Entry) -> Iterator[Message]:
    """The messages of an entry, in order."""
    return (present_message(record, entry) for record in entry.records if record.kind == MESSAGE)


def numbered_messages(pk: str, after: int = 0) -> Iterator[tuple[int, Record, Entry]]:
    """The message records behind the first ``after`` messages, each with its number and entry, read as asked for.

    Messages number as the records do, but for the few records that are none, so the first ones need not be read.
    """
    for entry in walk_records_from(pk, after + 1):
        own = [record for record in entry.records if record.kind == MESSAGE]
        for number, record in enumerate(own, start=entry.count - len(own) + 1):
            if number > after:
                yield number, record, entry


def walk_messages(pk: str, message_ids: Collection[str], archived: int = 0) -> Iterator[Message]:
    """The messages of these ids, in stored order, read as asked for; ids that there are not are left out."""
    wanted = {seq for message_id in message_ids if (seq := seq_of(message_id)) is not None}
    found: dict[int, Message] = {}
    for seq in sorted(wanted):
        if seq not in found:
            found |= {
                record.seq: present_message(record, entry, archived)
                for entry in read_records(pk, seq, seq)
                for record in entry.records
                if record.kind in (MESSAGE, PREAMBLE) and record.seq in wanted
            }
        if message := found.pop(seq, None):
            yield message


def read_messages(pk: str, message_ids: Collection[str], archived: int = 0) -> list[Message]:
    """The messages of these ids, in their stored order; ids that there are not are left out."""
    return list(walk_messages(pk, message_ids, archived))


def salts_of(pk: str, message_ids: Sequence[str]) -> bytes:
    """The salts of messages, in the order of their ids; of a redacted one there is none."""
    seqs = [seq for message_id in message_ids if (seq := seq_of(message_id)) is not None]
    found = {
        record.seq: record.salt or b""
        for entry in (read_records(pk, min(seqs), max(seqs)) if seqs else ())
        for record in entry.records
    }
    return b"".join(found.get(seq, b"") for seq in seqs)
