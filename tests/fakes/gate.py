"""A gate in front of an HTTP server: open, it passes everything on; closed, it breaks every connection off."""

from __future__ import annotations

from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.fakes.servers import Handler, Server

PASSED_ON = ("Content-Type", "Accept")
TIMEOUT_S = 60


class GateHandler(Handler):
    """Passes a request on."""

    server: Gate

    def pass_on(self) -> None:
        if not self.server.is_open:
            self.break_off()
            return
        connection = HTTPConnection(self.server.behind, timeout=TIMEOUT_S)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name in PASSED_ON if (value := self.headers.get(name))}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", answer.headers.get("Content-Length", str(len(content))))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = pass_on  # noqa: N815 - http.server's names


class Gate(Server):
    """The gate in front of ``url``."""

    def __init__(self, url: str) -> None:
        super().__init__(GateHandler)
        self.behind = urlsplit(url).netloc
        self.is_open = True
