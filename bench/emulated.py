"""The functions in this process over a MiniStack of their own: no HTTP in between, no other process to disturb."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3

from local import emulator, events, ministack, tables, template
from local.workers import Context, load

TENANT = "bench"
CALLER = {"tenant": TENANT, "keyId": "bench", "scopes": '["read", "write"]', "principalId": "bench"}


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """A MiniStack with the template's empty tables, named in the environment, gone afterwards."""
    os.environ.update({**emulator.CREDENTIALS, "POWERTOOLS_TRACE_DISABLED": "true", "EMBEDDINGS_URL": "offline"})
    described = template.read()
    with tempfile.TemporaryDirectory(prefix="annals-bench-") as name:
        folder = Path(name)
        running = ministack.start(folder)
        try:
            os.environ |= {"DYNAMODB_URL": running.url, **described.table_names}
            dynamodb = boto3.client("dynamodb", endpoint_url=running.url)
            tables.create_missing(dynamodb, described.tables)
            yield
        finally:
            running.stop(ministack.files(folder))


class Functions:
    """The template's functions, called as API Gateway calls them."""

    def __init__(self) -> None:
        self._template = template.read()
        self._modules = {
            name: load(name, self._template.functions[name])
            for name in ("append", "conversations", "messages", "project", "remember")
        }

    def request(
        self, method: str, path: str, body: str = "", query: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The answer of the function that the route belongs to. Raises RuntimeError where it refuses."""
        request = events.Request(method, path, query, tuple((headers or {}).items()), body.encode(), "127.0.0.1")
        route_match = events.match(self._template.routes, method, path)
        if route_match is None:
            raise RuntimeError(f"There is no route {method} {path}.")
        event = events.proxy_event(request, route_match, CALLER)
        answer: dict[str, Any] = self._modules[route_match.route.function].handler(
            event, Context(route_match.route.function)
        )
        if answer["statusCode"] >= 400:
            raise RuntimeError(answer["body"])
        return answer

    def project(self, pk: str, seq: int) -> None:
        """Hand the stream record of an entry to ``project``."""
        keys = {"pk": {"S": pk}, "sk": {"S": f"E#{seq:012d}"}}
        record = {"eventID": uuid.uuid4().hex, "dynamodb": {"Keys": keys, "SequenceNumber": "1"}}
        answer = self._modules["project"].handler({"Records": [record]}, Context("project"))
        if answer["batchItemFailures"]:
            raise RuntimeError("project failed")
