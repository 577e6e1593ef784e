"""The API's documentation: ``openapi.json`` and a page that renders it, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

Endpoint = Callable[[Request], Awaitable[Response]]
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Annals: the API</title>
  <style>{css}</style>
</head>
<body>
  <div id="docs">Loading…</div>
  <script>{js}</script>
  <script>
    SwaggerUIBundle({{
      url: "/openapi.json", dom_id: "#docs", deepLinking: true, filter: true, docExpansion: "list",
      persistAuthorization: true,
    }});
  </script>
</body>
</html>
"""


def document(openapi: Path) -> Endpoint:
    """Answer with the OpenAPI document."""

    async def answer(_: Request) -> Response:
        return FileResponse(openapi, media_type="application/json")

    return answer


async def page(_: Request) -> Response:
    """Answer with Swagger UI, which Powertools carries; it reads the document from here."""
    return HTMLResponse(_html(), headers={"Content-Security-Policy": POLICY})


async def root(_: Request) -> Response:
    """Lead to the documentation."""
    return RedirectResponse("/docs")


@cache
def _html() -> str:
    assets = files("aws_lambda_powertools.event_handler.openapi.swagger_ui")
    return PAGE.format(
        js=(assets / "swagger-ui-bundle.min.js").read_text(), css=(assets / "swagger-ui.min.css").read_text()
    )
