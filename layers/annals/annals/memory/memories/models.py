"""What the API takes and gives of memories."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from annals.api.fields import ExternalId, Id, Importance, Json, MaskedJson, MaskedText, Model, Tag, Time, Word
from annals.api.filters import MAX_CONDITIONS, MAX_VALUES, Filter, Omittable
from annals.api.vectors import OwnEmbedding
from annals.conversations.models import ConversationRef, NewConversationRef
from annals.errors import InvalidInput
from annals.memory.facts.models import Fact


class CreateMemory(Model):
    """An explicit memory to be created."""

    memory_space_id: Id
    content: MaskedText
    content_type: Literal["raw", "summarized", "fact", "custom"] = "custom"
    source_type: Literal["conversation", "system", "tool", "a2a"] = "system"
    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    importance: Importance = 50
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: MaskedJson = Field(default_factory=dict)
    conversation_ref: NewConversationRef | None = None
    external_id: ExternalId | None = None
    embedding: OwnEmbedding | None = None


class PutMemory(CreateMemory):
    """A memory to be created, or to take the place of the one that has its external id, which the path names."""

    external_id: None = None


class PatchMemory(Model):
    """A change of a memory. Metadata is merged; null removes a key.

    ``conversation_ref`` has the new version come from other messages. ``embedding`` is the caller's own vector of the
    content; one of the content before goes with that.
    """

    content: MaskedText | None = None
    importance: Importance | None = None
    tags: list[Tag] | None = Field(default=None, max_length=100)
    metadata: MaskedJson | None = None
    conversation_ref: NewConversationRef | None = None
    embedding: OwnEmbedding | None = None


class Memory(TypedDict):
    """A memory. One that is a fact says in ``fact`` what it is as such.

    ``localTime`` is ``createdAt`` as it was said, where that was in another zone than UTC. ``embedding`` is the vector
    that a caller brought, where a request includes it.
    """

    memoryId: str
    externalId: NotRequired[str]
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
    localTime: NotRequired[str]
    updatedAt: str
    status: str
    embedding: NotRequired[list[float]]


class MemoryWithVersions(Memory):
    """A memory with the previous versions that are stored, the newest first.

    ``omitted`` is how many of these the answer has no room for; the list of versions has them.
    """

    previousVersions: list[Memory]
    omitted: NotRequired[int]


class MemoryList(TypedDict):
    """A page of memories, the newest first."""

    items: list[Memory]
    nextCursor: NotRequired[str]


class MemoryVersions(TypedDict):
    """A page of the versions of a memory that are stored, the newest first."""

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
    run_id: ExternalId | None = None
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

    memory_space_id: Omittable[Id] = None
    filter: SearchFilter = Field(default_factory=SearchFilter)
    all: bool = False
    dry_run: bool = False
    confirm: bool = False

    def require_selection(self) -> None:
        """Raise InvalidInput where neither a filter nor ``all`` says what to delete, or both do."""
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
