"""Write ``openapi.json`` and the fallback's ``routes.json`` from the functions' resolvers; ``--check`` finds drift."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge

from annals import __version__
from local import template
from local.template import ROOT
from local.workers import load

DESCRIPTION = (
    "Append-only conversation memory for AI agents. Errors are problem details (RFC 9457) with a stable `code`."
)
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = {
    "description": "Problem details",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, in capitals: what programs should look at"},
        "detail": {"type": "string", "description": "What is wrong and what to do next"},
        "field": {"type": "string", "description": "The offending field, as the caller wrote it"},
        "requestId": {"type": "string"},
    },
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def document() -> dict[str, Any]:
    """The API's OpenAPI document."""
    merge = OpenAPIMerge(title="Annals", version=__version__, description=DESCRIPTION, on_conflict="error")
    for name, folder in template.read().functions.items():
        module = load(name, folder)
        app = getattr(module, "app", None)
        if isinstance(app, APIGatewayRestResolver):
            merge.add_schema(json.loads(app.get_openapi_json_schema(title=name)))
        elif hasattr(module, "openapi"):
            merge.add_schema(module.openapi())
    return _finished(merge.get_openapi_schema())


def routes(api: dict[str, Any]) -> dict[str, list[str]]:
    """The methods by path, as the fallback function reads them."""
    return {path: sorted(method.upper() for method in item if method in METHODS) for path, item in api["paths"].items()}


def _finished(api: dict[str, Any]) -> dict[str, Any]:
    """With what holds for all routes: callers, problems, and parameters named as in the template."""
    paths = {_camel_path(path): item for path, item in sorted(api["paths"].items())}
    for item in paths.values():
        for operation in item.values():
            _finish(operation)
    components = api.get("components", {})
    schemas = {**components.get("schemas", {}), "Problem": PROBLEM_SCHEMA}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return {
        **api,
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "components": {**components, "schemas": dict(sorted(schemas.items())), "securitySchemes": SECURITY_SCHEMES},
    }


def _finish(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = PROBLEM
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            parameter["name"] = _camel(parameter["name"])


def _camel_path(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: "{" + _camel(found[1]) + "}", path)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def files(api: dict[str, Any]) -> dict[Path, str]:
    """What is written where."""
    return {
        ROOT / "openapi.json": json.dumps(api, indent=2, ensure_ascii=False) + "\n",
        ROOT / "functions/fallback/routes.json": json.dumps(routes(api), indent=2) + "\n",
    }


def main() -> int:
    """The command line; 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m scripts.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    checks = parser.parse_args().check
    stale = [path for path, text in files(document()).items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if checks:
            sys.stderr.write(f"{name} is not what the functions say: run `make openapi` and commit it.\n")
        else:
            path.write_text(files(document())[path])
            sys.stdout.write(f"wrote {name}\n")
    return 1 if checks and stale else 0


if __name__ == "__main__":
    sys.exit(main())
