"""Memories as resources: created, read, changed, archived, deleted, listed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from annals.access.caller import Caller
from annals.answers import Room, fitting_counted
from annals.api.fields import Id, PathExternalId, PathMemoryId
from annals.api.query import read_time
from annals.http.app import Api, respond
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import MAX_SEQ
from annals.memory import adapters
from annals.memory.caller_vectors import require_vectors_fit
from annals.memory.index_pages import read_position
from annals.memory.memories import memory_changes, memory_creation, memory_reads
from annals.memory.memories.memory_creation import require_memory_owner
from annals.memory.memories.memory_deletion import remove_memory
from annals.memory.memories.memory_external_ids import ExternalMemoryId
from annals.memory.memories.memory_items import ACTIVE, ARCHIVED, StoredMemory
from annals.memory.memories.memory_lists import (
    delete_memories,
    list_memories,
    list_memory_versions,
)
from annals.memory.memories.memory_presenters import present_memory
from annals.memory.memories.memory_query import OWNER_PARAMS, read_memory_filter
from annals.memory.memories.memory_upsert import get_by_external_id, put_memory
from annals.memory.memories.models import (
    CreateMemory,
    DeletedMemories,
    DeleteMemories,
    Memory,
    MemoryCount,
    MemoryList,
    MemoryVersions,
    MemoryWithVersions,
    PatchMemory,
    PutMemory,
)
from annals.memory.memories.search_filters import memory_scope
from annals.packed_vectors import length_of

app = Api()
handler = app.handler


@app.post("/v1/memories", status_code=201, tags=["Memories"])
def create_memory(body: CreateMemory) -> Response[Memory]:
    """Create an explicit memory."""
    caller = app.caller.require_scope("write")
    caller.require_space(body.memory_space_id)
    _require_vector_fits(caller, body.memory_space_id, body.embedding)
    new = memory_creation.new_memory(caller, body)
    memory, replayed = memory_creation.create_memory(new, app.idempotent_request("memories"))
    return respond(present_memory(memory), 201, etag=memory.version, replayed=replayed)


@app.get("/v1/memories", tags=["Memories"])
def list_them(
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
    memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None,
) -> MemoryList:
    """List memories, the newest first. Every other query parameter is a filter, as the search takes them."""
    caller = app.caller.require_scope("read")
    cursors = app.cursors("memories")
    scope = memory_scope(caller, memory_space_id, read_memory_filter(app.query_params))
    items, position = list_memories(scope, limit, read_position(cursor, cursors))
    return {"items": items, **(cursors.next(*position) if position else {})}


@app.get("/v1/memories/count", tags=["Memories"])
def count_them(memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None) -> MemoryCount:
    """How many memories a list with the same filter would have."""
    caller = app.caller.require_scope("read")
    scope = memory_scope(caller, memory_space_id, read_memory_filter(app.query_params))
    return {"count": adapters.index().count(scope)}


@app.post("/v1/memories/delete-many", tags=["Memories"])
def delete_them(body: DeleteMemories) -> DeletedMemories:
    """Delete all memories that a filter matches, or of a memory space; more than ten only where that is confirmed."""
    caller = app.caller.require_scope("erase")
    body.require_selection()
    scope = memory_scope(caller, body.memory_space_id, body.filter)
    ids = delete_memories(caller, scope, dry_run=body.dry_run, confirmed=body.confirm)
    return {"count": len(ids), "memoryIds": ids, "dryRun": body.dry_run}


BY_EXTERNAL_ID = "/v1/memories/by-external-id/<external_id>"


@app.get(BY_EXTERNAL_ID, tags=["Memories"])
def get_memory_by_external_id(
    external_id: PathExternalId,
    memory_space_id: Annotated[Id, Query(alias="memorySpaceId")],
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
    agent_id: Annotated[Id | None, Query(alias="agentId")] = None,
) -> Response[MemoryWithVersions]:
    """The memory with this external id in a memory space, of the user and the agent that it names."""
    caller = app.caller.require_scope("read")
    app.require_known_query(*OWNER_PARAMS)
    require_memory_owner(user_id, agent_id)
    name = ExternalMemoryId(caller.tenant, external_id, user_id, memory_space_id, agent_id)
    memory = get_by_external_id(caller, name)
    return respond(_with_versions(memory), etag=memory.version)


@app.put(BY_EXTERNAL_ID, tags=["Memories"])
def put_memory_by_external_id(external_id: PathExternalId, body: PutMemory) -> Response[Memory]:
    """Create a memory with this external id (201), or replace the one there is, with a new version if it differs."""
    caller = app.caller.require_scope("write")
    caller.require_space(body.memory_space_id)
    _require_vector_fits(caller, body.memory_space_id, body.embedding)
    new = replace(memory_creation.new_memory(caller, body), external_id=external_id)
    put = put_memory(caller, new, app.if_match(), app.idempotent_request("put-memory"))
    memory, created, replayed = put
    return respond(present_memory(memory), 201 if created else 200, etag=memory.version, replayed=replayed)


@app.delete(BY_EXTERNAL_ID, status_code=204, tags=["Memories"])
def delete_memory_by_external_id(
    external_id: PathExternalId,
    memory_space_id: Annotated[Id, Query(alias="memorySpaceId")],
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
    agent_id: Annotated[Id | None, Query(alias="agentId")] = None,
) -> Response[None]:
    """Delete the memory with this external id."""
    caller = app.caller.require_scope("erase")
    require_memory_owner(user_id, agent_id)
    name = ExternalMemoryId(caller.tenant, external_id, user_id, memory_space_id, agent_id)
    remove_memory(caller, name.get_memory_id())
    return respond(None, 204)


@app.get("/v1/memories/<memory_id>", tags=["Memories"])
def get_memory(
    memory_id: PathMemoryId,
    at: Annotated[str | None, Query()] = None,
    include_embedding: Annotated[bool, Query(alias="includeEmbedding")] = False,
) -> Response[MemoryWithVersions]:
    """A memory with its previous versions, or as it was at a time.

    `includeEmbedding=true` adds the vector that a caller brought for it.
    """
    caller = app.caller.require_scope("read")
    app.require_known_query("at", "includeEmbedding")
    memory = memory_reads.get_memory(caller, memory_id)
    moment = read_time(app.query_params, "at") if at is not None else None
    if moment is not None:
        memory = memory_reads.get_version_at(memory, moment)
    return respond(_with_versions(memory, with_embedding=include_embedding), etag=memory.version)


@app.patch("/v1/memories/<memory_id>", tags=["Memories"])
def patch_memory(memory_id: PathMemoryId, body: PatchMemory) -> Response[MemoryWithVersions]:
    """Give a memory a new version; the versions before stay."""
    caller = app.caller.require_scope("write")
    memory = memory_reads.get_memory(caller, memory_id)
    _require_vector_fits(caller, memory.memory_space_id, body.embedding)
    request = app.idempotent_request("patch-memory")
    change = partial(memory_changes.to_change, body=body)
    changed, replayed = memory_changes.change_memory(memory, change, app.if_match(), request)
    return respond(_with_versions(changed), etag=changed.version, replayed=replayed)


@app.delete("/v1/memories/<memory_id>", status_code=204, tags=["Memories"])
def delete_memory(memory_id: PathMemoryId) -> Response[None]:
    """Delete a memory. The words that it came from stay in the ledger."""
    caller = app.caller.require_scope("erase")
    remove_memory(caller, memory_id)
    return respond(None, 204)


@app.get("/v1/memories/<memory_id>/versions", tags=["Memories"])
def list_versions(
    memory_id: PathMemoryId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
) -> MemoryVersions:
    """The versions of a memory that are stored, the newest first."""
    caller = app.caller.require_scope("read")
    app.require_known_query("limit", "cursor")
    cursors = app.cursors("versions of a memory", memory_id)
    before = cursors.read(cursor)[0] if cursor else None
    items, last = list_memory_versions(memory_reads.get_memory(caller, memory_id), limit, before)
    return {"items": items, **(cursors.next(last) if last else {})}


@app.get("/v1/memories/<memory_id>/versions/<number>", tags=["Memories"])
def get_version(memory_id: PathMemoryId, number: Annotated[int, Path(ge=1, le=MAX_SEQ)]) -> Memory:
    """One version of a memory."""
    caller = app.caller.require_scope("read")
    return present_memory(memory_reads.get_version(memory_reads.get_memory(caller, memory_id), number))


@app.post("/v1/memories/<memory_id>/archive", tags=["Memories"])
def archive_memory(memory_id: PathMemoryId) -> Response[Memory]:
    """Archive a memory: searches leave it out unless they ask for it."""
    return _set_status(memory_id, ARCHIVED, app.idempotent_request("archive-memory"))


@app.post("/v1/memories/<memory_id>/restore", tags=["Memories"])
def restore_memory(memory_id: PathMemoryId) -> Response[Memory]:
    """Restore an archived memory as it was."""
    return _set_status(memory_id, ACTIVE, app.idempotent_request("restore-memory"))


def _require_vector_fits(caller: Caller, memory_space_id: str, embedding: str | None) -> None:
    if embedding is not None:
        require_vectors_fit(caller.tenant, memory_space_id, [length_of(embedding)])


def _with_versions(memory: StoredMemory, *, with_embedding: bool = False) -> dict[str, Any]:
    """A memory with as many of the versions before it as the answer has room for."""
    current, room = present_memory(memory, with_embedding=with_embedding), Room()
    room.takes(current)
    previous, left_out = fitting_counted(map(present_memory, memory_reads.previous_versions(memory)), room)
    return {**current, "previousVersions": previous, **left_out}


def _set_status(memory_id: str, status: str, request: IdempotentRequest | None) -> Response[Memory]:
    caller = app.caller.require_scope("write")
    memory, replayed = memory_changes.set_status(memory_reads.get_memory(caller, memory_id), status, request)
    return respond(present_memory(memory), etag=memory.version, replayed=replayed)
