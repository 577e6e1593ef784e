"""What the functions share that stream their responses: ASGI apps behind the Lambda Web Adapter."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annals import telemetry
from annals.access.caller import Caller
from annals.api import problems
from annals.api.fields import PathExternalId, PathId
from annals.api.query import require_not_blank
from annals.errors import AnnalsError, InvalidInput, MethodNotAllowed, NotFound, Unauthorized

logger = logging.getLogger("annals")

_id: TypeAdapter[str] = TypeAdapter(PathId)
_external_id: TypeAdapter[str] = TypeAdapter(PathExternalId)


def create_app(routes: Sequence[Route], lifespan: Callable[[Starlette], Any] | None = None) -> Starlette:
    """An app of these routes, which refuses with problem details as long as no part of a response was sent.

    What fails later breaks the connection off, so that half a response is never taken for a whole one.
    """
    return Starlette(
        routes=[*routes, Route("/health", _ready)],
        exception_handlers={
            AnnalsError: _refuse,
            ClientError: _refuse,
            BotoCoreError: _refuse,
            404: _refuse_route,
            405: _refuse_method,
            Exception: _refuse,
        },
        middleware=[Middleware(EncodedPath), Middleware(RequestLogging)],
        lifespan=lifespan,
    )


class EncodedPath:
    """Routes requests by their paths as they came: a slash that is encoded in an id separates nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does."""
        if "raw_path" in scope:
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)


class RequestLogging:
    """Logs each request that came through API Gateway, once its response is sent whole or broken off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does."""
        started, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            if scope["type"] == "http" and (context := _context(Request(scope))):
                telemetry.log_request(context, status, scope.get("annals.code", ""), started)


def request_id(request: Request) -> str:
    """The id that API Gateway gave a request."""
    return str(_context(request).get("requestId", ""))


def get_caller(request: Request) -> Caller:
    """Who sent a request. Raises Unauthorized where no authorizer named a caller."""
    authorizer = _context(request).get("authorizer")
    if not authorizer:
        raise Unauthorized("The request came without a caller.")
    return Caller.from_authorizer(authorizer)


def read_query_params(request: Request) -> dict[str, str]:
    """The query parameters, by name; of one that is repeated, the last. Raises InvalidInput for a blank one."""
    require_not_blank(request.query_params.multi_items())
    return dict(request.query_params)


def path_id(request: Request, name: str) -> str:
    """An id in the request's path. Raises InvalidInput."""
    return _validated(_id, request, name)


def path_external_id(request: Request, name: str) -> str:
    """An external id in the request's path. Raises InvalidInput."""
    return _validated(_external_id, request, name)


def _validated(kind: TypeAdapter[str], request: Request, name: str) -> str:
    try:
        return kind.validate_python(request.path_params[name])
    except ValidationError as error:
        raise InvalidInput(error.errors()[0]["type"], f"{name} {error.errors()[0]['msg']}.", field=name) from None


def _context(request: Request) -> dict[str, Any]:
    """API Gateway's request context, which the adapter passes on; a caller's own header of that name never arrives."""
    context: dict[str, Any] = json.loads(request.headers.get("x-amzn-request-context", "{}"))
    return context


async def _ready(_: Request) -> Response:
    """The Lambda Web Adapter's readiness check."""
    return PlainTextResponse("ready")


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, AnnalsError):
        refusal = error
    else:
        refusal = problems.from_aws(error)
        logger.error("Request failed: %s", type(error).__name__, exc_info=error if refusal.status == 500 else None)
    request.scope["annals.code"] = telemetry.count_refusal(refusal)
    return Response(
        json.dumps(problems.problem_details(refusal, request_id(request))),
        status_code=refusal.status,
        media_type=problems.CONTENT_TYPE,
        headers=problems.problem_headers(refusal),
    )


async def _refuse_route(request: Request, _: Exception) -> Response:
    return await _refuse(request, NotFound("There is no such route."))


async def _refuse_method(request: Request, _: Exception) -> Response:
    return await _refuse(request, MethodNotAllowed(f"This route takes no {request.method}."))
