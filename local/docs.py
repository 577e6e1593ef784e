"""The API's documentation: ``openapi.json`` and a page that renders it, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from aws_lambda_powertools.event_handler.openapi.swagger_ui import generate_swagger_html
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

Endpoint = Callable[[Request], Awaitable[Response]]
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'"


def document(openapi: Path) -> Endpoint:
    """Answer with the OpenAPI document."""

    async def answer(_: Request) -> Response:
        return FileResponse(openapi, media_type="application/json")

    return answer


def page(openapi: Path) -> Endpoint:
    """Answer with Swagger UI, which Powertools carries, and the document, in one page."""

    async def answer(_: Request) -> Response:
        assets = files("aws_lambda_powertools.event_handler.openapi.swagger_ui")
        html = generate_swagger_html(
            spec=openapi.read_text().replace("</", "<\\/"),
            swagger_js=(assets / "swagger-ui-bundle.min.js").read_text(),
            swagger_css=(assets / "swagger-ui.min.css").read_text(),
            swagger_base_url="",
            oauth2_config=None,
            persist_authorization=True,
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    return answer
