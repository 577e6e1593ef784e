"""Remember a turn whose reply is streamed: an ASGI app behind the Lambda Web Adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio.to_thread import run_sync
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from annals import json_text
from annals.api import problems
from annals.errors import InvalidInput
from annals.http import asgi, requests, sse
from annals.memory import adapters
from annals.memory.message_drafts.following import FollowedMessage, Position, follow
from annals.memory.models import to_message
from annals.memory.streaming.draft_table import DraftTable
from annals.memory.streaming.events import ReplyStream
from annals.memory.streaming.live_turn import ModelLimits
from annals.memory.streaming.models import RememberStream
from annals.memory.streaming.streamed_turns import StreamedTurns
from annals.memory.streaming.turn_store import LedgerTurnStore
from annals.memory.streaming.turns import StreamRequest
from annals.settings import settings

KEEP_ALIVE_S = 15.0
SHUTDOWN_PATIENCE_S = 5.0
PATH = "/v1/memory/remember-stream"
MESSAGE_PATH = "/v1/conversations/{conversationId}/messages/{messageId}/stream"


async def remember_stream(request: Request) -> Response:
    """Store the user's message, then stream the model's reply while it is made."""
    caller = asgi.get_caller(request).require_scope("write")
    requests.require_json(request.headers.get("content-type"))
    body = await request.body()
    payload = json_text.parse(body)
    stream_request = StreamRequest(
        caller=caller,
        turn=await run_sync(_read_turn, payload),
        unmasked_message=to_message(payload["userMessage"], "user")["content"],
        idempotent=requests.idempotent_request(
            caller, "remember-stream", request.headers.get("idempotency-key"), request.url.path, body
        ),
        request_id=asgi.request_id(request),
    )
    stream = await request.app.state.turns.begin(stream_request)
    replayed = {"Idempotent-Replayed": "true"} if stream.is_repeated else {}
    return sse.UnbrokenStream(_frames(stream), headers={**sse.HEADERS, **replayed})


async def follow_stream(request: Request) -> Response:
    """Stream the rest of a reply, from the delta after Last-Event-ID on."""
    caller = asgi.get_caller(request).require_scope("read")
    after = _read_last_event_id(request.headers.get("last-event-id"))
    stream_id = asgi.path_id(request, "streamId")
    stream = await request.app.state.turns.follow(caller, stream_id, after, asgi.request_id(request))
    return StreamingResponse(_frames(stream), media_type=sse.CONTENT_TYPE, headers=sse.HEADERS)


async def follow_message(request: Request) -> Response:
    """Stream a message while it is said, from Last-Event-ID on, and at last as it is stored."""
    caller = asgi.get_caller(request).require_scope("read")
    conversation_id, external_id = asgi.path_id(request, "conversationId"), asgi.path_external_id(request, "messageId")
    position = Position.parse(request.headers.get("last-event-id"))
    message = await run_sync(follow, caller, conversation_id, external_id, position, asgi.request_id(request))
    return StreamingResponse(_message_frames(message), media_type=sse.CONTENT_TYPE, headers=sse.HEADERS)


async def _message_frames(message: FollowedMessage) -> AsyncIterator[bytes]:
    async for event in message.events(idle_s=KEEP_ALIVE_S):
        yield sse.frame(event.name, event.data, event.id) if event else sse.KEEP_ALIVE


async def _frames(stream: ReplyStream) -> AsyncIterator[bytes]:
    async for event in stream.events(idle_s=KEEP_ALIVE_S):
        yield sse.frame(event.name, event.data, event.number) if event else sse.KEEP_ALIVE


def _read_turn(payload: Any) -> RememberStream:
    try:
        return RememberStream.model_validate(payload)
    except ValidationError as error:
        raise problems.from_validation(error.errors()) from None


def _read_last_event_id(last_event_id: str | None) -> int | None:
    """The number of the last delta that a client has; None for one that has nothing."""
    if not last_event_id:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit()) or len(last_event_id) > 12:
        detail = f"Last-Event-ID must be the number of a delta, not {last_event_id!r}."
        raise InvalidInput("INVALID_FORMAT", detail, field="Last-Event-ID")
    return int(last_event_id)


def create_app(turns: Callable[[], StreamedTurns]) -> Starlette:
    """The app; ``turns`` is called when it starts. When it stops, it waits for the turns under way."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.turns = turns()
        yield
        await app.state.turns.finish(SHUTDOWN_PATIENCE_S)

    routes = [
        Route(PATH, remember_stream, methods=["POST"]),
        Route(f"{PATH}/{{streamId}}", follow_stream, methods=["GET"]),
        Route(MESSAGE_PATH, follow_message, methods=["GET"]),
    ]
    return asgi.create_app(routes, lifespan)


def turns_from_settings() -> StreamedTurns:
    """The turns of this process, kept in the ledger, answered by the chat model of the settings."""
    limits = ModelLimits(stall_s=settings().chat_stall_s, total_s=settings().chat_timeout_s)
    return StreamedTurns(LedgerTurnStore(), DraftTable(), adapters.chat(), limits)


app = create_app(turns_from_settings)
