"""What is remembered of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal

from typing_extensions import TypedDict, Unpack

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec
from annals_client.files import Destination
from annals_client.listing import ListSpec
from annals_client.methods import Download, Resource, S, call, listing, saving
from annals_client.models import Receipt, Topic, UserMemory
from annals_client.wire import NOT_GIVEN, NotGiven

MEMORIES = "/v1/users/{userId}/memories"
MEMORY = MEMORIES + "/{memoryId}"
BY_EXTERNAL_ID = MEMORIES + "/by-external-id/{externalId}"

Found = list[UserMemory]
Topics = list[Topic]


class NewUserMemory(TypedDict, total=False):
    """What is said of a user's memory beside its words; ``input`` is what it was made of."""

    topics: Sequence[str] | None
    input: str | None
    agent_id: str | None
    memory_space_id: str | None
    metadata: Mapping[str, Any] | None


class Users(Resource[S]):
    """Everything that there is about a person."""

    @saving("GET /v1/users/{userId}/export")
    def export(self, user_id: str, to: Destination) -> Download:
        """Write all that there is of a person into a file as JSON lines; how many bytes it has.

        ``to`` is a path, whose file is there when it is complete, or a binary file.
        """
        return Download(RequestSpec(_of(user_id)), to)

    @call("DELETE /v1/users/{userId}", Receipt)
    def erase(self, user_id: str) -> RequestSpec:
        """Erase a person everywhere. Where the receipt's status is ``erasing``, ask ``receipts.get`` for the end."""
        return RequestSpec(_of(user_id))


class UserMemories(Resource[S]):
    """Remember users: memories that are about a person, wherever they were made."""

    @call(f"POST {MEMORIES}", UserMemory, Repeat.WITH_KEY)
    def create(
        self,
        user_id: str,
        memory: str,
        *,
        external_id: str | None = None,
        idempotency_key: str | None = None,
        **more: Unpack[NewUserMemory],
    ) -> RequestSpec:
        """Remember something of a user; ``external_id`` is an id of your own, unique among the user's.

        Raises
        ------
        Conflict : EXTERNAL_ID_TAKEN
        """
        body = wire.body(memory=memory, external_id=external_id, **more)
        return RequestSpec(_of(user_id), body=body, key=idempotency_key)

    @call(f"PUT {BY_EXTERNAL_ID}", UserMemory, Repeat.WITH_KEY)
    def put(
        self,
        user_id: str,
        external_id: str,
        memory: str,
        *,
        if_match: int | None = None,
        idempotency_key: str | None = None,
        **more: Unpack[NewUserMemory],
    ) -> RequestSpec:
        """Make the user's memory with this external id, or replace the one that there is: all of it, if it differs.

        Raises
        ------
        PreconditionFailed : the memory's version is not ``if_match``; 0 is for none
        """
        body = wire.body(memory=memory, **more)
        return RequestSpec(_by(user_id, external_id), body=body, if_match=if_match, key=idempotency_key)

    @call(f"GET {BY_EXTERNAL_ID}", UserMemory)
    def get_by_external_id(self, user_id: str, external_id: str) -> RequestSpec:
        """The user's memory with this external id. Raises NotFound."""
        return RequestSpec(_by(user_id, external_id))

    @call(f"DELETE {BY_EXTERNAL_ID}", NoneType)
    def delete_by_external_id(self, user_id: str, external_id: str) -> RequestSpec:
        """Delete the user's memory with this external id. Raises NotFound."""
        return RequestSpec(_by(user_id, external_id))

    @listing(f"GET {MEMORIES}", UserMemory)
    def list(
        self,
        user_id: str,
        *,
        limit: int | None = None,
        page_size: int = 100,
        order: Literal["asc", "desc"] | None = None,
        agent_id: str | NotGiven = NOT_GIVEN,
        topic: str | NotGiven = NOT_GIVEN,
        memory_space_id: str | NotGiven = NOT_GIVEN,
    ) -> ListSpec:
        """What is remembered of a user, the newest first unless said otherwise, ``limit`` at most."""
        conditions = wire.conditions(agent_id=agent_id, topic=topic, memory_space_id=memory_space_id)
        return ListSpec(RequestSpec(_of(user_id), query=wire.query(order=order, **conditions)), limit, page_size)

    @call(f"POST {MEMORIES}/search", Found, inside="items")
    def search(
        self,
        user_id: str,
        query: str | None = None,
        *,
        method: Literal["last_n", "first_n", "text", "semantic"] | None = None,
        limit: int | None = None,
        agent_id: str | NotGiven = NOT_GIVEN,
        topic: str | NotGiven = NOT_GIVEN,
        memory_space_id: str | NotGiven = NOT_GIVEN,
    ) -> RequestSpec:
        """Memories of a user: the newest, the oldest, those with all words of the query, or the nearest in meaning.

        Raises
        ------
        Unavailable : SEARCH_UNAVAILABLE, for ``semantic``
        """
        conditions = wire.conditions(agent_id=agent_id, topic=topic, memory_space_id=memory_space_id)
        return RequestSpec(_of(user_id), body=wire.body(query=query, method=method, limit=limit, **conditions))

    @call(f"GET {MEMORIES}/topics", Topics, inside="items")
    def topics(self, user_id: str) -> RequestSpec:
        """The topics of a user's memories, the most frequent first."""
        return RequestSpec(_of(user_id))

    @call(f"PATCH {MEMORY}", UserMemory, Repeat.WITH_KEY)
    def update(
        self,
        user_id: str,
        memory_id: str,
        *,
        memory: str | None = None,
        topics: Sequence[str] | None = None,
        input: str | None = None,  # noqa: A002 - the API's word
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Give a user's memory a new version. ``metadata`` is merged; None removes a key.

        Raises
        ------
        PreconditionFailed : the memory's version is not ``if_match``
        """
        body = wire.body(memory=memory, topics=topics, input=input, agent_id=agent_id, metadata=metadata)
        return RequestSpec({**_of(user_id), "memory_id": memory_id}, body=body, if_match=if_match, key=idempotency_key)

    @call(f"DELETE {MEMORY}", NoneType)
    def delete(self, user_id: str, memory_id: str) -> RequestSpec:
        """Delete a user's memory. Raises NotFound."""
        return RequestSpec({**_of(user_id), "memory_id": memory_id})

    @call(f"DELETE {MEMORIES}", int, Repeat.NEVER, inside="count")
    def clear(self, user_id: str) -> RequestSpec:
        """Delete all that is remembered of this one user; how many memories that was. Messages stay."""
        return RequestSpec(_of(user_id))


def _by(user_id: str, external_id: str) -> dict[str, str]:
    return {**_of(user_id), "external_id": external_id}


def _of(user_id: str) -> dict[str, str]:
    return {"user_id": user_id}
