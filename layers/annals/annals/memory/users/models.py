"""What the API takes and gives of users' memories."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from annals.api.fields import ExternalId, Id, Json, MaskedJson, MaskedText, Model, QueryText, Tag
from annals.api.filters import Omittable
from annals.errors import InvalidInput

MAX_CHARACTERS = 50_000

Words = Annotated[MaskedText, Field(max_length=MAX_CHARACTERS)]
Topics = Annotated[list[Tag], Field(max_length=100)]


class NewUserMemory(Model):
    """Something to be remembered of a user; ``input`` is what it was made of."""

    memory: Words
    topics: Topics = Field(default_factory=list)
    input: Words | None = None
    agent_id: Id | None = None
    memory_space_id: Id | None = None
    metadata: MaskedJson = Field(default_factory=dict)
    external_id: ExternalId | None = None


class PutUserMemory(NewUserMemory):
    """A memory to be created, or to take the place of the one that has its external id, which the path names."""

    external_id: None = None


class PatchUserMemory(Model):
    """What of a user's memory is to change. Metadata is merged; null removes a key."""

    memory: Words | None = None
    topics: Topics | None = None
    input: Words | None = None
    agent_id: Id | None = None
    metadata: MaskedJson | None = None


class SearchUserMemories(Model):
    """A search of a user's memories.

    ``last_n`` and ``first_n`` are the newest and the oldest, in the order of time; ``text`` those that hold all words
    of the query, whatever their case, the newest first; ``semantic`` the nearest in meaning, the best first.
    """

    method: Literal["last_n", "first_n", "text", "semantic"] = "last_n"
    query: QueryText | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    agent_id: Omittable[Id] = None
    topic: Omittable[Tag] = None
    memory_space_id: Omittable[Id] = None

    def require_query(self) -> str:
        """The query. Raises InvalidInput MISSING_REQUIRED_FIELD where there is none."""
        if self.query is None:
            detail = f"A search by {self.method} needs a query."
            raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="query")
        return self.query


class UserMemory(TypedDict):
    """What is remembered of a user. ``score`` is only in what a semantic search found."""

    memoryId: str
    externalId: NotRequired[str]
    userId: str
    memory: str
    topics: list[str]
    input: NotRequired[str]
    agentId: NotRequired[str]
    memorySpaceId: NotRequired[str]
    metadata: Json
    version: int
    createdAt: str
    updatedAt: str
    score: NotRequired[float]


class UserMemoryList(TypedDict):
    """A page of a user's memories."""

    items: list[UserMemory]
    nextCursor: NotRequired[str]


class UserMemoryResults(TypedDict):
    """The memories of a user that a search found. ``omitted`` is how many the answer has no room for."""

    items: list[UserMemory]
    omitted: NotRequired[int]


class UserMemoriesCleared(TypedDict):
    """How many memories of a user were deleted."""

    count: int


class Topic(TypedDict):
    """A topic, and how many memories have it."""

    topic: str
    count: int


class TopicList(TypedDict):
    """The topics of a user's memories, the most frequent first. ``omitted`` is how many the answer has no room for."""

    items: list[Topic]
    omitted: NotRequired[int]
