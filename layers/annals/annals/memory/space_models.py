"""What the API takes and gives of memory spaces."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from annals.api.fields import Id, Json, Model, Name, Word, field_error
from annals.api.vectors import MAX_STORED_DIMENSIONS

MAX_RETENTION_DAYS = 3650
"""The longest time after which a space's conversations may be erased by themselves."""


class Participant(Model):
    """Somebody who takes part in a space: a user, an agent, a tool."""

    participant_id: Id
    type: Word | None = None
    name: Name | None = None


class SpaceEmbeddings(Model):
    """That callers bring the vectors of a space's memories, of which model, and how many numbers each has."""

    model: Name
    dimensions: Annotated[int, Field(ge=1, le=MAX_STORED_DIMENSIONS)]
    caller_embeds: Literal[True] = True


def _distinct(participants: list[Participant]) -> list[Participant]:
    if len({each.participant_id for each in participants}) < len(participants):
        raise field_error("DUPLICATE_VALUES", "must not name a participant twice")
    return participants


class PutSpace(Model):
    """A description of a space, which replaces the one before."""

    name: Name | None = None
    participants: Annotated[list[Participant], Field(max_length=1000), AfterValidator(_distinct)] = Field(
        default_factory=list
    )
    metadata: Json = Field(default_factory=dict)
    retention_days: Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS)] | None = None
    embeddings: SpaceEmbeddings | None = None


class ParticipantResponse(TypedDict):
    """Somebody who takes part in a space."""

    participantId: str
    type: NotRequired[str]
    name: NotRequired[str]


class SpaceEmbeddingsResponse(TypedDict):
    """Whose vectors a space's memories have: those of callers, of one model."""

    model: str
    dimensions: int
    callerEmbeds: Literal[True]


class SpaceResponse(TypedDict):
    """A memory space. Its ETag is ``version``."""

    memorySpaceId: str
    name: NotRequired[str]
    participants: list[ParticipantResponse]
    metadata: Json
    retentionDays: NotRequired[int]
    embeddings: NotRequired[SpaceEmbeddingsResponse]
    version: int
    createdAt: str
    updatedAt: str
