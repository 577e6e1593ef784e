"""API Gateway's events: what a REST API hands to functions and its authorizer, and what it makes of their answers."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from annals.answers import MAX_RESULT_BYTES
from local.template import GatewayResponse, Route

STAGE = "local"
API_ARN = f"arn:aws:execute-api:us-east-1:000000000000:local/{STAGE}"
MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``path`` is as it came, percent-encoded; header names are as the client wrote them."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    client: str
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Match:
    """A route that takes a request, and the parameters of its path."""

    route: Route
    parameters: Mapping[str, str]


class BadAnswer(Exception):
    """A function's answer is not one that API Gateway understands."""


def match(routes: Iterable[Route], method: str, path: str) -> Match | None:
    """The route that takes a method and path, as API Gateway finds it.

    The path decides first: a literal segment goes before ``{name}``, that before ``{proxy+}``. If its routes lack
    the method, the request falls through to a ``{proxy+}`` that has it.
    """
    segments = [part for part in path.split("/") if part]
    fitting = [
        Match(route, parameters)
        for route in routes
        if (parameters := _parameters(route.resource, segments)) is not None
    ]
    nearest = min((_rank(candidate.route) for candidate in fitting), default=[])
    usable = [
        candidate
        for candidate in fitting
        if candidate.route.method in (method, "ANY")
        and (_rank(candidate.route) == nearest or "+}" in candidate.route.resource)
    ]
    return min(usable, key=lambda candidate: _rank(candidate.route), default=None)


def _parameters(resource: str, segments: list[str]) -> dict[str, str] | None:
    parts = [part for part in resource.split("/") if part]
    values: dict[str, str] = {}
    for index, part in enumerate(parts):
        if index >= len(segments):
            return None
        if part.endswith("+}"):
            return {**values, part[1:-2]: "/".join(segments[index:])}
        if part.startswith("{"):
            values[part[1:-1]] = segments[index]
        elif part != segments[index]:
            return None
    return values if len(parts) == len(segments) else None


def _rank(route: Route) -> list[int]:
    return [
        2 if part.endswith("+}") else 1 if part.startswith("{") else 0 for part in route.resource.split("/") if part
    ]


def proxy_event(request: Request, route_match: Match, authorizer: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The event of a REST API's Lambda proxy integration."""
    body, is_base64 = _body(request.body)
    return {
        **_common(request, route_match),
        "requestContext": request_context(request, route_match, authorizer),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def authorizer_event(request: Request, route_match: Match) -> dict[str, Any]:
    """The event of an authorizer of type REQUEST."""
    return {
        "type": "REQUEST",
        "methodArn": method_arn(request),
        **_common(request, route_match),
        "requestContext": request_context(request, route_match, None),
    }


def method_arn(request: Request) -> str:
    """The ARN that an authorizer's policy speaks of."""
    return f"{API_ARN}/{request.method}{request.path}"


def request_context(request: Request, route_match: Match, authorizer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The event's requestContext, with the authorizer's context."""
    agent = next((value for name, value in request.headers if name.lower() == "user-agent"), None)
    context = {
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": "127.0.0.1",
        "extendedRequestId": request.request_id,
        "httpMethod": request.method,
        "identity": {"sourceIp": request.client, "userAgent": agent},
        "path": f"/{STAGE}{request.path}",
        "protocol": "HTTP/1.1",
        "requestId": request.request_id,
        "requestTimeEpoch": time.time_ns() // 1_000_000,
        "resourceId": "local",
        "resourcePath": route_match.route.resource,
        "stage": STAGE,
    }
    return context if authorizer is None else {**context, "authorizer": authorizer}


def _common(request: Request, route_match: Match) -> dict[str, Any]:
    query = _grouped(parse_qsl(request.query, keep_blank_values=True))
    headers = _grouped(request.headers)
    return {
        "resource": route_match.route.resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(route_match.parameters) or None,
        "stageVariables": None,
    }


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _body(body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def is_too_large(event: Mapping[str, Any]) -> bool:
    """Whether Lambda would refuse the event for its size."""
    return len(event["body"] or "") > MAX_EVENT_BYTES // 6 and len(json.dumps(event)) > MAX_EVENT_BYTES


def allows(answer: Mapping[str, Any], request: Request) -> bool:
    """Whether an authorizer's policy allows the request: an Allow that matches, and no Deny that does."""
    arn = method_arn(request)
    effects = {
        statement["Effect"]
        for statement in answer["policyDocument"]["Statement"]
        for resource in _listed(statement["Resource"])
        if fnmatchcase(arn, resource)
    }
    return effects == {"Allow"}


def caller_context(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What functions see of an authorizer's answer; its context values arrive as strings."""
    context = {name: _as_text(value) for name, value in answer.get("context", {}).items()}
    return {**context, "principalId": answer["principalId"]}


def _as_text(value: str | float | bool | None) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def to_answer(result: Any) -> Answer:
    """The HTTP answer of a function's result. Raises BadAnswer where API Gateway would answer 502."""
    if not isinstance(result, dict) or not isinstance(result.get("statusCode"), int):
        raise BadAnswer("a function answered without a statusCode")
    single = {name: [value] for name, value in (result.get("headers") or {}).items()}
    headers = {**single, **(result.get("multiValueHeaders") or {})}
    body = result.get("body") or ""
    size = len(json.dumps(result, ensure_ascii=False).encode())
    if size > MAX_RESULT_BYTES:
        raise BadAnswer(f"a function answered {size} bytes, more than the {MAX_RESULT_BYTES} that Lambda sends")
    return Answer(
        status=result["statusCode"],
        headers=tuple((name, str(value)) for name, values in headers.items() for value in values),
        body=base64.b64decode(body) if result.get("isBase64Encoded") else body.encode(),
    )


def gateway_answer(responses: Mapping[str, GatewayResponse], kind: str, request_id: str, message: str = "") -> Answer:
    """API Gateway's own answer of a kind, such as UNAUTHORIZED."""
    response = responses.get(kind) or responses["DEFAULT_5XX"]
    variables = {"requestId": request_id, "error.messageString": json.dumps(message)}
    body = re.sub(r"\$context\.(requestId|error\.messageString)", lambda name: variables[name[1]], response.body)
    return Answer(response.status, tuple(response.headers.items()), body.encode())
