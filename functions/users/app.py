"""What is remembered of users."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.cursors import PAGING_PARAMS
from annals.api.fields import Id, PathExternalId, PathId, PathMemoryId, Tag
from annals.http.app import Api, respond
from annals.memory.memories.memory_changes import change_memory
from annals.memory.memories.memory_creation import create_memory
from annals.memory.memories.memory_deletion import remove_memory
from annals.memory.memories.memory_external_ids import ExternalMemoryId
from annals.memory.memories.memory_upsert import get_by_external_id, put_memory
from annals.memory.users.models import (
    NewUserMemory,
    PatchUserMemory,
    PutUserMemory,
    SearchUserMemories,
    TopicList,
    UserMemoriesCleared,
    UserMemory,
    UserMemoryList,
    UserMemoryResults,
)
from annals.memory.users.user_memories import (
    UserMemoryFilter,
    clear_user_memories,
    count_topics,
    get_user_memory,
    list_user_memories,
    new_user_memory,
    present_user_memory,
    require_memory_of,
    to_user_change,
)
from annals.memory.users.user_memory_search import search_user_memories

app = Api()
handler = app.handler


@app.post("/v1/users/<user_id>/memories", status_code=201, tags=["Users"])
def create_user_memory(user_id: PathId, body: NewUserMemory) -> Response[UserMemory]:
    """Remember something of a user."""
    caller = app.caller.require_scope("write")
    caller.require_space(body.memory_space_id)
    new = new_user_memory(caller, user_id, body)
    memory, replayed = create_memory(new, app.idempotent_request(f"user-memories/{user_id}"))
    return respond(present_user_memory(memory), 201, etag=memory.version, replayed=replayed)


@app.get("/v1/users/<user_id>/memories", tags=["Users"])
def list_them(
    user_id: PathId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    agent_id: Annotated[Id | None, Query(alias="agentId")] = None,
    topic: Annotated[Tag | None, Query()] = None,
    memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None,
) -> UserMemoryList:
    """List what is remembered of a user, the newest first by default. Strongly consistent."""
    caller = app.caller.require_scope("read")
    app.require_known_query("limit", "cursor", "order", "agentId", "topic", "memorySpaceId")
    memory_filter = UserMemoryFilter(agent_id, topic, memory_space_id)
    cursors = app.cursors("memories of a user", user_id, order, page_params=(*PAGING_PARAMS, "order"))
    after = cursors.read(cursor)[0] if cursor else None
    items, last = list_user_memories(caller, user_id, memory_filter, limit, newest_first=order == "desc", after=after)
    return {"items": items, **(cursors.next(last) if last else {})}


@app.delete("/v1/users/<user_id>/memories", tags=["Users"])
def clear_them(user_id: PathId) -> UserMemoriesCleared:
    """Delete all that is remembered of this one user; messages in conversations stay."""
    caller = app.caller.require_scope("erase")
    app.require_known_query()
    return {"count": clear_user_memories(caller, user_id)}


@app.get("/v1/users/<user_id>/memories/topics", tags=["Users"])
def list_topics(user_id: PathId) -> TopicList:
    """The topics of a user's memories."""
    caller = app.caller.require_scope("read")
    app.require_known_query()
    return count_topics(caller, user_id)


@app.post("/v1/users/<user_id>/memories/search", tags=["Users"])
def search_them(user_id: PathId, body: SearchUserMemories) -> UserMemoryResults:
    """Find memories of a user: the newest, the oldest, by words, or by meaning."""
    caller = app.caller.require_scope("read")
    return search_user_memories(caller, user_id, body)


BY_EXTERNAL_ID = "/v1/users/<user_id>/memories/by-external-id/<external_id>"


@app.get(BY_EXTERNAL_ID, tags=["Users"])
def get_user_memory_by_external_id(user_id: PathId, external_id: PathExternalId) -> Response[UserMemory]:
    """The memory of a user with this external id."""
    caller = app.caller.require_scope("read")
    app.require_known_query()
    memory = get_by_external_id(caller, ExternalMemoryId(caller.tenant, external_id, user_id))
    return respond(present_user_memory(memory), etag=memory.version)


@app.put(BY_EXTERNAL_ID, tags=["Users"])
def put_user_memory(user_id: PathId, external_id: PathExternalId, body: PutUserMemory) -> Response[UserMemory]:
    """Create a memory of a user with this external id (201), or replace the one there is, if it differs."""
    caller = app.caller.require_scope("write")
    caller.require_space(body.memory_space_id)
    new = replace(new_user_memory(caller, user_id, body), external_id=external_id)
    put = put_memory(caller, new, app.if_match(), app.idempotent_request("put-user-memory"))
    memory, created, replayed = put
    return respond(present_user_memory(memory), 201 if created else 200, etag=memory.version, replayed=replayed)


@app.delete(BY_EXTERNAL_ID, status_code=204, tags=["Users"])
def delete_user_memory_by_external_id(user_id: PathId, external_id: PathExternalId) -> Response[None]:
    """Delete a user's memory with this external id."""
    caller = app.caller.require_scope("erase")
    remove_memory(caller, ExternalMemoryId(caller.tenant, external_id, user_id).get_memory_id())
    return respond(None, 204)


@app.patch("/v1/users/<user_id>/memories/<memory_id>", tags=["Users"])
def patch_user_memory(user_id: PathId, memory_id: PathMemoryId, body: PatchUserMemory) -> Response[UserMemory]:
    """Change a user's memory; its versions before stay, and are read as any memory's."""
    caller = app.caller.require_scope("write")
    memory = get_user_memory(caller, user_id, memory_id)
    request = app.idempotent_request("patch-user-memory")
    changed, replayed = change_memory(memory, partial(to_user_change, body=body), app.if_match(), request)
    return respond(present_user_memory(changed), etag=changed.version, replayed=replayed)


@app.delete("/v1/users/<user_id>/memories/<memory_id>", status_code=204, tags=["Users"])
def delete_user_memory(user_id: PathId, memory_id: PathMemoryId) -> Response[None]:
    """Delete a user's memory."""
    caller = app.caller.require_scope("erase")
    require_memory_of(user_id, memory_id)
    remove_memory(caller, memory_id)
    return respond(None, 204)
