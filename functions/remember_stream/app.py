"""Remember a turn whose reply is streamed: an ASGI app behind the Lambda Web Adapter."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from annals import json_text
from annals.access.caller import Caller
from annals.errors import AnnalsError, MethodNotAllowed, NotFound, Unauthorized
from annals.http import problems, requests, sse
from annals.memory import ports
from annals.memory.models import RememberStream
from annals.memory.streaming import Limits, StreamedTurns, StreamRequest, Turn
from annals.memory.turn_store import LedgerTurnStore
from annals.settings import settings

logger = logging.getLogger("annals")

KEEP_ALIVE_S = 15.0
SHUTDOWN_PATIENCE_S = 5.0


async def remember_stream(request: Request) -> Response:
    """Store the user's message, then stream the model's reply while it is made."""
    caller = _caller(request).require("write")
    requests.demand_json(request.headers.get("content-type"))
    body = await request.body()
    asked = StreamRequest(
        caller=caller,
        turn=_turn(body),
        idempotent=requests.idempotent_request(
            caller.tenant, "remember-stream", request.headers.get("idempotency-key"), request.url.path, body
        ),
        request_id=_context(request).get("requestId", ""),
    )
    turn = await request.app.state.turns.begin(asked)
    replayed = {"Idempotent-Replayed": "true"} if turn.is_repeated else {}
    return StreamingResponse(_frames(turn), media_type=sse.CONTENT_TYPE, headers={**sse.HEADERS, **replayed})


async def ready(_: Request) -> Response:
    """Tell the Lambda Web Adapter that requests can come."""
    return PlainTextResponse("ready")


async def _frames(turn: Turn) -> AsyncIterator[bytes]:
    async for event in turn.events(idle_s=KEEP_ALIVE_S):
        yield sse.frame(event.name, event.data, event.number) if event else sse.KEEP_ALIVE


def _turn(body: bytes) -> RememberStream:
    try:
        return RememberStream.model_validate(json_text.parse(body))
    except ValidationError as error:
        raise problems.from_validation(error.errors()) from None


def _context(request: Request) -> dict[str, Any]:
    """API Gateway's request context, which the adapter hands on; it lets no caller's own header through."""
    context: dict[str, Any] = json.loads(request.headers.get("x-amzn-request-context", "{}"))
    return context


def _caller(request: Request) -> Caller:
    authorizer = _context(request).get("authorizer")
    if not authorizer:
        raise Unauthorized("The request came without a caller.")
    return Caller.from_authorizer(authorizer)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, AnnalsError):
        refusal = error
    else:
        refusal = problems.from_aws(error)
        logger.error("Request failed: %s", type(error).__name__, exc_info=error if refusal.status == 500 else None)
    return Response(
        json.dumps(problems.problem(refusal, _context(request).get("requestId", ""))),
        status_code=refusal.status,
        media_type=problems.CONTENT_TYPE,
        headers=problems.problem_headers(refusal),
    )


async def _refuse_route(request: Request, _: Exception) -> Response:
    return await _refuse(request, NotFound("There is no such route."))


async def _refuse_method(request: Request, _: Exception) -> Response:
    return await _refuse(request, MethodNotAllowed(f"This route takes no {request.method}."))


def create_app(turns: Callable[[], StreamedTurns]) -> Starlette:
    """The app; ``turns`` is called when it starts. When it stops, it waits for the turns under way."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.turns = turns()
        yield
        await app.state.turns.finish(SHUTDOWN_PATIENCE_S)

    return Starlette(
        routes=[
            Route("/v1/memory/remember-stream", remember_stream, methods=["POST"]),
            Route("/health", ready),
        ],
        exception_handlers={
            AnnalsError: _refuse,
            ClientError: _refuse,
            BotoCoreError: _refuse,
            404: _refuse_route,
            405: _refuse_method,
            Exception: _refuse,
        },
        lifespan=lifespan,
    )


def turns_from_settings() -> StreamedTurns:
    """The turns of this process, kept in the ledger, answered by the chat model of the settings."""
    limits = Limits(stall_s=settings().chat_stall_s, total_s=settings().chat_timeout_s)
    return StreamedTurns(LedgerTurnStore(), ports.chat(), limits)


app = create_app(turns_from_settings)
