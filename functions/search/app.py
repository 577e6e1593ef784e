"""Search memories, recall for a prompt, and search conversations by their messages."""

from __future__ import annotations

from annals.answers import fitting_counted
from annals.conversations.models import ConversationHits, SearchConversations
from annals.http.app import Api
from annals.memory.recall.conversation_search import search_conversations
from annals.memory.recall.memory_search import search_memories
from annals.memory.recall.models import Hits, Recall, Recollection, Search
from annals.memory.recall.recalling import recall

app = Api()
handler = app.handler


@app.post("/v1/memory/search", tags=["Memory"])
def search(body: Search) -> Hits:
    """Find memories by meaning and by word. ``omitted`` is how many hits, the last ones, the answer has no room for."""
    caller = app.caller.require_scope("read")
    items, left_out = fitting_counted(search_memories(caller, body))
    return {"items": items, **left_out}  # type: ignore[typeddict-item]


@app.post("/v1/memory/recall", tags=["Memory"])
def recall_memories(body: Recall) -> Recollection:
    """Find facts and memories, and lay them out as text for a prompt that takes no more than so many tokens.

    The text names facts first, then memories in the order of time, each with its day; recent messages come beside it.
    """
    return recall(app.caller.require_scope("read"), body)


@app.post("/v1/conversations/search", tags=["Conversations"])
def search_them(body: SearchConversations) -> ConversationHits:
    """Find conversations by their messages, with the best messages of each."""
    caller = app.caller.require_scope("read")
    items, left_out = fitting_counted(search_conversations(caller, body))
    return {"items": items, **left_out}  # type: ignore[typeddict-item]
