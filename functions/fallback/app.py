"""Say that the service is up, and refuse what is no route: 404 for the path, 405 for the method."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from annals.api.models import Health
from annals.api.problems import CONTENT_TYPE, problem_details
from annals.errors import AnnalsError, MethodNotAllowed, NotFound
from annals.http.app import Api

app = Api()
handler = app.handler


@app.get("/v1/health", tags=["Health"], security=[])
def health() -> Health:
    """Whether the service is up; needs no key."""
    return Health()


@app.exception_handler(NotFoundError)
def refuse(_: NotFoundError) -> Response[str]:
    """Name the methods that the path has, or say that there is no such path.

    API Gateway sends a known path with a method that it lacks to the greedy route, like an unknown path.
    """
    path = app.current_event.path
    allowed = allowed_methods(path)
    if not allowed:
        return problem_response(NotFound(f"There is no route {path}."), {})
    detail = f"{path} takes {', '.join(allowed)}, not {app.current_event.http_method}."
    return problem_response(MethodNotAllowed(detail), {"Allow": ", ".join(allowed)})


def problem_response(error: AnnalsError, headers: dict[str, str]) -> Response[str]:
    """The error as problem details."""
    body = json.dumps(problem_details(error, app.current_event.request_context.request_id))
    return Response(error.status, CONTENT_TYPE, body, headers)


def allowed_methods(path: str) -> list[str]:
    """The methods of the route that a path belongs to, of the most literal template if of several; empty for none."""
    segments = [part for part in path.split("/") if part]
    templates = [template for template in routes() if fits(template, segments)]
    return routes()[min(templates, key=lambda template: template.count("{"))] if templates else []


@cache
def routes() -> dict[str, list[str]]:
    """The API's methods by path template."""
    known: dict[str, list[str]] = json.loads((Path(__file__).parent / "routes.json").read_text())
    return known


def fits(template: str, segments: list[str]) -> bool:
    """Whether the path's segments are those of the template."""
    parts = template.strip("/").split("/")
    return len(parts) == len(segments) and all(
        part.startswith("{") or part == segment for part, segment in zip(parts, segments, strict=True)
    )
