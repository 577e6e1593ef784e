"""The events' details (``docs/events.md``), and the events as rules see them. None holds the content of a message."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

ConversationKind = Literal[
    "ConversationCreated",
    "MessagesAppended",
    "MessageRedacted",
    "ConversationArchived",
    "ConversationRewound",
    "ConversationSealed",
    "ConversationErased",
]

MemoryKind = Literal["MemoryUpdated", "MemoryDeleted"]
FactKind = Literal["FactStored", "FactDeleted"]


class ConversationEvent(TypedDict):
    """What happened to a conversation: one entry of its ledger, from seq ``fromSeq`` to ``toSeq``.

    ``eventId`` is the same whenever the event is published again. ``messageIds`` are the messages that were appended,
    and ``redacted`` those among them that are redacted by now; for a redaction, ``messageIds`` is the message that it
    redacted. Messages up to ``archivedToSeq`` are archived; those after
    ``rewoundToSeq``, up to here, are taken back.
    """

    eventId: str
    tenant: str
    conversationId: str
    memorySpaceId: NotRequired[str]
    fromSeq: int
    toSeq: int
    messageCount: int
    messageIds: NotRequired[list[str]]
    redacted: NotRequired[list[str]]
    archivedToSeq: NotRequired[int]
    rewoundToSeq: NotRequired[int]
    at: str


class MemoryEvent(TypedDict):
    """What a memory is now: one that callers made, or a message that was changed as a memory.

    ``eventId`` is the same whenever the same state is published again. ``version`` counts from 1. Of a memory that
    is gone, only the required fields are there.
    """

    eventId: str
    tenant: str
    memoryId: str
    memorySpaceId: NotRequired[str]
    version: NotRequired[int]
    status: NotRequired[str]
    updatedAt: NotRequired[str]


class FactEvent(TypedDict):
    """A fact that was stored, or deleted. Of one that is gone, only the required fields are there."""

    eventId: str
    tenant: str
    factId: str
    memorySpaceId: NotRequired[str]
    at: NotRequired[str]


ConversationChange = TypedDict(
    "ConversationChange", {"source": Literal["annals"], "detail-type": ConversationKind, "detail": ConversationEvent}
)
"""A conversation's event, as rules see it."""

MemoryChange = TypedDict(
    "MemoryChange", {"source": Literal["annals"], "detail-type": MemoryKind, "detail": MemoryEvent}
)
"""A memory's event, as rules see it."""

FactChange = TypedDict("FactChange", {"source": Literal["annals"], "detail-type": FactKind, "detail": FactEvent})
"""A fact's event, as rules see it."""

Change = ConversationChange | MemoryChange | FactChange
