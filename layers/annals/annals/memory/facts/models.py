"""What the API takes and gives of facts."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from annals.api.fields import (
    ConversationId,
    Id,
    Json,
    MaskedJson,
    MaskedText,
    MessageId,
    Model,
    Said,
    Tag,
    Text,
    Word,
    field_error,
)
from annals.conversations.models import ConversationRef, NewConversationRef


def _check_confidence(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise field_error("INVALID_CONFIDENCE", "must be a whole number from 0 to 100")
    return value


Confidence = Annotated[int, BeforeValidator(_check_confidence), Field(json_schema_extra={"minimum": 0, "maximum": 100})]


MAX_FACTS = 25
"""How many facts one turn may have of each kind: stated by the caller, and extracted."""


FactPart = Annotated[Text, Field(max_length=1_000)]
"""The subject, the predicate or the object of a fact."""


class FactStatement(Model):
    """A fact: a sentence, and what it says as subject, predicate and object.

    ``validFrom`` is since when it holds; without it, since it was said. Until when it holds follows from the next fact
    of the same subject and predicate.
    """

    fact: Annotated[MaskedText, Field(max_length=10_000)]
    fact_type: Word = "custom"
    confidence: Confidence = 100
    subject: Annotated[MaskedText, Field(max_length=1_000)]
    predicate: FactPart
    object: Annotated[MaskedText, Field(max_length=1_000)]
    valid_from: Said | None = None


class NewFact(FactStatement):
    """A fact that a caller states."""

    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: MaskedJson = Field(default_factory=dict)


class NewTurnFacts(Model):
    """Whose turn it is and when it was; the facts that the caller states of it, and whether more are extracted."""

    memory_space_id: Id
    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    timestamp: Said | None = None
    facts: list[NewFact] = Field(default_factory=list, max_length=MAX_FACTS)
    extract_facts: bool = False


class RememberFacts(NewTurnFacts):
    """The facts of a turn whose messages are stored; ``messageIds`` name them in their order."""

    conversation_id: ConversationId
    message_ids: Annotated[list[MessageId], Field(min_length=1, max_length=100)]


class CreateFact(NewFact):
    """A fact to be stored. One that is a user's is superseded by newer facts of that user only."""

    memory_space_id: Id
    user_id: Id | None = None
    participant_id: Id | None = None
    source_ref: NewConversationRef | None = None


class Fact(TypedDict):
    """A fact. ``validTo`` and ``supersededBy`` are there where a newer one of its subject and predicate is.

    ``validFromLocalTime`` and ``validToLocalTime`` are the times as they were said, where that was in another zone than
    UTC.
    """

    factId: str
    memorySpaceId: str
    fact: str
    factType: str
    confidence: int
    subject: str
    predicate: str
    object: str
    validFrom: str
    validFromLocalTime: NotRequired[str]
    validTo: NotRequired[str]
    validToLocalTime: NotRequired[str]
    supersededBy: NotRequired[str]
    sourceRef: NotRequired[ConversationRef]
    userId: NotRequired[str]
    participantId: NotRequired[str]
    tags: list[str]
    metadata: Json
    createdAt: str


class FactList(TypedDict):
    """A page of facts, those that began to hold last first."""

    items: list[Fact]
    nextCursor: NotRequired[str]


class TurnFactsResponse(TypedDict):
    """A turn's facts.

    Where facts were to be extracted, ``factsExtracted`` says whether they were, and ``factsProblem`` why not.
    ``factsOmitted`` is how many are stored for which the answer has no room.
    """

    facts: list[Fact]
    factsOmitted: NotRequired[int]
    factsExtracted: NotRequired[bool]
    factsProblem: NotRequired[str]
