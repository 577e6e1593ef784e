"""Export conversations, memories and users: an ASGI app behind the Lambda Web Adapter, for files of any size."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from annals.api.query import require_known
from annals.conversations.export import export_many, export_one
from annals.conversations.formats import NDJSON
from annals.conversations.lists import Selection
from annals.conversations.query_params.exports import EXPORT_PARAMS, read_conversation_export_options
from annals.conversations.query_params.lists import read_filter
from annals.http import asgi
from annals.http.download import download
from annals.memory.memories.memory_export import export_memories
from annals.memory.memories.memory_query import read_export_options
from annals.memory.users.user_export import export_user


async def export_conversation(request: Request) -> Response:
    """One conversation as a file."""
    caller, query = asgi.get_caller(request).require_scope("read"), asgi.read_query_params(request)
    require_known(query, EXPORT_PARAMS)
    options = read_conversation_export_options(query)
    conversation_id = asgi.path_id(request, "conversationId")
    pieces = await run_in_threadpool(export_one, caller, conversation_id, options)
    return await download(pieces, options.format.content_type, f"{conversation_id}{options.format.suffix}")


async def export_conversations(request: Request) -> Response:
    """All conversations that a filter matches as one file."""
    caller, query = asgi.get_caller(request).require_scope("read"), asgi.read_query_params(request)
    options = read_conversation_export_options(query)
    selection = Selection(caller.tenant, caller.spaces, read_filter(query, *EXPORT_PARAMS))
    pieces = export_many(selection, options)
    return await download(pieces, options.format.content_type, f"conversations{options.format.suffix}")


async def export_filtered_memories(request: Request) -> Response:
    """All memories that a filter matches as one file."""
    caller = asgi.get_caller(request).require_scope("read")
    options = read_export_options(asgi.read_query_params(request))
    pieces = export_memories(caller, options)
    return await download(pieces, options.format.content_type, f"memories{options.format.suffix}")


async def export_all_of_user(request: Request) -> Response:
    """All that there is of a user as JSON lines."""
    caller = asgi.get_caller(request).require_scope("read")
    require_known(asgi.read_query_params(request), ())
    user_id = asgi.path_id(request, "userId")
    return await download(export_user(caller, user_id), NDJSON, f"{user_id}.jsonl")


app = asgi.create_app(
    [
        Route("/v1/memories/export", export_filtered_memories, methods=["GET"]),
        Route("/v1/users/{userId}/export", export_all_of_user, methods=["GET"]),
        Route("/v1/conversations/export", export_conversations, methods=["GET"]),
        Route("/v1/conversations/{conversationId}/export", export_conversation, methods=["GET"]),
    ]
)
