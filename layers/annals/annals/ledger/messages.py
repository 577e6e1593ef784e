"""Messages: the records of what people and agents said; made, read, and shown as the API shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from annals.json_text import dump
from annals.ledger.append import AppendResult, NewRecord
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.external_ids import EXTERNAL_ID
from annals.ledger.part_fields import with_part_urls
from annals.ledger.read import read_records
from annals.ledger.rewound import Rewound
from annals.packed_vectors import length_of
from annals.times import from_rfc3339, to_rfc3339

Message = TypedDict(
    "Message",
    {
        "messageId": str,
        "seq": int,
        "role": NotRequired[str],
        "originalRole": NotRequired[str],
        "content": NotRequired[str],
        "parts": NotRequired[Any],
        "contentPart": NotRequired[Any],
        "name": NotRequired[str],
        "userId": NotRequired[str],
        "participantId": NotRequired[str],
        "from": NotRequired[str],
        "to": NotRequired[str],
        "threadId": NotRequired[str],
        "runId": NotRequired[str],
        "metadata": NotRequired[dict[str, Any]],
        "externalId": NotRequired[str],
        "timestamp": str,
        "localTime": NotRequired[str],
        "status": NotRequired[Literal["incomplete", "redacted", "archived", "rewound", "damaged"]],
        "finishReason": NotRequired[str],
        "supersedes": NotRequired[str],
        "supersededBy": NotRequired[str],
    },
)
"""A message as the API shows it. Where ``content`` is only the beginning, ``contentPart`` refers to the whole text."""

MESSAGE_ID = re.compile(r"msg-([0-9]{3}|[1-9][0-9]{3,11})")


HIDDEN_STATUSES = ("redacted", "damaged")
"""The statuses of messages whose content is not shown."""

INCOMPLETE = "incomplete"
"""The status of a message that is not the whole of what was said."""

REWOUND = "rewound"
"""The status of a message that a later rewind took back."""

SUPERSEDES = "supersedes"
"""The field of a body that holds the id of the incomplete message whose whole it is."""

MEMORY_FIELD = "memory"
"""The field of a stored body that holds what a message is as a memory; the API does not show it with the message."""


EMBEDDING = "embedding"
"""The field of a stored body that holds the caller's vector of the text; only exports show it with the message."""

ANSWERED = "answers"
"""Within that, the seq of the user's message that a reply answers, where the two are no entry together."""


def message_id(seq: int) -> str:
    """``msg-`` and the seq, at least three digits."""
    return f"msg-{seq:03d}"


def seq_of(message_id: str) -> int | None:
    """The seq that a message id names, or None if it is no message id."""
    match = MESSAGE_ID.fullmatch(message_id)
    return int(match[1]) if match else None


def new_message(body: Mapping[str, Any]) -> NewRecord:
    """The record of a message with this body."""
    said_at = from_rfc3339(body["timestamp"]) if "timestamp" in body else None
    dimensions = length_of(body[EMBEDDING]) if EMBEDDING in body else None
    # An id of no message stands for a message that is not there.
    supersedes = seq_of(body[SUPERSEDES]) or 0 if SUPERSEDES in body else None
    return NewRecord(MESSAGE, dump(body).encode(), said_at, body.get(EXTERNAL_ID), supersedes, dimensions)


def memory_field(importance: int | None, tags: Sequence[str], answers: int | None = None) -> dict[str, Any]:
    """The part of a body that holds what a message is as a memory; empty where nothing is known of that."""
    values = {"importance": importance, "tags": list(tags) or None, ANSWERED: answers}
    known = {name: value for name, value in values.items() if value is not None}
    return {MEMORY_FIELD: known} if known else {}


def present_message(
    record: Record, entry: Entry, archived: int = 0, *, rewound: bool = False, with_embedding: bool = False
) -> Message:
    """A message as the API shows it: redacted where its body is gone, archived up to the seq ``archived``, or rewound.

    A body that is not what was appended is not shown: such a message is damaged.
    """
    identity = {"messageId": message_id(record.seq), "seq": record.seq, "timestamp": to_rfc3339(entry.at)}
    body = record.json_body()
    if body is None:
        return cast("Message", {**identity, "status": "redacted" if record.body is None else "damaged"})
    body.pop(MEMORY_FIELD, None)
    if not with_embedding:
        body.pop(EMBEDDING, None)
    if record.seq <= archived:
        body["status"] = "archived"
    if rewound:
        body["status"] = REWOUND
    return cast("Message", identity | with_part_urls(body, record, entry.pk, message_id(record.seq)))


def answered_seq(record: Record) -> int | None:
    """The seq of the message that a reply was stored as an answer to, where the two are no entry together."""
    if record.body is None or ANSWERED.encode() not in record.body:
        return None
    seq: int | None = ((record.json_body() or {}).get(MEMORY_FIELD) or {}).get(ANSWERED)
    return seq


def is_incomplete(record: Record) -> bool:
    """Whether a message was stored incomplete."""
    if record.body is None or INCOMPLETE.encode() not in record.body:
        return False
    return (record.json_body() or {}).get("status") == INCOMPLETE


def messages_of(entry: Entry) -> Iterator[Message]:
    """The messages of an entry, in order."""
    return (present_message(record, entry) for record in entry.records if record.kind == MESSAGE)


def appended_messages(stored: AppendResult) -> Iterator[Message]:
    """The messages of a request that appended them, in its order: those that were stored before come first."""
    yield from (present_message(record, entry) for record, entry in stored.known)
    if not (stored.replayed and stored.known):
        yield from messages_of(stored.entry)


def numbered_messages(rewound: Rewound, after: int = 0) -> Iterator[tuple[int, Record, Entry]]:
    """The message records after the first ``after`` messages, each with its number and entry, read lazily.

    Those that are rewound have no number. A message's seq is at least its number, since only a few records are no
    messages: the first ones need not be read.
    """
    for entry in rewound.walk_on(after + 1):
        own = [record for record in entry.records if record.kind == MESSAGE]
        for place, record in enumerate(own, start=entry.count - len(own) + 1):
            number = place - rewound.count_before(record.seq)
            if number > after and not rewound.hides(record.seq):
                yield number, record, entry


def salts_of(pk: str, message_ids: Sequence[str]) -> bytes:
    """The salts of messages, in the order of their ids; of a redacted one there is none."""
    seqs = [seq for message_id in message_ids if (seq := seq_of(message_id)) is not None]
    salts = {
        record.seq: record.salt or b""
        for entry in (read_records(pk, min(seqs), max(seqs)) if seqs else ())
        for record in entry.records
    }
    return b"".join(salts.get(seq, b"") for seq in seqs)
