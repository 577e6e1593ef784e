"""Make, find and list conversations."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.conversations.create import create, get_or_create
from annals.conversations.lists import list_conversations
from annals.conversations.models import Conversation, ConversationList, CreateConversation, GetOrCreateConversation
from annals.conversations.query import NAMES, next_cursor, read_filter, read_place
from annals.conversations.read import demand_space, read_conversation, show_conversation
from annals.http.app import Api, reply
from annals.http.model import PathId

app = Api()
handler = app.handler


@app.post("/v1/conversations", status_code=201, tags=["Conversations"])
def create_conversation(body: CreateConversation) -> Response[Conversation]:
    """Make a conversation."""
    caller, new = app.caller.require("write"), body.to_new()
    caller.demand_space(new.participants.get("memorySpaceId"))
    made = create(caller.tenant, new, caller.key_id, app.idempotent_request("create"))
    return reply(show_conversation(made.head), 201, etag=made.head.version, replayed=made.replayed)


@app.put("/v1/conversations/by-participants", tags=["Conversations"])
def get_or_create_conversation(body: GetOrCreateConversation) -> Response[Conversation]:
    """The conversation of these participants: the one there is (200), or a new one (201)."""
    caller, new = app.caller.require("write"), body.to_new()
    caller.demand_space(new.participants.get("memorySpaceId"))
    made = get_or_create(caller.tenant, new, caller.key_id)
    return reply(show_conversation(made.head), 201 if made.created else 200, etag=made.head.version)


@app.get("/v1/conversations", tags=["Conversations"])
def list_them(
    limit: Annotated[int, Query(ge=1, le=1000)] = 50, cursor: Annotated[str | None, Query()] = None
) -> ConversationList:
    """List conversations, the newest activity first."""
    caller = app.caller.require("read")
    app.demand_known_query("limit", "cursor", *NAMES, code="INVALID_FILTER")
    chosen = read_filter(caller.tenant, caller.spaces, app.query)
    page = list_conversations(chosen, limit, read_place(cursor))
    items = [show_conversation(head) for head in page.heads]
    return {"items": items, **next_cursor(page)}


@app.get("/v1/conversations/<conversation_id>", tags=["Conversations"])
def get_conversation(conversation_id: PathId) -> Response[Conversation]:
    """A conversation."""
    caller = app.caller.require("read")
    app.demand_known_query()
    demand_space(caller.tenant, conversation_id, caller.spaces)
    head = read_conversation(caller.tenant, conversation_id)
    return reply(show_conversation(head), etag=head.version)
