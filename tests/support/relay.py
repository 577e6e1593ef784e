"""A door for containers: an address of this machine that they reach, behind which a port of its loopback is."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def relaying(address: str, port: int) -> Iterator[str]:
    """Pass connections to ``address`` on to a loopback port; gives the URL at that address."""
    with _Door((address, 0), _Connection) as door:
        door.port = port
        Thread(target=door.serve_forever, daemon=True).start()
        try:
            yield f"http://{address}:{door.server_address[1]}"
        finally:
            door.shutdown()


class _Door(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    port: int


class _Connection(socketserver.BaseRequestHandler):
    server: _Door

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as far:
            back = Thread(target=_copy, args=(far, self.request), daemon=True)
            back.start()
            _copy(self.request, far)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
