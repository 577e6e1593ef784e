"""What S3 does for parts of messages, from a folder: it answers signed URLs, and deletes uploads that nobody named."""

from __future__ import annotations

import asyncio
import threading

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from annals.blobs.folder import PATH, FolderStore, Ticket, WrongBytes
from annals.blobs.store import BlobMissing

EVERY_S = 600.0
"""How often it is looked for uploads that are too old."""

DAY_S = 86_400.0
"""How long an upload is kept, as the bucket's lifecycle has it."""

UPLOADS = "uploads/"
"""How the keys of uploads begin."""

SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""What somebody stored is never shown as a page of this server."""


class BlobRoutes:
    """``GET`` and ``PUT`` of a folder's signed URLs."""

    def __init__(self, store: FolderStore) -> None:
        self._store = store

    @property
    def route(self) -> Route:
        """Where they are answered."""
        return Route(f"{PATH}{{ticket}}", self._answer, methods=["GET", "PUT"])

    async def _answer(self, request: Request) -> Response:
        # HEAD is GET without the bytes, to Starlette as to S3.
        method = "PUT" if request.method == "PUT" else "GET"
        ticket = self._store.open_ticket(request.path_params["ticket"], method)
        if ticket is None:
            return PlainTextResponse("This URL is not valid, or no longer.\n", 403)
        return await (self._receive(request, ticket) if method == "PUT" else self._send(ticket))

    async def _send(self, ticket: Ticket) -> Response:
        info = self._store.find(ticket.key)
        try:
            chunks = self._store.read(ticket.key)
        except BlobMissing:
            info = None
        if info is None:
            return PlainTextResponse("There is no such part, or no longer.\n", 404)
        headers = {**SAFE_HEADERS, "Content-Type": ticket.media_type, "Content-Length": str(info.size)}
        return StreamingResponse(chunks, headers=headers)

    async def _receive(self, request: Request, ticket: Ticket) -> Response:
        try:
            with self._store.receive(ticket.key, ticket.size, ticket.sha256) as file:
                async for chunk in request.stream():
                    await asyncio.to_thread(file.write, chunk)
        except (WrongBytes, ClientDisconnect):
            return PlainTextResponse("These are not the bytes that this URL was made for.\n", 400)
        return Response(status_code=200)


class UploadExpiry:
    """A thread that deletes uploads after a day."""

    def __init__(self, store: FolderStore) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(name="uploads", target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._store.delete_older(UPLOADS, DAY_S)
        while not self._stopping.wait(EVERY_S):
            self._store.delete_older(UPLOADS, DAY_S)
