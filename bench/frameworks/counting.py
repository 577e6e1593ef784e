"""A proxy that counts what passes: requests, and before a DynamoDB the capacity units that the database reports."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from annals.costs import WRITES

READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
COUNTED = READS | frozenset(WRITES)
NOT_PASSED_ON = ("transfer-encoding", "connection", "content-length", "accept-encoding")


@dataclass
class Used:
    """What was used: requests by operation, write units by table, and read units."""

    requests: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    read: float = 0.0

    def minus(self, before: Used) -> Used:
        """What was used since ``before``."""
        requests, written = Counter(self.requests), Counter(self.written)
        requests.subtract(before.requests)
        written.subtract(before.written)
        return Used(+requests, +written, self.read - before.read)


class CountingProxy:
    """Passes requests on, and counts them. It asks a DynamoDB for the capacity that each takes, and counts that.

    Of the capacity of a request that fails, the answer says nothing. Reading a DynamoDB's streams is not counted.
    """

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://")
        self._used = Used()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def used(self) -> Used:
        """What was used until now."""
        with self._lock:
            return Used(Counter(self._used.requests), Counter(self._used.written), self._used.read)

    @contextlib.contextmanager
    def serving(self) -> Iterator[CountingProxy]:
        """Answer until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def count(self, operation: str, capacity: Any) -> None:
        """Count a request, and what its answer reports."""
        parts = capacity if isinstance(capacity, list) else [capacity or {}]
        with self._lock:
            self._used.requests[operation] += 1
            for part in parts:
                units = part.get("CapacityUnits", 0.0)
                if operation in READS:
                    self._used.read += units
                elif units:
                    self._used.written[part.get("TableName", "")] += units


def _handler(proxy: CountingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one packet: its second one would wait for the acknowledgement of the first
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.upstream = HTTPConnection(proxy.target)

        def finish(self) -> None:
            self.upstream.close()
            super().finish()

        def do_GET(self) -> None:
            self._pass_on(b"", self.command)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target")
            operation = self.command if target is None else target.rpartition(".")[2]
            self._pass_on(_asking(body) if operation in COUNTED else body, operation)

        do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - http.server's names

        def _pass_on(self, body: bytes, operation: str) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
            self.upstream.request(self.command, self.path, body, headers)
            answer = self.upstream.getresponse()
            read = answer.read()
            if operation in COUNTED:
                proxy.count(operation, json.loads(read).get("ConsumedCapacity") if answer.status == 200 else None)
            elif operation == self.command:
                proxy.count(operation, None)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_PASSED_ON:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(read)))
            self.end_headers()
            self.wfile.write(read)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    return Handler


def _asking(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "ReturnConsumedCapacity": "INDEXES"}).encode()
