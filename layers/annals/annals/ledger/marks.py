"""Marks: preamble, archive mark and seal, records about a conversation rather than messages in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.errors import ConversationErased, ConversationNotFound
from annals.json_text import dump
from annals.ledger.append import AppendResult, NewRecord, append
from annals.ledger.entry import ARCHIVE, ERASED, PREAMBLE, SEAL, SEALED, Tail
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import messages_of
from annals.ledger.rewound import Rewound
from annals.ledger.tail import read_tail
from annals.times import from_rfc3339


def add_preamble(
    tenant: str,
    conversation_id: str,
    content: str,
    metadata: Mapping[str, Any] | None,
    request: IdempotentRequest | None = None,
) -> AppendResult:
    """Put a text before the first message. It is not counted, and replaces an earlier preamble."""
    body = {"role": "system", "content": content, **({"metadata": dict(metadata)} if metadata is not None else {})}
    return append(tenant, conversation_id, [_record(PREAMBLE, body)], request=request)


def archive(tenant: str, conversation_id: str, up_to: int, by: str) -> AppendResult:
    """Archive the messages up to a seq: histories leave them out unless a request includes them."""
    record = _record(ARCHIVE, {"upTo": up_to, "by": by})
    return append(tenant, conversation_id, [record], archived=up_to)


def seal(tenant: str, conversation_id: str, by: str) -> None:
    """Close a conversation: it takes no more messages. Sealing it again changes nothing.

    Raises
    ------
    ConversationNotFound, ConversationErased
    """
    tail = read_tail(conversation_pk(tenant, conversation_id))
    if tail is None:
        raise ConversationNotFound(conversation_id)
    if tail.state == ERASED:
        raise ConversationErased(conversation_id)
    if tail.state != SEALED:
        append(tenant, conversation_id, [_record(SEAL, {"by": by})], state=SEALED)


def last_seq_before(pk: str, tail: Tail, moment: int) -> int:
    """The seq of the last message before the first one that is not older than a moment in Unix milliseconds."""
    up_to, rewound = tail.archived, Rewound.at(pk, tail)
    for entry in rewound.walk_on(tail.archived + 1):
        for message in messages_of(entry):
            if rewound.hides(message["seq"]):
                continue
            if message["seq"] > tail.archived and from_rfc3339(message["timestamp"]) >= moment:
                return up_to
            up_to = max(up_to, message["seq"])
    return up_to


def _record(kind: str, body: Mapping[str, Any]) -> NewRecord:
    return NewRecord(kind, dump(body).encode())
