"""Memories as resources: what was made of messages, or by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal

from typing_extensions import Required, TypedDict, Unpack

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec, Steps
from annals_client.files import Destination
from annals_client.filters import MemoryFilter, memory_body, memory_query
from annals_client.listing import ListSpec, collect_items
from annals_client.methods import Download, Resource, S, StepsMethod, call, listing, saving
from annals_client.models import ConversationRef, DeletedMemories, Memory, MemoryWithVersions
from annals_client.wire import NOT_GIVEN, NotGiven, Time

MEMORY = "/v1/memories/{memoryId}"
BY_EXTERNAL_ID = "/v1/memories/by-external-id/{externalId}"

MemoryList = list[Memory]


class NewMemory(TypedDict, total=False):
    """A memory that is made by hand, beside its words; ``importance`` is from 0 to 100.

    ``embedding`` is the vector that your own model made of its content, in a memory space that takes such.
    """

    memory_space_id: Required[str]
    content_type: Literal["raw", "summarized", "fact", "custom"] | None
    source_type: Literal["conversation", "system", "tool", "a2a"] | None
    user_id: str | None
    agent_id: str | None
    participant_id: str | None
    importance: int | None
    tags: Sequence[str] | None
    metadata: Mapping[str, Any] | None
    conversation_ref: ConversationRef | None
    embedding: Sequence[float] | None


class Memories(Resource[S]):
    """Make, read, change, archive, delete and list memories."""

    @call("POST /v1/memories", Memory, Repeat.WITH_KEY)
    def create(
        self,
        content: str,
        *,
        external_id: str | None = None,
        idempotency_key: str | None = None,
        **memory: Unpack[NewMemory],
    ) -> RequestSpec:
        """Make a memory by hand; ``external_id`` is an id of your own, unique among those of its owner.

        Raises
        ------
        Conflict : EXTERNAL_ID_TAKEN
        ValidationFailed : OWNER_REQUIRED, INVALID_IMPORTANCE and others
        """
        body = {**_body(content, **memory), **wire.body(external_id=external_id)}
        return RequestSpec(body=body, key=idempotency_key)

    @call(f"PUT {BY_EXTERNAL_ID}", Memory, Repeat.WITH_KEY)
    def put(
        self,
        external_id: str,
        content: str,
        *,
        if_match: int | None = None,
        idempotency_key: str | None = None,
        **memory: Unpack[NewMemory],
    ) -> RequestSpec:
        """Make the memory with this external id, or replace the one that there is: all of it, where it differs.

        Raises
        ------
        PreconditionFailed : the memory's version is not ``if_match``; 0 is for none
        """
        body = _body(content, **memory)
        return RequestSpec({"external_id": external_id}, body=body, if_match=if_match, key=idempotency_key)

    @call(f"GET {BY_EXTERNAL_ID}", MemoryWithVersions)
    def get_by_external_id(
        self, external_id: str, *, memory_space_id: str, user_id: str | None = None, agent_id: str | None = None
    ) -> RequestSpec:
        """The memory with this external id, of a memory space with a user and/or an agent. Raises NotFound."""
        query = wire.query(memory_space_id=memory_space_id, user_id=user_id, agent_id=agent_id)
        return RequestSpec({"external_id": external_id}, query=query)

    @call(f"DELETE {BY_EXTERNAL_ID}", NoneType)
    def delete_by_external_id(
        self, external_id: str, *, memory_space_id: str, user_id: str | None = None, agent_id: str | None = None
    ) -> RequestSpec:
        """Delete the memory with this external id. Raises NotFound."""
        query = wire.query(memory_space_id=memory_space_id, user_id=user_id, agent_id=agent_id)
        return RequestSpec({"external_id": external_id}, query=query)

    @call(f"GET {MEMORY}", MemoryWithVersions)
    def get(self, memory_id: str, *, at: Time | None = None, include_embedding: bool | None = None) -> RequestSpec:
        """A memory with its previous versions, or as it was at a time. Raises NotFound.

        ``include_embedding`` adds the vector that a caller brought for it.
        """
        return RequestSpec(_of(memory_id), query=wire.query(at=at, include_embedding=include_embedding))

    @listing("GET /v1/memories", Memory)
    def list(
        self,
        *,
        limit: int | None = None,
        page_size: int = 100,
        memory_space_id: str | NotGiven = NOT_GIVEN,
        **conditions: Unpack[MemoryFilter],
    ) -> ListSpec:
        """The memories that a filter matches, the newest first, ``limit`` at most. Raises Unavailable."""
        return ListSpec(RequestSpec(query=memory_query(memory_space_id, **conditions)), limit, page_size)

    @call("GET /v1/memories/count", int, inside="count")
    def count(self, *, memory_space_id: str | NotGiven = NOT_GIVEN, **conditions: Unpack[MemoryFilter]) -> RequestSpec:
        """How many memories a filter matches. Raises Unavailable."""
        return RequestSpec(query=memory_query(memory_space_id, **conditions))

    @saving("GET /v1/memories/export")
    def export(
        self,
        to: Destination,
        *,
        format: Literal["json", "jsonl", "csv"] = "jsonl",  # noqa: A002 - the API's word
        include_versions: bool | None = None,
        include_archived: bool | None = None,
        include_superseded: bool | None = None,
        formulas: Literal["guard", "keep"] | None = None,
        memory_space_id: str | NotGiven = NOT_GIVEN,
        **conditions: Unpack[MemoryFilter],
    ) -> Download:
        """Write all memories that a filter matches into one file, the newest first; how many bytes it has.

        ``to`` is a path, whose file is there when it is complete, or a binary file.
        """
        options = wire.query(
            format=format,
            include_versions=include_versions,
            include_archived=include_archived,
            include_superseded=include_superseded,
            formulas=formulas,
        )
        return Download(RequestSpec(query={**memory_query(memory_space_id, **conditions), **options}), to)

    @call(f"PATCH {MEMORY}", MemoryWithVersions, Repeat.WITH_KEY)
    def update(
        self,
        memory_id: str,
        *,
        content: str | None = None,
        importance: int | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        conversation_ref: ConversationRef | None = None,
        embedding: Sequence[float] | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Give a memory a new version. ``metadata`` is merged; None removes a key.

        ``conversation_ref`` says from which messages the new version comes. ``embedding`` is your own vector of the
        content; one of the content before goes with that.

        Raises
        ------
        PreconditionFailed : the memory's version is not ``if_match``
        """
        fields = {"importance": importance, "tags": tags, "metadata": metadata, "embedding": embedding}
        body = wire.body(content=content, **fields, conversation_ref=_reference(conversation_ref))
        return RequestSpec(_of(memory_id), body=body, if_match=if_match, key=idempotency_key)

    @call(f"DELETE {MEMORY}", NoneType)
    def delete(self, memory_id: str) -> RequestSpec:
        """Delete a memory. The words that it came from stay in the ledger."""
        return RequestSpec(_of(memory_id))

    @call("POST /v1/memories/delete-many", DeletedMemories, Repeat.NEVER)
    def delete_many(
        self,
        *,
        memory_space_id: str | NotGiven = NOT_GIVEN,
        all: bool = False,  # noqa: A002 - the API's word
        dry_run: bool = False,
        confirm: bool = False,
        **conditions: Unpack[MemoryFilter],
    ) -> RequestSpec:
        """Delete all memories that a filter matches, or only say which they are.

        Without a filter, ``all`` says that every memory of the space is meant.

        Raises
        ------
        Conflict : DELETE_MANY_THRESHOLD_EXCEEDED, more than ten match and that is not confirmed
        """
        space = wire.body(**wire.conditions(memory_space_id=memory_space_id))
        body = wire.body(all=all, dry_run=dry_run, confirm=confirm)
        return RequestSpec(body={**space, **body, "filter": memory_body(**conditions)})

    @listing(f"GET {MEMORY}/versions", Memory)
    def each_version(self, memory_id: str, *, limit: int | None = None, page_size: int = 100) -> ListSpec:
        """The versions of a memory that are kept, the newest first, read page by page as they are iterated."""
        return ListSpec(RequestSpec(_of(memory_id)), limit, page_size)

    @StepsMethod
    def versions(self, memory_id: str) -> Steps[MemoryList]:
        """All versions of a memory that are kept, the newest first."""
        return collect_items(Memories.each_version.walk(memory_id))

    @call(f"GET {MEMORY}/versions/{{number}}", Memory)
    def version(self, memory_id: str, number: int) -> RequestSpec:
        """One version of a memory. Raises NotFound."""
        return RequestSpec({**_of(memory_id), "number": str(number)})

    @call(f"POST {MEMORY}/archive", Memory)
    def archive(self, memory_id: str) -> RequestSpec:
        """Archive a memory: searches leave it out unless they ask for it."""
        return RequestSpec(_of(memory_id))

    @call(f"POST {MEMORY}/restore", Memory, Repeat.WITH_KEY)
    def restore(self, memory_id: str, *, idempotency_key: str | None = None) -> RequestSpec:
        """Restore an archived memory as it was. Raises Conflict, MEMORY_NOT_ARCHIVED."""
        return RequestSpec(_of(memory_id), key=idempotency_key)


def _body(content: str, *, conversation_ref: ConversationRef | None = None, **memory: Any) -> dict[str, Any]:
    return wire.body(content=content, **memory, conversation_ref=_reference(conversation_ref))


def _reference(ref: ConversationRef | None) -> dict[str, Any] | None:
    return ref.model_dump(by_alias=True) if ref else None


def _of(memory_id: str) -> dict[str, str]:
    return {"memory_id": memory_id}
