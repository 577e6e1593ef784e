"""The events' details (``docs/events.md``), and the events as rules see them. None holds the content of a message."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

ConversationKind = Literal[
    "ConversationCreated",
    "MessagesAppended",
    "MessageRedacted",
    "ConversationArchived",
    "ConversationSealed",
    "ConversationErased",
]

MemoryKind = Literal["MemoryUpdated", "MemoryDeleted"]
FactKind = Literal["FactStored", "FactDeleted"]


class ConversationEvent(TypedDict):
    """What happened to a conversation: one entry of its ledger, from seq ``fromSeq`` to ``toSeq``.

    ``eventId`` is the same whenever the event is told again. ``messageIds`` are the messages that were appended,
    ``redacted`` those among them whose words are withdrawn by now; of a redaction, it is the message that it withdrew.
    ``archivedToSeq`` is up to where messages are archived.
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
    at: str


class MemoryEvent(TypedDict):
    """What a memory is now: one that callers made, or a message that was changed as a memory.

    ``eventId`` is the same whenever the same state is told again. ``version`` counts from 1. Of a memory that is gone,
    only its id is known.
    """

    eventId: str
    tenant: str
    memoryId: str
    memorySpaceId: NotRequired[str]
    version: NotRequired[int]
    status: NotRequired[str]
    updatedAt: NotRequired[str]


class FactEvent(TypedDict):
    """A fact that was stored, or taken out. Of one that is gone, only its id is known."""

    eventId: str
    tenant: str
    factId: str
    memorySpaceId: NotRequired[str]
    at: NotRequired[str]


ConversationChange = TypedDict(
    "ConversationChange", {"source": Literal["annals"], "detail-type": ConversationKind, "detail": ConversationEvent}
)
"""What a rule sees of a conversation's event."""

MemoryChange = TypedDict(
    "MemoryChange", {"source": Literal["annals"], "detail-type": MemoryKind, "detail": MemoryEvent}
)
"""What a rule sees of a memory's event."""

FactChange = TypedDict("FactChange", {"source": Literal["annals"], "detail-type": FactKind, "detail": FactEvent})
"""What a rule sees of a fact's event."""

Change = ConversationChange | MemoryChange | FactChange
