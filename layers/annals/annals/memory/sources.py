"""Sources: the words that something is made of, and whether they are still there.

What is made of words may not outlive them. So it is stored on conditions that are part of its own transaction: no
erasure of the conversation has begun, and nothing that it is made of was redacted. Who shows what the search index
still holds checks the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from annals.conversations.receipts import not_erased_check, receipt_id, receipt_key
from annals.conversations.redaction_version import (
    REDACTION_VERSION,
    find_redaction_version,
    not_redacted_since_check,
    redaction_version_key,
)
from annals.conversations.redaction_version import REWOUND as HAS_REWOUND
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import read_items
from annals.database.transactions import transact
from annals.errors import ConversationErased, MessageRedacted, WriteConflict
from annals.ledger.keys import conversation_pk
from annals.ledger.message_state import REDACTED, message_state_key
from annals.ledger.messages import message_id, seq_of
from annals.ledger.rewound import Rewound, read_rewound
from annals.ledger.versions import is_rewound_at
from annals.retries import tries
from annals.search.documents import Document
from annals.settings import settings

T = TypeVar("T")

SourceRef = tuple[str | None, Sequence[str]]
"""A conversation's id, if there is one, and the ids of messages in it."""

Key = tuple[str, str]
"""The partition key and the sort key of an item."""


@dataclass(frozen=True)
class Source:
    """Messages of a conversation that something is made of."""

    tenant: str
    conversation_id: str
    message_ids: tuple[str, ...] = ()

    def checks(self, redaction_version: str | None = None) -> list[dict[str, Any]]:
        """The parts of a transaction that require that they are still there.

        ``redaction_version`` is what ``require`` gave; without it, nothing of the conversation may ever have been
        redacted.
        """
        pk = conversation_pk(self.tenant, self.conversation_id)
        return [
            not_erased_check(self.tenant, self.conversation_id),
            not_redacted_since_check(pk, redaction_version),
        ]

    def require(self) -> str | None:
        """The version of the conversation's redactions at which they are there.

        Raises ConversationErased or MessageRedacted.
        """
        # The version first: what is redacted after it was read, the check with it finds.
        redaction_version = find_redaction_version(conversation_pk(self.tenant, self.conversation_id))
        removed = read_removed_sources(self.tenant, [(self.conversation_id, self.message_ids)])
        if self.conversation_id in removed.erased:
            raise ConversationErased(self.conversation_id)
        for each in self.message_ids:
            if (self.conversation_id, each) in removed.redacted:
                raise MessageRedacted(each)
        return redaction_version


def write_with_source(
    source: Source | None, writes: Sequence[Mapping[str, Any]], *, guards: Sequence[int] = (), subject: str
) -> dict[int, Item]:
    """Write all or nothing, if the source is still there. Something without a source needs none.

    Parameters
    ----------
    guards : the positions of writes, from 0, that fail where something was written before
    subject : what is written, for whoever reads the refusal

    Returns
    -------
    dict of int to Item
        What the guards that failed found in their places: then nothing was written.

    Raises
    ------
    ConversationErased, MessageRedacted, WriteConflict
    """
    redaction_version: str | None = None
    for _ in tries(settings().append_patience_s):
        checks = source.checks(redaction_version) if source else []
        cancelled = transact([*writes, *checks])
        if cancelled is None:
            return {}
        if taken := {guard: cancelled.item(guard) for guard in guards if cancelled.failed(guard)}:
            return taken
        if source and cancelled.failed_from(len(writes)):
            # Something of the conversation was redacted: on with it, unless that is what this comes from.
            redaction_version = source.require()
        else:
            cancelled.require_retryable()
    raise WriteConflict(subject)


@dataclass(frozen=True)
class RemovedSources:
    """Conversations whose erasure has begun, by id, and messages that are redacted, by conversation and id.

    ``rewound`` are the conversations of which messages were rewound; what was made of these stays.
    """

    erased: frozenset[str]
    redacted: frozenset[tuple[str, str]]
    rewound: frozenset[str] = frozenset()

    def include(self, ref: SourceRef) -> bool:
        """Whether something of what a reference names is among them: then what was made of it goes, too."""
        conversation_id, message_ids = ref
        if conversation_id is None:
            return False
        return conversation_id in self.erased or any((conversation_id, each) in self.redacted for each in message_ids)


def raw_memory_key(tenant: str, conversation_id: str, seq: int) -> Item:
    """The key of the item that speaks for a message as a memory, once it was changed, deleted or redacted."""
    return message_state_key(conversation_pk(tenant, conversation_id), seq)


def not_redacted_check(tenant: str, conversation_id: str, seq: int) -> dict[str, Any]:
    """The part of a transaction that requires that a message is not redacted."""
    return {
        "ConditionCheck": {
            "TableName": settings().state_table,
            "Key": raw_memory_key(tenant, conversation_id, seq),
            "ConditionExpression": f"attribute_not_exists({REDACTED})",
        }
    }


def source_ref_of(document: Document) -> SourceRef:
    """The words that a document of the search index says it comes from; of a message, also its own."""
    own = () if document.seq is None else (message_id(document.seq),)
    return document.conversation_id, tuple(dict.fromkeys((*own, *document.message_ids)))


def present_source_ref(ref: SourceRef) -> dict[str, object] | None:
    """Where in the ledger something comes from, as the API shows it."""
    conversation_id, message_ids = ref
    if conversation_id is None:
        return None
    return {"conversationId": conversation_id, "messageIds": list(message_ids)}


def with_existing_sources(tenant: str, items: Sequence[T], ref_of: Callable[[T], SourceRef]) -> list[T]:
    """What comes from words that are still there. The search index learns of a removal only a moment later."""
    removed = read_removed_sources(tenant, map(ref_of, items))
    return [item for item in items if not removed.include(ref_of(item))]


def with_existing_documents(tenant: str, items: Sequence[T], document_of: Callable[[T], Document]) -> list[T]:
    """What the search index holds of words that are still there, and of messages that are not rewound."""
    removed = read_removed_sources(tenant, (source_ref_of(document_of(item)) for item in items))
    rewound: dict[str, Rewound] = {}
    return [
        item
        for item in items
        if not removed.include(source_ref_of(document_of(item)))
        and not _is_rewound(tenant, document_of(item), removed.rewound, rewound)
    ]


def _is_rewound(tenant: str, document: Document, among: Collection[str], known: dict[str, Rewound]) -> bool:
    """Whether a document is a rewound message of one of some conversations; ``known`` keeps what was read of them."""
    name, seq = document.conversation_id, document.seq
    if name is None or seq is None or name not in among:
        return False
    pk = conversation_pk(tenant, name)
    if name not in known:
        known[name] = read_rewound(pk)
    return is_rewound_at(known[name], pk, seq)


def read_removed_sources(tenant: str, refs: Iterable[SourceRef]) -> RemovedSources:
    """What is erased or redacted of some messages. Strongly consistent.

    Two small items are read for each conversation, and one for each message of those where anything was redacted.
    """
    named = [(conversation_id, ids) for conversation_id, ids in refs if conversation_id is not None]
    ids = sorted({conversation_id for conversation_id, _ in named})
    receipts = {_plain(receipt_key(tenant, receipt_id(conversation_pk(tenant, each)))): each for each in ids}
    versions = {_plain(redaction_version_key(conversation_pk(tenant, each))): each for each in ids}
    stored = _read_stored([*receipts, *versions])
    with_redactions = {versions[key] for key in stored if key[1] == REDACTION_VERSION}
    return RemovedSources(
        erased=frozenset(receipts[key] for key in stored if key in receipts),
        redacted=_redacted(tenant, [ref for ref in named if ref[0] in with_redactions]),
        rewound=frozenset(versions[key] for key, item in stored.items() if HAS_REWOUND in item),
    )


def _redacted(tenant: str, refs: Iterable[tuple[str, Sequence[str]]]) -> frozenset[tuple[str, str]]:
    messages: dict[Key, tuple[str, str]] = {}
    for conversation_id, message_ids in refs:
        for each in message_ids:
            if (seq := seq_of(each)) is not None:
                messages[_plain(raw_memory_key(tenant, conversation_id, seq))] = (conversation_id, each)
    return frozenset(messages[key] for key, item in _read_stored(messages).items() if REDACTED in item)


def _plain(key: Mapping[str, Any]) -> Key:
    return key["pk"]["S"], key["sk"]["S"]


def _read_stored(keys: Iterable[Key]) -> dict[Key, Item]:
    """The items that there are of these keys."""
    items = [item_key(pk, sk) for pk, sk in keys]
    names = {"ProjectionExpression": f"pk, sk, {REDACTED}, {HAS_REWOUND}"}
    return {_plain(item): item for item in read_items(items, consistent=True, **names)}
