"""Write ``openapi.json``, the fallback's ``routes.json`` and ``schemas/`` from the code; ``--check`` finds drift."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge

from annals import __version__
from annals.api.fields import MAX_EXTERNAL_ID_CHARS, MAX_ID_CHARS
from annals.conversations.formats import FORMATS, Format
from annals.conversations.query_params.imports import DRY_RUN, OWNER_PARAMS, SKIP_BROKEN
from annals.http.requests import COMPRESSED, JSON_LINES
from annals.memory.memories.memory_export_formats import FORMATS as MEMORY_FORMATS
from annals.memory.memories.memory_export_formats import Format as MemoryFormat
from annals.memory.memories.memory_query import EXPORT_PARAMS
from annals.memory.streaming.models import RememberStream
from local import template
from local.template import ROOT
from local.workers import load
from scripts import schemas
from scripts.openapi_more import IDEMPOTENCY_KEY, complete, operation_id

DESCRIPTION = "Append-only conversation memory for AI agents. Errors are problem details (RFC 9457)."
METHODS = ("get", "post", "put", "patch", "delete")
REFERENCE = "#/components/schemas/{model}"
PROBLEM = {
    "description": "Problem details",
    "content": {"application/problem+json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}},
}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "A stable code in capitals, for programs to check"},
        "detail": {"type": "string", "description": "What is wrong, and what to do next"},
        "field": {"type": "string", "description": "The offending field, as the caller wrote it"},
        "requestId": {"type": "string"},
    },
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
STREAM_EVENTS = "Server-sent events: start, context, delta (its SSE id is its number), and finally result or error."
STREAM_REPEATED = (
    "A request repeated with its Idempotency-Key gets the outcome of the first one, even while that is in progress. "
    "The model is called again only if no reply was stored."
)
ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS}
STREAM_ID = {"name": "streamId", "in": "path", "required": True, "schema": ID}
LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The number of the last delta that the client received; without it, the whole stream is sent",
    "schema": {"type": "integer", "minimum": 0},
}
MESSAGE_EVENTS = "Server-sent events: start (once more where the text begins anew), delta, and finally result or error."
CONVERSATION_ID = {"name": "conversationId", "in": "path", "required": True, "schema": ID}
EXTERNAL_ID = {
    "name": "messageId",
    "in": "path",
    "required": True,
    "description": "The message's externalId",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_EXTERNAL_ID_CHARS},
}
LAST_MESSAGE_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that the client received; without it, the text is sent from its beginning",
    "schema": {"type": "string", "pattern": "^[0-9]{1,16}-[0-9]{1,9}$"},
}
EXPORT_FILE = "The file. If it cannot be completed, the connection breaks off: half a file never looks complete."
USER_EXPORT = (
    "Each line has a type: conversation and message for the user's own conversations, message for the user's messages "
    "in other conversations, userMemory, and memory, which includes facts. "
    "Data stored a moment ago may be missing."
)
IMPORT_TYPES = {
    **{kind: {"schema": {"type": "string"}} for kind in (*JSON_LINES, "text/csv")},
    **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in COMPRESSED},
}
IMPORT_BODY = {"required": True, "content": IMPORT_TYPES}
IMPORT_QUERY = [
    *({"name": name, "in": "query", "schema": ID} for name in OWNER_PARAMS),
    *({"name": name, "in": "query", "schema": {"type": "boolean"}} for name in (SKIP_BROKEN, DRY_RUN)),
]


def document() -> dict[str, Any]:
    """The API's OpenAPI document."""
    described = template.read()
    merge = OpenAPIMerge(title="Annals", version=__version__, description=DESCRIPTION, on_conflict="error")
    merge.add_schema(_stream_schema())
    for name, folder in described.buffered.items():
        module = load(name, folder)
        if hasattr(module, "app"):
            merge.add_schema(_resolver_schema(module))
    merge.add_schema(_export_schema())
    open_paths = {route.resource for route in described.routes if not route.authorized}
    api = merge.get_openapi_schema()
    api["paths"]["/v1/conversations/import"]["post"] |= {"parameters": IMPORT_QUERY, "requestBody": IMPORT_BODY}
    return _finished(api, open_paths)


def routes(api: dict[str, Any]) -> dict[str, list[str]]:
    """The methods of each path, as the fallback function reads them."""
    return {path: sorted(method.upper() for method in item if method in METHODS) for path, item in api["paths"].items()}


def _resolver_schema(module: ModuleType) -> dict[str, Any]:
    """A function's routes, described by their docstrings."""
    schema: dict[str, Any] = json.loads(module.app.get_openapi_json_schema())
    for path, item in schema["paths"].items():
        for operation in item.values():
            name = operation["operationId"].partition("_v1_")[0]
            summary, _, rest = inspect.cleandoc(getattr(module, name).__doc__).partition("\n")
            operation |= {"operationId": operation_id(name, path), "summary": summary}
            if rest.strip():
                operation["description"] = rest.strip()
            complete(operation, getattr(module, name))
    return schema


def _stream_schema() -> dict[str, Any]:
    """The routes of streamed replies, which have no resolver."""
    model = RememberStream.model_json_schema(by_alias=True, ref_template=REFERENCE)
    schemas = {**model.pop("$defs", {}), "RememberStream": model}
    body = {"application/json": {"schema": {"$ref": REFERENCE.format(model="RememberStream")}}}
    events = {"description": STREAM_EVENTS, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    begin = {
        "tags": ["Memory"],
        "operationId": "rememberStream",
        "summary": "Store the user's message, then stream the model's reply as it is generated.",
        "description": STREAM_REPEATED,
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": events},
    }
    follow = {
        "tags": ["Memory"],
        "operationId": "followStream",
        "summary": "Stream the rest of a reply, starting after the delta Last-Event-ID.",
        "parameters": [STREAM_ID, LAST_EVENT_ID],
        "responses": {"200": events},
    }
    follow_message = {
        "tags": ["Messages"],
        "operationId": "followMessage",
        "summary": "Stream a message while it is said, and at last as it is stored.",
        "parameters": [CONVERSATION_ID, EXTERNAL_ID, LAST_MESSAGE_EVENT_ID],
        "responses": {"200": {**events, "description": MESSAGE_EVENTS}},
    }
    path = "/v1/memory/remember-stream"
    return {
        "paths": {
            path: {"post": begin},
            f"{path}/{{streamId}}": {"get": follow},
            "/v1/conversations/{conversationId}/messages/{messageId}/stream": {"get": follow_message},
        },
        "components": {"schemas": schemas},
    }


FORMULAS = {
    "name": "formulas",
    "in": "query",
    "schema": {"type": "string", "enum": ["guard", "keep"], "default": "guard"},
}
"""How CSV exports treat texts that a spreadsheet would compute."""


def _export_schema() -> dict[str, Any]:
    """The routes that stream files, which have no resolver either."""
    options = [
        {"name": "format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS), "default": "json"}},
        {"name": "includeMetadata", "in": "query", "schema": {"type": "boolean", "default": True}},
        {"name": "parts", "in": "query", "schema": {"type": "string", "enum": ["inline", "references"]}},
        FORMULAS,
    ]
    file = _file(FORMATS)
    one_operation = {
        "tags": ["Conversations"],
        "operationId": "exportConversation",
        "summary": "Stream a conversation with all its messages as a file.",
        "parameters": [CONVERSATION_ID, *options],
        "responses": {"200": file},
    }
    many_operation = {
        "tags": ["Conversations"],
        "operationId": "exportConversations",
        "summary": "Stream all conversations that match a filter as one file, oldest first.",
        "description": "Every other query parameter is a filter, as in the list of conversations.",
        "parameters": options,
        "responses": {"200": file},
    }
    memories_operation = {
        "tags": ["Memories"],
        "operationId": "exportMemories",
        "summary": "Stream all memories that match a filter as one file, newest first.",
        "description": "Every other query parameter is a filter, as in the list of memories.",
        "parameters": _memory_options(),
        "responses": {"200": _file(MEMORY_FORMATS)},
    }
    user = {"name": "userId", "in": "path", "required": True, "schema": ID}
    lines = {"description": EXPORT_FILE, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
    user_operation = {
        "tags": ["Users"],
        "operationId": "exportUser",
        "summary": "Stream all data of a user as JSON lines.",
        "description": USER_EXPORT,
        "parameters": [user],
        "responses": {"200": lines},
    }
    paths = {
        "/v1/conversations/{conversationId}/export": one_operation,
        "/v1/conversations/export": many_operation,
        "/v1/memories/export": memories_operation,
        "/v1/users/{userId}/export": user_operation,
    }
    return {"paths": {path: {"get": operation} for path, operation in paths.items()}}


def _memory_options() -> list[dict[str, Any]]:
    kinds = {"type": "string", "enum": list(MEMORY_FORMATS), "default": "json"}
    flags = [name for name in EXPORT_PARAMS if name.startswith("include")]
    return [
        {"name": "format", "in": "query", "schema": kinds},
        {"name": "memorySpaceId", "in": "query", "schema": ID},
        FORMULAS,
        *({"name": name, "in": "query", "schema": {"type": "boolean", "default": False}} for name in flags),
    ]


def _file(formats: Mapping[str, Format | MemoryFormat]) -> dict[str, Any]:
    """The response that is a file in one of these formats."""
    kinds = sorted({each.content_type.partition(";")[0] for each in formats.values()})
    return {"description": EXPORT_FILE, "content": {kind: {"schema": {"type": "string"}} for kind in kinds}}


def _finished(api: dict[str, Any], open_paths: set[str]) -> dict[str, Any]:
    """Add what all routes share: security, problems, and parameters named as in the template."""
    paths = {_camel_path(path): item for path, item in sorted(api["paths"].items())}
    for path, item in paths.items():
        for operation in item.values():
            _finish(operation)
            if path in open_paths:
                operation["security"] = []
    schemas = {**api["components"]["schemas"], "Problem": PROBLEM_SCHEMA}
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return {
        **api,
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": SECURITY_SCHEMES},
    }


def _finish(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = PROBLEM
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            parameter["name"] = _camel(parameter["name"])


def _camel_path(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda match: "{" + _camel(match[1]) + "}", path)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def files() -> dict[Path, str]:
    """The text of each generated file."""
    api = document()
    return {
        # Docstrings mark names as in reStructuredText; readers of the document render Markdown.
        ROOT / "openapi.json": json.dumps(api, indent=2, ensure_ascii=False).replace("``", "`") + "\n",
        ROOT / "functions/fallback/routes.json": json.dumps(routes(api), indent=2) + "\n",
        **schemas.files(),
    }


def main() -> int:
    """Run the command line; return 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m scripts.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a file is out of date")
    checks = parser.parse_args().check
    stale = {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        name = path.relative_to(ROOT)
        if checks:
            sys.stderr.write(f"{name} is out of date: run `make openapi` and commit it.\n")
        else:
            path.write_text(text)
            sys.stdout.write(f"wrote {name}\n")
    return 1 if checks and stale else 0


if __name__ == "__main__":
    sys.exit(main())
