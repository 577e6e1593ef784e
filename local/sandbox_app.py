"""What a sandbox serves: the development server's parts, and a way to wait for what follows the streams."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.gateway import create_app
from local.server import Server, blob_routes, create_tables, expiry, readers, run, streaming
from local.streams import DeadLetters, Pace
from local.template import ROOT, Template
from local.wakeup import Wakeup, ring_on_writes
from local.workers import Workers

WORKERS = 3
"""How many events are worked on at once, those of streams among them."""
PACE = Pace(pause_s=0.01, drain_s=0.0)
"""A test waits for the readers, writes little, and wants nothing kept."""


def serve(described: Template, folder: Path, listener: socket.socket, announce: Callable[[], object]) -> None:
    """Serve until the standard input ends.

    Parameters
    ----------
    folder : of the search index and what else is kept for the time
    tell : called when the server answers
    """
    with contextlib.ExitStack() as stack:
        create_tables(described)
        apps = streaming(described)
        written = Wakeup()
        workers = Workers(WORKERS, written)
        stack.callback(workers.stop)
        ring_on_writes(written.ring)
        following = readers(described, workers, folder, written, PACE)
        following.start()
        stack.callback(following.stop)
        expiring = expiry(described)
        expiring.start()
        stack.callback(expiring.stop)
        beside = [SettleRoute(following).route, *blob_routes(stack)]
        app = create_app(described, workers, apps, ROOT / "openapi.json", beside)
        server = Server(app, announce)
        threading.Thread(name="input", target=_end_with_input, args=[server], daemon=True).start()
        run(server, listener)


def _end_with_input(server: Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


class Following(Protocol):
    """Readers of streams."""

    dead_letters: DeadLetters

    def settle(self, timeout_s: float) -> list[str]:
        """Have what is written worked off; those that were not done in time."""


class SettleRoute:
    """``POST /settle?timeout_s=``: answers when what follows from what was written before is done, such as indexing."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._lost = 0

    @property
    def route(self) -> Route:
        """Where it is asked."""
        return Route("/settle", self._settle, methods=["POST"])

    async def _settle(self, request: Request) -> Response:
        timeout_s = float(request.query_params["timeout_s"])
        behind = await asyncio.to_thread(self._following.settle, timeout_s)
        if behind:
            return _problem(
                409,
                "NOT_SETTLED",
                f"After {timeout_s:g} s there still is work for {', '.join(behind)}; the log may say why.",
            )
        lost = self._following.dead_letters.read()[self._lost :]
        self._lost += len(lost)
        if lost:
            reasons = "; ".join(f"{each['mapping']}: {each['reason']}" for each in lost)
            return _problem(500, "NOT_WORKED_OFF", f"What follows from {len(lost)} of the writes failed: {reasons}")
        return Response(status_code=204)


def _problem(status: int, code: str, detail: str) -> Response:
    return JSONResponse({"status": status, "code": code, "title": "Not settled", "detail": detail}, status)
