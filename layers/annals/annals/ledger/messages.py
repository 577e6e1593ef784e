"""Messages: the records that people and agents said, as the API shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from annals.json_text import dump
from annals.ledger.append import NewRecord
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.read import read_records
from annals.times import to_rfc3339

if TYPE_CHECKING:
    from annals.ledger.models import Message


MESSAGE_ID = re.compile(r"msg-([0-9]{3}|[1-9][0-9]{3,11})")


MARKS = "memory"
"""The part of a body that says what the message is as a memory; it is not part of the message."""


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


def show(record: Record, entry: Entry) -> Message:
    """A message as the API shows it; one without its body is shown as redacted."""
    place = {"messageId": message_id(record.seq), "seq": record.seq, "timestamp": to_rfc3339(entry.at)}
    said = {"status": "redacted"} if record.body is None else json.loads(record.body)
    said.pop(MARKS, None)
    return cast("Message", place | said)


def messages_of(entry: Entry) -> Iterator[Message]:
    """The messages of an entry, in order."""
    return (show(record, entry) for record in entry.records if record.kind == MESSAGE)


def read_message(pk: str, message_id: str) -> Message | None:
    """The message of this id, or None where there is none."""
    seq = seq_of(message_id)
    if seq is None:
        return None
    found = (message for entry in read_records(pk, seq, seq) for message in messages_of(entry))
    return next((message for message in found if message["seq"] == seq), None)
