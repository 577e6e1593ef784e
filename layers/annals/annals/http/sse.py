"""Server-sent events: a stream's response, and the format of its events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

CONTENT_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""No proxy before the caller may cache or buffer what is streamed."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: the stream goes on."""


class UnbrokenStream(StreamingResponse):
    """An event stream that goes on to its end when the client is gone, so that its request lasts as long as its work.

    On Lambda the request's end is the invocation's, and what is not done by then is frozen.
    """

    media_type = CONTENT_TYPE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames; to a client that is gone the server sends nothing."""
        await self.stream_response(send)


def frame(name: str, data: Mapping[str, Any], number: int | str | None = None) -> bytes:
    """One event, as bytes; ``number`` is its id.

    Its data is one line of JSON, so that no line of it is taken for a field.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    identified = f"id: {number}\n" if number is not None else ""
    return f"{identified}event: {name}\ndata: {text}\n\n".encode()
