"""Summaries of conversations: what is stored of one, beside its conversation's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from annals.database.damage import AttributeTypes, decode_item, decode_readable, find_mismatch
from annals.database.dynamodb import Item, client, from_item
from annals.database.keys import item_key
from annals.database.state import state_item
from annals.errors import DamagedItem
from annals.ledger.entry import Tail
from annals.ledger.messages import Message
from annals.ledger.rewound import Rewound
from annals.settings import settings
from annals.times import to_rfc3339

SUMMARY: AttributeTypes = {
    "summary": str, "topics": list, "from_seq": int, "to_seq": int, "count": int, "updated_at": int, "model": str,
}  # fmt: skip
"""The attributes of a summary, with their types."""


@dataclass(frozen=True)
class Summary:
    """The messages of a conversation from seq ``from_seq`` to ``to_seq``, in short.

    ``count`` is the conversation's messages up to there, ``updated_at`` in Unix milliseconds, ``model`` who wrote it.
    """

    summary: str
    topics: tuple[str, ...]
    from_seq: int
    to_seq: int
    count: int
    updated_at: int
    model: str


def summary_key(pk: str) -> Item:
    """The key of a conversation's one summary; it goes when the conversation's state does."""
    return item_key(pk, "SUMMARY")


def find_summary(pk: str) -> Summary | None:
    """A conversation's summary, or None: also where it cannot be read, so that another one is made."""
    item = client().get_item(TableName=settings().state_table, Key=summary_key(pk), ConsistentRead=True).get("Item")
    return next(decode_readable([item], from_summary_item), None) if item else None


def find_current_summary(pk: str, tail: Tail) -> Summary | None:
    """The same, unless messages that it sums up are rewound at a tail: then another one is to be made."""
    summary = find_summary(pk)
    return summary if summary and not Rewound.at(pk, tail).hides(summary.to_seq) else None


def from_summary_item(item: Mapping[str, Any]) -> Summary:
    """The summary of a stored item. Raises Damaged."""
    return decode_item(item, _from_item)


def _from_item(item: Mapping[str, Any]) -> Summary:
    values = from_item(item)
    if reason := find_mismatch(values, SUMMARY, {}):
        raise DamagedItem(values["pk"], values["sk"], reason)
    fields: Mapping[str, Any] = {name: values[name] for name in Summary.__dataclass_fields__}
    return Summary(**{**fields, "topics": tuple(fields["topics"])})


def to_summary_item(pk: str, summary: Summary) -> Item:
    """The item of a summary. Raises RequestTooLarge."""
    values = {**asdict(summary), "topics": list(summary.topics)}
    return state_item(summary_key(pk), values, kind="summary", fields={"model": summary.model})


def summary_delete(pk: str) -> dict[str, Any]:
    """The part of a transaction that drops a conversation's summary, if it has one."""
    return {"Delete": {"TableName": settings().state_table, "Key": summary_key(pk)}}


def to_context_message(summary: Summary) -> Message:
    """A summary as a context window shows it: before the messages, with the role system and the last seq it covers."""
    return {
        "messageId": "summary",
        "seq": summary.to_seq,
        "role": "system",
        "content": summary.summary,
        "metadata": {"summary": {"fromSeq": summary.from_seq, "toSeq": summary.to_seq}},
        "timestamp": to_rfc3339(summary.updated_at),
    }
