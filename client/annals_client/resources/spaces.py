"""Memory spaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import Required, TypedDict

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec
from annals_client.methods import Resource, S, call
from annals_client.models import Space

SPACE = "/v1/spaces/{memorySpaceId}"


class NewParticipant(TypedDict, total=False):
    """Somebody who takes part in a space: a person, an agent, a tool."""

    participant_id: Required[str]
    type: str
    name: str


class NewSpaceEmbeddings(TypedDict):
    """That callers bring the vectors of a space's memories: of this model, with so many numbers each."""

    model: str
    dimensions: int


class Spaces(Resource[S]):
    """Describe memory spaces, and who takes part in them."""

    @call(f"GET {SPACE}", Space)
    def get(self, memory_space_id: str) -> RequestSpec:
        """A memory space, as it was described.

        Raises
        ------
        NotFound : nobody described it; it can be used all the same
        """
        return RequestSpec({"memory_space_id": memory_space_id})

    @call(f"PUT {SPACE}", Space, Repeat.WITH_KEY)
    def put(
        self,
        memory_space_id: str,
        *,
        name: str | None = None,
        participants: Iterable[NewParticipant] = (),
        metadata: Mapping[str, Any] | None = None,
        retention_days: int | None = None,
        embeddings: NewSpaceEmbeddings | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Describe a memory space; an earlier description is replaced.

        Parameters
        ----------
        retention_days : after how many days without a message its conversations are erased by themselves; without it,
            they stay. To change it takes the scope ``erase``
        embeddings : that callers bring the vectors of its memories; once said, it stays

        Raises
        ------
        Conflict : SPACE_EMBEDDINGS_FIXED
        ValidationFailed : the server's index has no room for vectors of that length
        Forbidden : the retention would change, and the key lacks the scope ``erase``
        PreconditionFailed : the description's version is not ``if_match``
        """
        people = [wire.body(**each) for each in participants]
        described = {"name": name, "metadata": metadata, "retention_days": retention_days, "embeddings": embeddings}
        body = wire.body(participants=people, **described)
        return RequestSpec({"memory_space_id": memory_space_id}, body=body, if_match=if_match, key=idempotency_key)
