"""Searching a user's memories: the newest, the oldest, by words, or by meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from annals.access.caller import Caller
from annals.answers import fitting_counted
from annals.memory import adapters
from annals.memory.index_pages import visible_scope
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.users.models import SearchUserMemories, UserMemory, UserMemoryResults
from annals.memory.users.user_memories import UserMemoryFilter, present_user_memory, walk_user_memories
from annals.search import engine
from annals.search.protocol import USER_MEMORY, Filters

_WORD = re.compile(r"\w+")


def search_user_memories(caller: Caller, user_id: str, search: SearchUserMemories) -> UserMemoryResults:
    """The memories of a user that a search finds. Raises InvalidInput, and SearchUnavailable for a semantic one.

    Of those for which the answer has no room, the last ones are left out; of the newest, the older ones.
    """
    if search.method == "semantic":
        items, left_out = fitting_counted(_search_by_meaning(caller, user_id, search))
    else:
        memories = islice(_walk_matches(caller, user_id, search), search.limit)
        items, left_out = fitting_counted(map(present_user_memory, memories))
    # The newest were read newest first, so that the limit leaves them; the answer has them in the order of time.
    in_order = items[::-1] if search.method == "last_n" else items
    return {"items": in_order, **left_out}  # type: ignore[typeddict-item]


def _walk_matches(caller: Caller, user_id: str, search: SearchUserMemories) -> Iterator[StoredMemory]:
    memory_filter = UserMemoryFilter(search.agent_id, search.topic, search.memory_space_id)
    if search.method != "text":
        return walk_user_memories(caller, user_id, memory_filter, newest_first=search.method == "last_n")
    words = set(_words(search.require_query()))
    memories = walk_user_memories(caller, user_id, memory_filter, newest_first=True)
    return (memory for memory in memories if words <= set(_words(memory.content)))


def _search_by_meaning(caller: Caller, user_id: str, search: SearchUserMemories) -> list[UserMemory]:
    """The memories that the search index finds, as they are stored now."""
    filters = Filters(
        user_id=user_id,
        source_type=USER_MEMORY,
        agent_id=search.agent_id,
        tags_all=(search.topic,) if search.topic else (),
    )
    request = engine.SearchRequest(
        scope=visible_scope(caller, search.memory_space_id, filters), query=search.require_query(), limit=search.limit
    )
    stored = {memory.memory_id: memory for memory in walk_user_memories(caller, user_id)}
    hits = engine.search(adapters.index(), adapters.embedder(), request)
    return [
        {**present_user_memory(stored[hit.document.memory_id]), "score": hit.score}
        for hit in hits
        if hit.document.memory_id in stored
    ]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
