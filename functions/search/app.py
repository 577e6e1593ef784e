"""Search the memories."""

from __future__ import annotations

from annals.http.app import Api
from annals.memory.models import Hits, Search
from annals.memory.searching import search_memories

app = Api()
handler = app.handler


@app.post("/v1/memory/search", tags=["Memory"])
def search(body: Search) -> Hits:
    """Find memories by meaning and by word."""
    caller = app.caller.require("read")
    return {"items": search_memories(caller, body)}
