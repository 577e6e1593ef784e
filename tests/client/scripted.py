"""A server that answers what a test tells it to, one answer for each request, and knows what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.servers import Handler, Server, serving


@dataclass(frozen=True)
class Answer:
    """An answer. One that is dropped closes the connection instead; one with chunks is cut off behind them if asked."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: bool = False
    chunks: Sequence[bytes] = ()
    cut: bool = False


@dataclass(frozen=True)
class RecordedRequest:
    """A request, as it came. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)


DROPPED = Answer(dropped=True)
UP = Answer(body={"status": "ok", "version": "1.2.3"})


def refused(status: int, code: str, **headers: str) -> Answer:
    """Problem details."""
    details = {
        "type": "about:blank",
        "title": "No",
        "status": status,
        "code": code,
        "detail": "No.",
        "requestId": "r-1",
    }
    return Answer(status, details, {name.replace("_", "-"): value for name, value in headers.items()})


class ScriptedServer(Server):
    """The server. Behind the last answer it is silent: another request is a failure of the test."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__(ScriptedHandler)
        self.answers = list(answers)
        self.requests: list[RecordedRequest] = []


class ScriptedHandler(Handler):
    """Gives the next answer, whatever is asked."""

    server: ScriptedServer

    def give(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(RecordedRequest(self.command, self.path, headers, body))
        answer = self.server.answers.pop(0)
        if answer.dropped:
            self.break_off()
        elif answer.chunks:
            self.begin_chunks(answer.headers.get("Content-Type", "text/event-stream"))
            for chunk in answer.chunks:
                self.chunk(chunk)
            self.break_off() if answer.cut else self.end_chunks()
        else:
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.answer(answer.status, body, dict(answer.headers))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = give  # noqa: N815 - http.server's names


@contextmanager
def scripted(*answers: Answer) -> Iterator[ScriptedServer]:
    """Serve until the block ends; by then every answer must have been asked for."""
    server = ScriptedServer(answers)
    with serving(server):
        yield server
    assert not server.answers, "not every answer was asked for"
