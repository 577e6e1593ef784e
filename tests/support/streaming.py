"""remember-stream as its clients see it: requests on a socket, to the function's app in this process or in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from annals.access.caller import Caller
from annals.database.dynamodb import client
from annals.settings import settings
from local.emulator import free_port
from tests.fakes.uvicorn_server import Connection, ReceivedEvent

ROOT = Path(__file__).parents[2]
PATH = "/v1/memory/remember-stream"
START_TIMEOUT_S = 30


@dataclass(frozen=True)
class Streams:
    """A client of the app on a port, that speaks for a caller."""

    port: int
    caller: Caller

    def __call__(self, message: str = "Where is my cat?", headers: dict[str, str] | None = None, **more: Any):
        """Post a turn."""
        turn = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": message, **more}
        named = {"Content-Type": "application/json", **self._context(), **(headers or {})}
        return Connection(self.port, "POST", PATH, json.dumps(turn).encode(), named)

    def follow(self, stream_id: str, after: int | str | None = None) -> Connection:
        """Ask for the rest of a stream."""
        named = {} if after is None else {"Last-Event-ID": str(after)}
        return Connection(self.port, "GET", f"{PATH}/{stream_id}", b"", self._context() | named)

    def at(self, port: int) -> Streams:
        """The same client of another process' app."""
        return replace(self, port=port)

    def limited(self, **more: Any) -> Streams:
        """The same client with another caller."""
        return replace(self, caller=replace(self.caller, **more))

    def _context(self) -> dict[str, str]:
        return {"x-amzn-request-context": json.dumps({"requestId": "r", "authorizer": self.caller.to_authorizer()})}


def events(connection: Connection) -> list[ReceivedEvent]:
    """All events of a stream."""
    assert connection.status == 200, connection.json()
    return [event for event in connection.events() if isinstance(event, ReceivedEvent)]


def as_tuples(received: list[ReceivedEvent]) -> list[tuple[str, str | None, Any]]:
    """What events say."""
    return [(event.name, event.id, event.data) for event in received]


def text_of(received: list[ReceivedEvent]) -> str:
    """What deltas say together."""
    return "".join(event.data["text"] for event in received if event.name == "delta")


def draft_items(tenant: str, stream_id: str) -> list[dict[str, Any]]:
    """The items of a draft."""
    pk = {"S": f"T#{tenant}#D#{stream_id}"}
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": pk}}
    return client().query(TableName=settings().state_table, **query)["Items"]


def forget_draft(tenant: str, stream_id: str) -> None:
    """Remove the items of a draft, as DynamoDB does when their time is over."""
    for item in draft_items(tenant, stream_id):
        client().delete_item(TableName=settings().state_table, Key={name: item[name] for name in ("pk", "sk")})


@contextmanager
def app_in_a_process() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The function's app in a process of its own, with this one's settings; it is killed at the block's end."""
    port = free_port()
    path = f"{ROOT / 'layers/annals'}:{ROOT}"
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "app:app"]
    process = subprocess.Popen(  # noqa: S603 - the app of this checkout
        command, cwd=ROOT / "functions/remember_stream", env={**os.environ, "PYTHONPATH": path}
    )
    try:
        _wait_until_ready(process, port)
        yield process, port
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, "the app did not start"
        assert time.monotonic() < deadline, "the app does not answer"
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
