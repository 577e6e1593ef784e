"""A request's integration, as in API Gateway: its authorizer, its function, and what their results mean.

All of it happens in one process, a worker's, so that a request is handed over once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local import events, template
from local.events import Answer, BadAnswer, Match, Request
from local.workers import FunctionFailed, invoke


@dataclass(frozen=True)
class Refusal:
    """API Gateway answers by itself.

    Parameters
    ----------
    kind : of its answer, such as UNAUTHORIZED
    reason : what the log is to say of it, if anything
    """

    kind: str
    reason: str = ""


@dataclass(frozen=True)
class Allowed:
    """The caller as functions see it; None for routes without an authorizer."""

    caller: dict[str, Any] | None


def authorize(request: Request, route_match: Match) -> Allowed | Refusal:
    """Ask the route's authorizer."""
    if not route_match.route.authorized:
        return Allowed(None)
    authorizer = template.read().authorizer
    answer = invoke(authorizer, events.authorizer_event(request, route_match))
    if isinstance(answer, FunctionFailed):
        known = answer.message == "Unauthorized"
        return Refusal("UNAUTHORIZED") if known else Refusal("AUTHORIZER_FAILURE", _failure(authorizer, answer))
    return Allowed(events.caller_context(answer)) if events.allows(answer, request) else Refusal("ACCESS_DENIED")


def answer(request: Request, route_match: Match) -> Answer | Refusal:
    """The answer of the route's function to a request that its authorizer allows."""
    allowed = authorize(request, route_match)
    return _call(request, route_match, allowed.caller) if isinstance(allowed, Allowed) else allowed


def _call(request: Request, route_match: Match, caller: dict[str, Any] | None) -> Answer | Refusal:
    event = events.proxy_event(request, route_match, caller)
    if len(request.body) > events.MAX_BODY_BYTES or events.is_too_large(event):
        return Refusal("REQUEST_TOO_LARGE")
    function = route_match.route.function
    result = invoke(function, event)
    if isinstance(result, FunctionFailed):
        return Refusal("INTEGRATION_FAILURE", _failure(function, result))
    try:
        return events.to_answer(result)
    except BadAnswer as error:
        return Refusal("INTEGRATION_FAILURE", f"{function}: {error}")


def _failure(function: str, failure: FunctionFailed) -> str:
    return f"{function} failed\n{failure.trace.rstrip()}"
