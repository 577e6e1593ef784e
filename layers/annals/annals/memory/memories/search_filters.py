"""The API's filter of memories, as the search index takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from annals.access.caller import Caller
from annals.memory.index_pages import visible_scope
from annals.memory.memories.models import SearchFilter
from annals.search.protocol import Filters, Scope


def memory_scope(caller: Caller, memory_space_id: str | None, search_filter: SearchFilter) -> Scope:
    """What of the index a list may show."""
    return visible_scope(caller, memory_space_id, to_filters(search_filter))


def to_filters(search_filter: SearchFilter) -> Filters:
    """A filter as the search index takes it; archived memories are left out unless it names them."""
    return Filters(
        status=search_filter.status,
        user_id=search_filter.user_id,
        agent_id=search_filter.agent_id,
        participant_id=search_filter.participant_id,
        conversation_id=search_filter.conversation_id,
        thread_id=search_filter.thread_id,
        run_id=search_filter.run_id,
        role=search_filter.role,
        source_type=search_filter.source_type,
        content_type=search_filter.content_type,
        tags_any=tuple(search_filter.tags or ()),
        tags_all=tuple(search_filter.tags_all or ()),
        importance_min=search_filter.importance_min,
        importance_max=search_filter.importance_max,
        since=search_filter.created_after,
        until=search_filter.created_before,
        metadata=dict(_flatten(search_filter.metadata or {})),
    )


def _flatten(metadata: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested metadata as values by dotted path."""
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
