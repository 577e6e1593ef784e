"""The HTTP front: as in API Gateway, a request goes by the template's routes and authorizer to its function."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from starlette import routing
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from local import docs, events, integration
from local.events import Answer, Match, Request
from local.integration import Refusal
from local.template import Template
from local.workers import Workers

log = logging.getLogger("annals")
T = TypeVar("T")


class Refused(Exception):
    """API Gateway answers by itself; the argument is the kind of its answer."""


@dataclass(frozen=True)
class Gateway:
    """The API as an ASGI app.

    ``streaming`` holds the ASGI apps of the functions whose answers are streamed, by function name; on AWS the Lambda
    Web Adapter stands before them.
    """

    template: Template
    workers: Workers
    streaming: dict[str, Starlette]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and log one line."""
        started = time.perf_counter()
        status = 0

        async def recording_send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._serve(scope, receive, recording_send)
        finally:
            took_ms = (time.perf_counter() - started) * 1000
            log.info("%s %s %d %.0f ms", scope["method"], _path(scope), status, took_ms)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope, await _read(receive))
        try:
            route_match = events.match(self.template.routes, request.method, request.path)
            if route_match is None:
                raise Refused("MISSING_AUTHENTICATION_TOKEN")
            if route_match.route.streams:
                allowed = await self._run(integration.authorize, request, route_match)
                await self._stream(request, route_match, allowed.caller, scope, receive, send)
                return
            answer = await self._run(integration.answer, request, route_match)
        except Refused as refusal:
            answer = events.gateway_answer(self.template.gateway_responses, str(refusal), request.request_id)
        await _send(answer, request.request_id, send)

    async def _run(self, work: Callable[[Request, Match], T | Refusal], request: Request, route_match: Match) -> T:
        """Have a worker do it; who asks at the same path again meets the same one, and what it remembers."""
        function = route_match.route.function
        try:
            working = self.workers.run(work, request, route_match, place=request.path)
            result: T | Refusal = await asyncio.wait_for(asyncio.wrap_future(working), route_match.route.timeout_s)
        except TimeoutError as error:
            log.error("%s took longer than %.0f s", function, route_match.route.timeout_s)
            raise Refused("INTEGRATION_TIMEOUT") from error
        except BrokenProcessPool as error:
            log.error("%s: its process died", function)
            raise Refused("INTEGRATION_FAILURE") from error
        if not isinstance(result, Refusal):
            return result
        if result.reason:
            log.error(result.reason)
        raise Refused(result.kind)

    async def _stream(
        self,
        request: Request,
        route_match: Match,
        caller: dict[str, Any] | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if len(request.body) > events.MAX_EVENT_BYTES:
            raise Refused("REQUEST_TOO_LARGE")
        context = json.dumps(events.request_context(request, route_match, caller))
        headers = [pair for pair in scope["headers"] if pair[0] != b"x-amzn-request-context"]
        headers.append((b"x-amzn-request-context", context.encode()))
        await self.streaming[route_match.route.function](
            {**scope, "headers": headers, "root_path": ""}, _replay(request.body, receive), send
        )


class Page(Route):
    """A page beside the API; to methods that it does not have, the API answers."""

    def matches(self, scope: Scope) -> tuple[routing.Match, Scope]:
        """Whether it serves a request."""
        match, more = super().matches(scope)
        return (match, more) if match is routing.Match.FULL else (routing.Match.NONE, {})


def create_app(
    template: Template,
    workers: Workers,
    streaming: dict[str, Starlette],
    openapi: Path,
    beside: Sequence[Route] = (),
) -> Starlette:
    """The development server's ASGI app: the API, its documentation, and what else is to be beside it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for app in streaming.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            yield

    routes = [
        Page("/openapi.json", docs.document(openapi)),
        Page("/docs", docs.page),
        Page("/", docs.root),
        *beside,
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.default = Gateway(template, workers, streaming)  # a Mount would not take a path with a newline
    return app


def _path(scope: Scope) -> str:
    return str(scope["raw_path"].decode("latin-1"))


def _request(scope: Scope, body: bytes) -> Request:
    return Request(
        method=scope["method"],
        path=_path(scope),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        body=body,
        client=scope["client"][0] if scope.get("client") else "127.0.0.1",
    )


async def _read(receive: Receive) -> bytes:
    """The request's body; of one over the limit no more is kept than shows it."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        if len(body) <= events.MAX_BODY_BYTES:
            body += message.get("body", b"")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


async def _send(answer: Answer, request_id: str, send: Send) -> None:
    extra = (("content-length", str(len(answer.body))), ("x-amzn-requestid", request_id))
    others = [pair for pair in answer.headers if pair[0].lower() != "content-length"]
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (*others, *extra)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
