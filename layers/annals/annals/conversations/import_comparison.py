"""Comparing an import with what the ledger holds: how much of a conversation is there, and whether that is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from annals.conversations.genesis import get_genesis
from annals.conversations.import_parsing import IncomingConversation, IncomingMessage
from annals.conversations.read import get_tail
from annals.errors import ConversationAlreadyExists, ConversationDiffers, MissingParts
from annals.formats.files.conversation import BRANCH_FIELDS
from annals.ledger.entry import MESSAGE, Entry, Record, Tail
from annals.ledger.history import read_preamble
from annals.ledger.messages import MEMORY_FIELD, SUPERSEDES, numbered_messages, present_message
from annals.ledger.part_fields import has_same_parts
from annals.ledger.rewound import Rewound


@dataclass(frozen=True)
class Comparison:
    """How much of an incoming conversation is stored: up to its tail, so many of the messages, and the preamble."""

    tail: Tail
    stored_count: int
    has_preamble: bool

    def is_all_of(self, incoming: IncomingConversation) -> bool:
        """Whether nothing is left to do; False for a conversation with marks, which are looked at apart."""
        is_all = self.stored_count == len(incoming.messages) and self.has_preamble
        return is_all and not incoming.is_more_than_messages


def compare(tenant: str, pk: str, incoming: IncomingConversation) -> Comparison:
    """Compare an incoming conversation with the stored one.

    Raises
    ------
    ConversationNotFound, ConversationErased
    ConversationAlreadyExists : the stored one is of another type, or has other participants
    ConversationDiffers : it holds other messages
    MissingParts : it lacks those of earlier parts
    """
    tail = get_tail(tenant, incoming.conversation_id)
    genesis = get_genesis(tenant, incoming.conversation_id)
    if not genesis.is_of(incoming.new.type, incoming.new.participants):
        raise ConversationAlreadyExists(incoming.conversation_id)
    rewound = Rewound.at(pk, tail)
    count = tail.count - rewound.count()
    if count < incoming.offset:
        raise missing_parts(incoming, count)
    return Comparison(tail, _count_stored(rewound, count, incoming), _has_preamble(pk, tail, incoming))


def is_stored_in(entries: Sequence[Entry], incoming: IncomingConversation) -> bool:
    """Whether the genesis and the first entry of a stored conversation hold all of an incoming one's messages."""
    genesis, first = sorted(entries, key=lambda entry: entry.seq) if len(entries) == 2 else (None, None)
    body = genesis.records[0].json_body() if genesis else None
    if body is None or first is None or first.records[0].kind != MESSAGE or len(first.records) < len(incoming.messages):
        return False
    if (body.get("type"), body.get("participants")) != (incoming.new.type, dict(incoming.new.participants)):
        return False
    pairs = zip(incoming.messages, first.records, strict=False)
    return all(record.kind == MESSAGE and _is_same(message, record, first) for message, record in pairs)


def missing_parts(incoming: IncomingConversation, count: int) -> MissingParts:
    """The refusal of a part of a conversation whose earlier parts are not stored."""
    detail = (
        f"Conversation {incoming.conversation_id!r} holds {count} messages, and this part begins after "
        f"{incoming.offset}: send the earlier parts first."
    )
    return MissingParts(detail, field="offset")


def _count_stored(rewound: Rewound, all_stored: int, incoming: IncomingConversation) -> int:
    count = 0
    expected = min(all_stored - incoming.offset, len(incoming.messages))
    for number, record, entry in islice(numbered_messages(rewound, incoming.offset), expected):
        if not _is_same(incoming.messages[count], record, entry):
            detail = f"Message {number} of conversation {incoming.conversation_id!r} is another one than is imported."
            raise ConversationDiffers(detail, field="messages")
        count += 1
    return count


def _is_same(message: IncomingMessage, record: Record, entry: Entry) -> bool:
    """Whether a record holds a message; one that was redacted meanwhile stays so.

    The message's id and seq are the ledger's to give, and so is the id of what it supersedes, and its time where the
    import doesn't say it.
    """
    stored = dict(present_message(record, entry, with_embedding=True))
    if stored.get("status") == "redacted":
        return True
    given = {"messageId", "seq", SUPERSEDES, MEMORY_FIELD} | ({"timestamp"} - message.fields.keys())
    given |= {"status"} if message.archived else set()
    stored = _without_branches({name: value for name, value in stored.items() if name not in given})
    expected = _without_branches({name: value for name, value in message.fields.items() if name not in given})
    return has_same_parts(stored, expected)


def _without_branches(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the other branches that an app's file has beside it: these grow, and the message stays."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or not BRANCH_FIELDS & metadata.keys():
        return message
    others = {name: value for name, value in metadata.items() if name not in BRANCH_FIELDS}
    rest = {name: value for name, value in message.items() if name != "metadata"}
    return {**rest, "metadata": others} if others else rest


def _has_preamble(pk: str, tail: Tail, incoming: IncomingConversation) -> bool:
    """Whether the preamble is stored, or there is none. Raises ConversationDiffers where another one is stored."""
    stored = read_preamble(pk, tail) if incoming.preamble else None
    if incoming.preamble is None or stored is None:
        return incoming.preamble is None
    if stored.get("status") != "redacted" and stored.get("content") != incoming.preamble_content:
        detail = f"Conversation {incoming.conversation_id!r} has another preamble than is imported."
        raise ConversationDiffers(detail, field="preamble")
    return True
