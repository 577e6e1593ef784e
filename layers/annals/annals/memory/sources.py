"""Sources: the words that something is made of, and whether they are still there.

What is made of words may not outlive them. So it is stored on conditions that are part of its own transaction: no
erasure of the conversation has begun, and nothing that it is made of was redacted. Who shows what the search index
still holds asks the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from annals.conversations.receipts import not_erased_check, receipt_id, receipt_key
from annals.conversations.redaction_version import (
    REDACTION_VERSION,
    find_redaction_version,
    not_redacted_since_check,
    redaction_version_key,
)
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import read_items
from annals.errors import ConversationErased, MessageRedacted
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import seq_of
from annals.memory.memories.memory_items import REDACTED, Address
from annals.search.documents import Document
from annals.search.message_documents import memory_id

T = TypeVar("T")

SourceRef = tuple[str | None, Sequence[str]]
"""A conversation's id, if there is one, and the ids of messages in it."""


@dataclass(frozen=True)
class Source:
    """Messages of a conversation that something is made of."""

    tenant: str
    conversation_id: str
    message_ids: tuple[str, ...] = ()

    def checks(self, mark: str | None = None) -> list[dict[str, Any]]:
        """The parts of a transaction that demand that they are still there.

        ``mark`` is what ``demand`` gave; without it, they demand that nothing of the conversation was ever redacted.
        """
        pk = conversation_pk(self.tenant, self.conversation_id)
        return [not_erased_check(self.tenant, self.conversation_id), not_redacted_since_check(pk, mark)]

    def require(self) -> str | None:
        """The mark behind which they are known to be there. Raises ConversationErased or MessageRedacted."""
        # The mark first: what is redacted after it was read, the check with it finds.
        mark = find_redaction_version(conversation_pk(self.tenant, self.conversation_id))
        found = read_removed_sources(self.tenant, [(self.conversation_id, self.message_ids)])
        if self.conversation_id in found.erased:
            raise ConversationErased(self.conversation_id)
        for message_id in self.message_ids:
            if (self.conversation_id, message_id) in found.redacted:
                raise MessageRedacted(message_id)
        return mark


@dataclass(frozen=True)
class RemovedSources:
    """Conversations whose erasure has begun, by id, and messages that are redacted, by conversation and id."""

    erased: frozenset[str]
    redacted: frozenset[tuple[str, str]]

    def takes(self, ref: SourceRef) -> bool:
        """Whether what refers to these messages goes with them."""
        conversation_id, message_ids = ref
        if conversation_id is None:
            return False
        return conversation_id in self.erased or any((conversation_id, each) in self.redacted for each in message_ids)


def source_ref_of(document: Document) -> SourceRef:
    """The words that a document of the search index says it comes from."""
    return document.conversation_id, document.message_ids


def with_existing_sources(tenant: str, found: Sequence[T], ref: Callable[[T], SourceRef]) -> list[T]:
    """What comes from words that are still there. The search index may know of a withdrawal a moment later only."""
    withdrawn = read_removed_sources(tenant, map(ref, found))
    return [each for each in found if not withdrawn.takes(ref(each))]


def read_removed_sources(tenant: str, refs: Iterable[SourceRef]) -> RemovedSources:
    """What is withdrawn of some messages. Strongly consistent.

    Two small items are read for each conversation, and one for each message of those where anything was redacted.
    """
    wanted = [(conversation_id, ids) for conversation_id, ids in refs if conversation_id is not None]
    ids = sorted({conversation_id for conversation_id, _ in wanted})
    receipts = {_place(receipt_key(tenant, receipt_id(conversation_pk(tenant, each)))): each for each in ids}
    marks = {_place(redaction_version_key(conversation_pk(tenant, each))): each for each in ids}
    found = _there([*receipts, *marks])
    touched = {marks[place] for place in found if place[1] == REDACTION_VERSION}
    return RemovedSources(
        erased=frozenset(receipts[place] for place in found if place in receipts),
        redacted=_redacted(tenant, [ref for ref in wanted if ref[0] in touched]),
    )


def _redacted(tenant: str, refs: Iterable[tuple[str, Sequence[str]]]) -> frozenset[tuple[str, str]]:
    messages: dict[tuple[str, str], tuple[str, str]] = {}
    for conversation_id, message_ids in refs:
        for each in message_ids:
            if (seq := seq_of(each)) is not None:
                key = Address.of(tenant, memory_id(conversation_id, seq)).current
                messages[_place(key)] = (conversation_id, each)
    return frozenset(messages[place] for place, item in _there(messages).items() if REDACTED in item)


def _place(key: Item) -> tuple[str, str]:
    return key["pk"]["S"], key["sk"]["S"]


def _there(places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
    """The items in these places."""
    keys = [item_key(pk, sk) for pk, sk in places]
    names = {"ProjectionExpression": f"pk, sk, {REDACTED}"}
    return {_place(item): item for item in read_items(keys, consistent=True, **names)}
