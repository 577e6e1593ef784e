"""Say that the service is up, and refuse what is no route: 404 for the path, 405 for the method."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from pydantic import BaseModel

from annals import __version__
from annals.api.problems import CONTENT_TYPE, problem_details
from annals.errors import AnnalsError, MethodNotAllowed, NotFound
from annals.http.app import Api

app = Api()
handler = app.handler


class Health(BaseModel):
    """That the service answers, and which version it is."""

    status: Literal["ok"] = "ok"
    version: str = __version__


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
    allowed = methods_of(path)
    if not allowed:
        return answer(NotFound(f"There is no route {path}."), {})
    detail = f"{path} takes {', '.join(allowed)}, not {app.current_event.http_method}."
    return answer(MethodNotAllowed(detail), {"Allow": ", ".join(allowed)})


def answer(error: AnnalsError, headers: dict[str, str]) -> Response[str]:
    """The error as problem details."""
    body = json.dumps(problem_details(error, app.current_event.request_context.request_id))
    return Response(error.status, CONTENT_TYPE, body, headers)


def methods_of(path: str) -> list[str]:
    """The methods of the routes that a path is one of, the most literal path template first."""
    segments = [part for part in path.split("/") if part]
    found = [template for template in routes() if fits(template, segments)]
    return routes()[min(found, key=lambda template: template.count("{"))] if found else []


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
