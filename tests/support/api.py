"""The API without a gateway: each request becomes a proxy event for the function that the template names for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from starlette.testclient import TestClient

from annals.access.caller import Caller
from local import events
from local.workers import Context
from tests.support.stack import TEMPLATE, function

SCOPES = frozenset({"read", "write", "erase", "admin"})


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    @property
    def problem(self) -> tuple[int, str, str | None]:
        """Status, code and field of problem details."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        return self.status, self.json["code"], self.json.get("field")


@dataclass(frozen=True)
class Api:
    """A client that speaks for a caller."""

    caller: Caller

    @staticmethod
    def of(tenant: str) -> Api:
        """A client with every scope of a tenant's key."""
        return Api(Caller(tenant, "key-1", SCOPES))

    def limited(self, *, scopes: set[str] | None = None, spaces: set[str] | None = None) -> Api:
        """The same client with a key that can do less."""
        return Api(
            replace(
                self.caller,
                scopes=self.caller.scopes if scopes is None else frozenset(scopes),
                spaces=self.caller.spaces if spaces is None else frozenset(spaces),
            )
        )

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Reply:
        return self.send("DELETE", path, **headers)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request. Text and bytes are sent as they are, other bodies as JSON; ``if_match`` is ``If-Match``."""
        plain, _, query = path.partition("?")
        sent = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else _json(body)
        named = {"content_type": "application/json", **headers} if sent else headers
        pairs = tuple((name.replace("_", "-").title(), value) for name, value in named.items())
        request = events.Request(method, plain, query, pairs, sent, "127.0.0.1")
        route_match = events.match(TEMPLATE.routes, method, plain)
        assert route_match, f"the template has no route for {method} {plain}"
        context = events.caller_context({"context": self.caller.to_authorizer(), "principalId": self.caller.key_id})
        name = route_match.route.function
        if route_match.route.streams:
            return _streamed(name, request, events.request_context(request, route_match, context))
        answer = events.to_answer(
            function(name).handler(events.proxy_event(request, route_match, context), Context(name))
        )
        return Reply(answer.status, {name.lower(): value for name, value in answer.headers}, answer.body)


def _streamed(name: str, request: events.Request, context: Mapping[str, Any]) -> Reply:
    """The answer of an ASGI app, which is called in this process; what breaks in the middle of it is raised."""
    headers = {**dict(request.headers), "x-amzn-request-context": json.dumps(context)}
    path = f"{request.path}?{request.query}" if request.query else request.path
    with TestClient(function(name).app) as client:
        answer = client.request(request.method, path, content=request.body or None, headers=headers)
    return Reply(answer.status_code, dict(answer.headers), answer.content)


def _json(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
