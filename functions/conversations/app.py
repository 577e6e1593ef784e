"""Create, read, change and list conversations."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.fields import ExternalId, Id, PathId
from annals.api.query import read_list
from annals.conversations.create import CreateResult, create, get_or_create, get_session
from annals.conversations.lists import Selection, count_conversations, list_conversations
from annals.conversations.metadata import patch_metadata
from annals.conversations.models import (
    Conversation,
    ConversationCount,
    ConversationList,
    CreateConversation,
    GetOrCreateConversation,
    GetOrCreateSession,
    PatchConversation,
)
from annals.conversations.presenters import present_conversation
from annals.conversations.query_params.lists import (
    LIST_PARAMS,
    list_name,
    next_cursor,
    read_filter,
    read_order,
    read_position,
)
from annals.conversations.read import get_head, require_conversation_access
from annals.errors import SessionNotFound
from annals.http.app import Api, respond
from annals.memory.conversation_includes import present_with_parts, require_parts
from annals.memory.models import ConversationWithMore

app = Api()
handler = app.handler


@app.post("/v1/conversations", status_code=201, tags=["Conversations"])
def create_conversation(body: CreateConversation) -> Response[Conversation]:
    """Create a conversation."""
    caller, new = app.caller.require_scope("write"), body.to_new()
    caller.require_space(new.participants.get("memorySpaceId"))
    made = create(caller.tenant, new, caller.key_id, app.idempotent_request("create"))
    return respond(present_conversation(made.head), 201, etag=made.head.version, replayed=made.replayed)


@app.put("/v1/conversations/by-participants", tags=["Conversations"])
def get_or_create_conversation(body: GetOrCreateConversation) -> Response[Conversation]:
    """The conversation of these participants: the one there is (200), or a new one (201)."""
    caller, new = app.caller.require_scope("write"), body.to_new()
    caller.require_space(new.participants.get("memorySpaceId"))
    return _respond_found(get_or_create(caller.tenant, new, caller.key_id, app.idempotent_request("by-participants")))


@app.put("/v1/conversations/by-session", tags=["Conversations"])
def get_or_create_session(body: GetOrCreateSession) -> Response[Conversation]:
    """The conversation that is a session of this user and memory space: the one there is (200), or a new one (201)."""
    caller, new = app.caller.require_scope("write"), body.to_new()
    caller.require_space(new.participants.get("memorySpaceId"))
    return _respond_found(get_or_create(caller.tenant, new, caller.key_id, app.idempotent_request("by-session")))


@app.get("/v1/conversations/by-session", tags=["Conversations"])
def find_session(
    session_id: Annotated[ExternalId, Query(alias="sessionId")],
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
    memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None,
) -> Response[Conversation]:
    """The conversation that is a session of this user, or of none, in this memory space, or in none."""
    caller = app.caller.require_scope("read")
    app.require_known_query("sessionId", "userId", "memorySpaceId")
    if not caller.may_see(memory_space_id):
        raise SessionNotFound(session_id)
    owners = {"userId": user_id, "memorySpaceId": memory_space_id}
    named = {name: value for name, value in owners.items() if value is not None}
    head = get_session(caller.tenant, session_id, named)
    return respond(present_conversation(head), etag=head.version)


@app.get("/v1/conversations", tags=["Conversations"])
def list_them(
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
    sort_by: Annotated[str, Query(alias="sortBy")] = "lastMessageAt",
    sort_order: Annotated[str, Query(alias="sortOrder")] = "desc",
) -> ConversationList:
    """List conversations, the newest activity first by default. Every other query parameter is a filter."""
    caller = app.caller.require_scope("read")
    order = read_order({"sortBy": sort_by, "sortOrder": sort_order})
    selection = Selection(caller.tenant, caller.spaces, read_filter(app.query_params, *LIST_PARAMS))
    cursors = app.cursors(*list_name(order), page_params=LIST_PARAMS)
    page = list_conversations(selection, limit, order, read_position(cursor, cursors))
    return {"items": [present_conversation(head) for head in page.heads], **next_cursor(page, cursors)}


@app.get("/v1/conversations/count", tags=["Conversations"])
def count_them() -> ConversationCount:
    """How many conversations a list with the same filter would have."""
    caller = app.caller.require_scope("read")
    return {"count": count_conversations(Selection(caller.tenant, caller.spaces, read_filter(app.query_params)))}


@app.get("/v1/conversations/<conversation_id>", tags=["Conversations"])
def get_conversation(
    conversation_id: PathId, include: Annotated[str | None, Query()] = None
) -> Response[ConversationWithMore]:
    """A conversation. ``include`` is a list of ``messages`` (the newest 50), ``facts`` and ``summary``."""
    caller = app.caller.require_scope("read")
    app.require_known_query("include")
    parts = read_list(app.query_params, "include")
    require_parts(parts)
    require_conversation_access(caller, conversation_id)
    head = get_head(caller.tenant, conversation_id)
    return respond(present_with_parts(head, parts), etag=head.version)


@app.patch("/v1/conversations/<conversation_id>", tags=["Conversations"])
def patch_conversation(conversation_id: PathId, body: PatchConversation) -> Response[Conversation]:
    """Merge a patch into a conversation's metadata; null removes a key."""
    caller = app.caller.require_scope("write")
    require_conversation_access(caller, conversation_id)
    request = app.idempotent_request("patch-conversation")
    head, replayed = patch_metadata(caller.tenant, conversation_id, body.metadata, app.if_match(), request)
    return respond(present_conversation(head), etag=head.version, replayed=replayed)


def _respond_found(made: CreateResult) -> Response[Conversation]:
    """A conversation that was there (200), or was made now (201)."""
    status = 201 if made.created else 200
    return respond(present_conversation(made.head), status, etag=made.head.version, replayed=made.replayed)
