"""Messages: the records that people and agents said, as the API shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from annals.ledger.append import NewRecord
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.times import to_rfc3339

Message = dict[str, Any]


def message_id(seq: int) -> str:
    """``msg-`` and the seq, at least three digits."""
    return f"msg-{seq:03d}"


def seq_of(message_id: str) -> int | None:
    """The seq that a message id names, or None if it is no message id."""
    digits = message_id.removeprefix("msg-")
    if digits == message_id or not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
        return None
    return int(digits)


def new_message(said: Mapping[str, Any]) -> NewRecord:
    """The record of a message: the JSON text of all that the caller said of it."""
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return NewRecord(MESSAGE, text.encode())


def show(record: Record, entry: Entry) -> Message:
    """A message as the API shows it; one without its body is shown as redacted."""
    place: Message = {"messageId": message_id(record.seq), "seq": record.seq}
    if record.body is None:
        return {**place, "status": "redacted", "timestamp": to_rfc3339(entry.at)}
    return {**place, "timestamp": to_rfc3339(entry.at), **json.loads(record.body)}


def messages_of(entry: Entry) -> Iterator[Message]:
    """The messages of an entry, in order."""
    return (show(record, entry) for record in entry.records if record.kind == MESSAGE)
