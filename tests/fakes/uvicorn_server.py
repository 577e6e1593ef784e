"""An ASGI app under uvicorn in a thread, and a client that reads the socket itself, so that nothing buffers for it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving_app(app: ASGIApp) -> Iterator[int]:
    """Serve on a free port of the loopback interface until the block ends; the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the app did not start"
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


@dataclass
class ReceivedEvent:
    """One server-sent event, and when it was on the socket."""

    name: str
    data: Any
    id: str | None
    at: float = field(default_factory=time.monotonic)


class Connection:
    """One HTTP exchange on a socket."""

    def __init__(self, port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        head = {"Host": "x", "Content-Length": str(len(body)), "Connection": "close", **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(self._header_lines())

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            yield name.lower(), value.strip()

    def chunks(self) -> Iterator[bytes]:
        """The chunks of the body, as the server wrote them."""
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            self._file.readline()

    def events(self) -> Iterator[ReceivedEvent | str]:
        """The events, each as soon as it is there; comments as strings."""
        waiting = b""
        for chunk in self.chunks():
            *frames, waiting = (waiting + chunk).split(b"\n\n")
            yield from map(_parse_event, frames)
        assert not waiting, "the stream ended in the middle of an event"

    def json(self) -> Any:
        """The whole body, which is JSON."""
        return json.loads(self._file.read(int(self.headers["content-length"])))

    def leave(self) -> None:
        """Go away without a word."""
        self._file.close()
        self.socket.close()


def _parse_event(frame: bytes) -> ReceivedEvent | str:
    if frame.startswith(b":"):
        return frame.decode()
    fields = dict(line.split(": ", 1) for line in frame.decode().split("\n"))
    return ReceivedEvent(fields["event"], json.loads(fields["data"]), fields.get("id"))
