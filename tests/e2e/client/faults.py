"""A proxy that loses answers: what was asked was done, but who asked can't know it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from tests.fakes.servers import Handler, Server, serving

KEPT = ("content-type", "retry-after", "etag")


class Proxy(Server):
    """The proxy. ``faults`` says of one answer after another behind how many chunks it is cut; None is whole."""

    def __init__(self, url: str, faults: Sequence[int | None]) -> None:
        super().__init__(ProxyHandler)
        self.upstream = httpx.Client(base_url=url, timeout=30)
        self.faults = list(faults)
        self.asked: list[str] = []


class ProxyHandler(Handler):
    """Hands a request on, and its answer back as far as it may."""

    server: Proxy

    def hand_on(self) -> None:
        fault = self.server.faults.pop(0) if self.server.faults else None
        self.server.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        with self.server.upstream.stream(self.command, self.path, content=body, headers=headers) as answer:
            self.hand_back(answer, fault)

    def hand_back(self, answer: httpx.Response, fault: int | None) -> None:
        if fault == 0:
            answer.read()
            self.break_off()
            return
        self.send_response(answer.status_code)
        for name in (name for name in KEPT if name in answer.headers):
            self.send_header(name, answer.headers[name])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate(answer.iter_bytes(), 1):
            self.chunk(chunk)
            if number == fault:
                self.break_off()
                return
        self.end_chunks()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on  # noqa: N815 - http.server's names


@contextmanager
def harmed(url: str, *faults: int | None) -> Iterator[Proxy]:
    """A proxy for as long as the block takes."""
    proxy = Proxy(url, faults)
    with serving(proxy), proxy.upstream:
        yield proxy
