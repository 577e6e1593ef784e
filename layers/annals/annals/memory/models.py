"""What the API takes and gives of memories."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Field
from typing_extensions import TypedDict

from annals.conversations.models import Conversation, ShownSummary
from annals.errors import InvalidInput
from annals.http.conditions import MAX_CONDITIONS, MAX_VALUES, Filter, Narrowing
from annals.http.model import (
    MAX_TEXT_CHARS,
    ConversationId,
    Id,
    Importance,
    Json,
    MessageId,
    Model,
    Name,
    Question,
    Said,
    SaidJson,
    Score,
    Tag,
    Text,
    Time,
    Word,
    refusal,
)
from annals.ledger.messages import Message


def _check_confidence(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise refusal("INVALID_CONFIDENCE", "must be a whole number from 0 to 100")
    return value


Confidence = Annotated[int, BeforeValidator(_check_confidence), Field(json_schema_extra={"minimum": 0, "maximum": 100})]


MAX_FACTS = 25
"""How many facts one turn may bring."""

MAX_DIMENSIONS = 16_000
"""How many numbers an embedding may have: as many as OpenSearch takes."""


FactPart = Annotated[Text, Field(max_length=1_000)]
"""The subject, the predicate or the object of a fact."""


class SaidFact(Model):
    """A fact: a sentence, and what it says as subject, predicate and object.

    ``validFrom`` is since when it holds; without it, since it was said. Until when it holds is not said but follows
    from the next fact of the same subject and predicate.
    """

    fact: Annotated[Said, Field(max_length=10_000)]
    fact_type: Word = "custom"
    confidence: Confidence = 100
    subject: Annotated[Said, Field(max_length=1_000)]
    predicate: FactPart
    object: Annotated[Said, Field(max_length=1_000)]
    valid_from: Time | None = None


class NewFact(SaidFact):
    """A fact that a caller brings."""

    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: SaidJson = Field(default_factory=dict)


class FactsOfTurn(Model):
    """Whose turn it is and when it was; the facts that it brings, and whether those are extracted that it states."""

    memory_space_id: Id
    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    timestamp: Time | None = None
    facts: list[NewFact] = Field(default_factory=list, max_length=MAX_FACTS)
    extract_facts: bool = False


class RememberFacts(FactsOfTurn):
    """The facts of a turn whose messages are stored; ``messageIds`` name them in their order."""

    conversation_id: ConversationId
    message_ids: Annotated[list[MessageId], Field(min_length=1, max_length=100)]


class NewTurn(FactsOfTurn):
    """What every way of remembering a turn takes."""

    conversation_id: ConversationId | None = None
    user_message: Said
    importance: Importance = 50
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: SaidJson | None = None

    def demand_owner(self) -> None:
        """Raise InvalidInput OWNER_REQUIRED where nobody is named whose turn it is."""
        if self.user_id is None and self.agent_id is None:
            raise InvalidInput("OWNER_REQUIRED", "A turn needs a userId or an agentId.", field="userId")


class Remember(NewTurn):
    """A turn to be remembered: what the user said, and what the agent answered."""

    agent_response: Said


class ForUser(Model):
    """For whom something is recalled.

    ``recallScope`` is ``user`` for what belongs to the user of ``userId`` or to nobody, as it is where a user is named;
    or ``space`` for what the spaces hold, whosever it is.
    """

    user_id: Narrowing[Id] = None
    recall_scope: Narrowing[Literal["user", "space"]] = None

    def for_user(self) -> str | None:
        """The user for whom it is recalled; None for whomever's.

        Raises InvalidInput MISSING_REQUIRED_FIELD where it is to be a user's, and no one is named.
        """
        if self.recall_scope == "space":
            return None
        if self.user_id is None and (self.recall_scope or "user_id" in self.model_fields_set):
            detail = 'What is recalled for a user needs a userId; recallScope "space" recalls for everybody.'
            raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="userId")
        return self.user_id


class RememberStream(NewTurn, ForUser):
    """A turn whose answer a model is to give, with what is recalled for it.

    ``history`` is how many recent messages the model gets; ``filter`` narrows what is recalled beside them.
    """

    model: Name | None = None
    instructions: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    history: Annotated[int, Field(ge=0, le=100)] = 10
    on_failure: Literal["keep", "discard"] = "keep"
    filter: SearchFilter = Field(default_factory=lambda: SearchFilter())

    def question(self, limit: int) -> Search:
        """What is asked of the memories. Raises InvalidInput for a filter that cannot be."""
        query = self.user_message[:MAX_TEXT_CHARS]  # what is longer is no entry, and is refused as that
        asked = Search(query=query, memorySpaceId=self.memory_space_id, limit=limit, filter=self.filter)
        asked.demand_question()
        return asked


class CreateMemory(Model):
    """An explicit memory to be made."""

    memory_space_id: Id
    content: Said
    content_type: Literal["raw", "summarized", "fact", "custom"] = "custom"
    source_type: Literal["conversation", "system", "tool", "a2a"] = "system"
    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    importance: Importance = 50
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: SaidJson = Field(default_factory=dict)
    conversation_ref: NewConversationRef | None = None


class NewConversationRef(Model):
    """The messages that a memory comes from."""

    conversation_id: Id
    message_ids: Annotated[list[MessageId], Field(min_length=1, max_length=100)]


class PatchMemory(Model):
    """What of a memory is to change. Metadata is merged; null removes a key."""

    content: Said | None = None
    importance: Importance | None = None
    tags: list[Tag] | None = Field(default=None, max_length=100)
    metadata: SaidJson | None = None


class CreateFact(NewFact):
    """A fact to be stored. One that is a user's is superseded by newer facts of that user only."""

    memory_space_id: Id
    user_id: Id | None = None
    participant_id: Id | None = None
    source_ref: NewConversationRef | None = None


class ConversationRef(TypedDict):
    """Where in the ledger a memory comes from."""

    conversationId: str
    messageIds: list[str]


class Fact(TypedDict):
    """A fact. ``validTo`` and ``supersededBy`` are there where a newer one of its subject and predicate is."""

    factId: str
    memorySpaceId: str
    fact: str
    factType: str
    confidence: int
    subject: str
    predicate: str
    object: str
    validFrom: str
    validTo: NotRequired[str]
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


class Memory(TypedDict):
    """A memory. One that is a fact says in ``fact`` what it is as such."""

    memoryId: str
    memorySpaceId: str
    content: str
    contentType: str
    sourceType: str
    userId: NotRequired[str]
    agentId: NotRequired[str]
    participantId: NotRequired[str]
    importance: int
    tags: list[str]
    metadata: Json
    conversationRef: NotRequired[ConversationRef]
    fact: NotRequired[Fact]
    version: int
    createdAt: str
    updatedAt: str
    status: str


class MemoryWithVersions(Memory):
    """A memory with the previous versions that are kept, the newest first.

    ``omitted`` is how many of these the answer has no room for; the list of versions has them.
    """

    previousVersions: list[Memory]
    omitted: NotRequired[int]


class MemoryList(TypedDict):
    """A page of memories, the newest first."""

    items: list[Memory]
    nextCursor: NotRequired[str]


class MemoryVersions(TypedDict):
    """A page of the versions of a memory that are kept, the newest first."""

    items: list[Memory]
    nextCursor: NotRequired[str]


class MemoryCount(TypedDict):
    """How many memories there are."""

    count: int


class SearchFilter(Filter):
    """What a hit has to be; all of it at once."""

    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    conversation_id: Id | None = None
    thread_id: Id | None = None
    run_id: Id | None = None
    role: Word | None = None
    status: Literal["active", "archived", "superseded"] = "active"
    source_type: Word | None = None
    content_type: Word | None = None
    tags: Annotated[list[Tag], Field(max_length=MAX_VALUES)] | None = None
    tags_all: Annotated[list[Tag], Field(max_length=MAX_VALUES)] | None = None
    importance_min: Importance | None = None
    importance_max: Importance | None = None
    created_after: Time | None = None
    created_before: Time | None = None
    metadata: Annotated[Json, Field(max_length=MAX_CONDITIONS)] | None = None


class DeleteMemories(Model):
    """Which memories to delete: those that a filter matches, or ``all`` of a memory space.

    ``confirm`` allows more than the threshold.
    """

    memory_space_id: Narrowing[Id] = None
    filter: SearchFilter = Field(default_factory=SearchFilter)
    all: bool = False
    dry_run: bool = False
    confirm: bool = False

    def demand_scope(self) -> None:
        """Raise InvalidInput where it is not said what to delete, or twice and differently."""
        if self.all and self.filter != SearchFilter():
            detail = "all means a whole memory space, and a filter a part of it: say one of them."
            raise InvalidInput("INVALID_FILTER", detail, field="all")
        if self.all and self.memory_space_id is None:
            detail = "all needs the memorySpaceId of the space whose memories are to be deleted."
            raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="memorySpaceId")
        if not self.all and self.filter == SearchFilter():
            detail = "filter must name what to delete; for a whole memory space, say all: true."
            raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="filter")


class DeletedMemories(TypedDict):
    """The memories that were deleted, or would be."""

    count: int
    memoryIds: list[str]
    dryRun: bool


class RememberedConversation(TypedDict):
    """The conversation of a remembered turn."""

    conversationId: str
    messageIds: list[str]
    messageCount: int


class KeptFacts(TypedDict):
    """A turn's facts.

    Where facts were to be extracted, ``factsExtracted`` says whether they were, and ``factsProblem`` why not.
    ``factsOmitted`` is how many are stored for which the answer has no room.
    """

    facts: list[Fact]
    factsOmitted: NotRequired[int]
    factsExtracted: NotRequired[bool]
    factsProblem: NotRequired[str]


class Remembered(KeptFacts):
    """What remembering a turn stored."""

    conversation: RememberedConversation
    memories: list[Memory]


def _check_share(value: float) -> float:
    if not 0 <= value <= 1:
        raise refusal("INVALID_RANGE", "must be from 0 to 1")
    return value


def _check_embedding(value: Any) -> Any:
    if not isinstance(value, list) or not value or len(value) > MAX_DIMENSIONS or not all(map(_is_measure, value)):
        raise refusal("INVALID_EMBEDDING", f"must be a list of 1 to {MAX_DIMENSIONS} finite numbers")
    return [float(part) for part in value]


def _is_measure(value: Any) -> bool:
    """Whether something is a number that a double can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all doubles
        return False


Embedding = Annotated[
    list[float],
    BeforeValidator(_check_embedding),
    Field(json_schema_extra={"minItems": 1, "maxItems": MAX_DIMENSIONS}),
]
"""A vector to search by."""


class Search(Model):
    """A question to the memories."""

    query: Question | None = None
    embedding: Embedding | None = None
    memory_space_id: Narrowing[Id] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    min_score: Annotated[Score, AfterValidator(_check_share)] = 0.0
    filter: SearchFilter = Field(default_factory=SearchFilter)
    consistent: bool = False
    explain: bool = False

    def demand_question(self) -> None:
        """Raise InvalidInput MISSING_REQUIRED_FIELD where there is neither a text nor an embedding to search by."""
        if self.query is None and self.embedding is None:
            raise InvalidInput("MISSING_REQUIRED_FIELD", "A search needs a query or an embedding.", field="query")
        after, before = self.filter.created_after, self.filter.created_before
        if after is not None and before is not None and after >= before:
            detail = "createdAfter must be before createdBefore."
            raise InvalidInput("INVALID_DATE_RANGE", detail, field="filter.createdAfter")


class Recall(Search, ForUser):
    """A question to facts and memories, whose answer is to go into a prompt of so many tokens.

    ``history`` is how many recent messages of ``conversationId``, or else of ``filter.conversationId``, come with it.
    """

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    history: Annotated[int, Field(ge=0, le=100)] = 10
    conversation_id: Id | None = None

    @property
    def history_of(self) -> str | None:
        """The conversation whose recent messages come with the answer."""
        return self.conversation_id or self.filter.conversation_id


class Hit(Memory):
    """A memory that was found. ``snippet`` marks the words that matched; ``name`` is who said it, or which agent."""

    role: NotRequired[str]
    name: NotRequired[str]
    score: float
    snippet: str
    explanation: NotRequired[dict[str, float]]


class Recollection(TypedDict):
    """What was recalled: the memories found, the facts, the recent messages, oldest first, and a text for a prompt.

    ``context`` holds facts and memories, without those that ``history`` shows; it takes ``tokens`` tokens. ``omitted``
    is how much of each part the answer has no room for.
    """

    omitted: NotRequired[dict[str, int]]
    items: list[Hit]
    facts: list[Fact]
    history: list[Message]
    context: str
    tokens: int


class ConversationWithMore(Conversation):
    """A conversation with what ``include`` asks for: its newest 50 messages, its facts, its summary.

    The summary is null where none is. ``omitted`` names the parts of which the answer has no room for all: the lists of
    messages and facts have them.
    """

    messages: NotRequired[list[Message]]
    facts: NotRequired[list[Fact]]
    summary: NotRequired[ShownSummary | None]
    omitted: NotRequired[list[str]]


class Omitted(TypedDict):
    """What a context window left out: how many messages, and those that alone were over the budget."""

    count: int
    tooLarge: list[str]


class ContextWindow(TypedDict):
    """The newest messages that fit a budget of tokens."""

    messages: list[Message]
    tokens: int
    omitted: Omitted


class Hits(TypedDict):
    """What was found, the best first. ``omitted`` is how many hits the answer has no room for."""

    items: list[Hit]
    omitted: NotRequired[int]
