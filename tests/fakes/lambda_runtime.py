"""A stand-in for Lambda: its Runtime and Extensions APIs on a socket, as the Lambda Web Adapter calls them.

A streamed answer is a JSON prelude with status and headers, eight NUL bytes, and then the body as it comes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from tests.fakes.servers import Handler, Server

PRELUDE_END = bytes(8)


@dataclass
class Invocation:
    """One event, and what was answered to it: chunks with the time of their arrival, None at the end."""

    event: dict[str, Any]
    chunks: Queue[tuple[float, bytes] | None] = field(default_factory=Queue)
    breaks_after: int | None = None

    def answer(self) -> Iterator[tuple[float, bytes]]:
        """The chunks, each as soon as it is there."""
        while chunk := self.chunks.get(timeout=30):
            yield chunk


class RuntimeHandler(Handler):
    """Hands out invocations and takes their answers."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if not self.path.endswith("/runtime/invocation/next"):
            self.server.stopping.wait()  # an extension waits for the next event of the environment's life
            return
        number, invocation = self.server.waiting.get()
        if invocation is None:
            self.close_connection = True
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": str(number),
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 900_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:stream",
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
        }
        self.answer(200, json.dumps(invocation.event).encode(), headers)

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        if self.path.endswith("/extension/register"):
            self.read_body()
            self.answer(200, b"{}", {"Lambda-Extension-Identifier": "adapter"})
        elif self.path.endswith("/response"):
            self.take_answer(self.server.invocations[int(self.path.split("/")[-2])])
        else:
            self.server.errors.append(b"".join(self.read_body()))
            self.answer(202, b"")

    def take_answer(self, invocation: Invocation) -> None:
        for count, chunk in enumerate(self.read_body()):
            invocation.chunks.put((time.monotonic(), chunk))
            if count == invocation.breaks_after:
                self.close_connection = True
                break
        else:
            self.answer(202, b"")
        invocation.chunks.put(None)

    def read_body(self) -> Iterator[bytes]:
        if "Content-Length" in self.headers:
            yield self.rfile.read(int(self.headers["Content-Length"]))
        elif "Transfer-Encoding" in self.headers:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # a trailer


class LambdaRuntime(Server):
    """The APIs; ``errors`` holds what the runtime reported as failed."""

    def __init__(self) -> None:
        super().__init__(RuntimeHandler)
        self.invocations: list[Invocation] = []
        self.waiting: Queue[tuple[int, Invocation | None]] = Queue()
        self.errors: list[bytes] = []

    def invoke(self, event: dict[str, Any], breaks_after: int | None = None) -> Invocation:
        """Hand an event to the function; with ``breaks_after``, the connection breaks at that chunk of its answer."""
        invocation = Invocation(event, breaks_after=breaks_after)
        self.invocations.append(invocation)
        self.waiting.put((len(self.invocations) - 1, invocation))
        return invocation

    def server_close(self) -> None:
        """Let those go who wait for an event."""
        self.waiting.put((0, None))
        super().server_close()
