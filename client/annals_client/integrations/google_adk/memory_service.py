"""The memory service."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import AnnalsError, NotFound
from annals_client.integrations.google_adk.events import FRAMEWORK, event_id_of, is_id, to_fields, to_json
from annals_client.integrations.google_adk.session_service import AnnalsSessionService, is_marked, memory_name
from annals_client.integrations.support import framework
from annals_client.models import Hit

with framework("google-adk"):
    from google.adk.events.event import Event
    from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
    from google.adk.memory.memory_entry import MemoryEntry
    from google.adk.sessions.session import Session
    from google.genai.types import Content, Part

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""The session of events that are remembered without one."""


class AnnalsMemoryService(BaseMemoryService):
    """What users said and agents answered, found by meaning and by word, and memories that are added by hand.

    The events of an AnnalsSessionService are remembered as they are appended: ``add_session_to_memory`` has nothing to
    store of them, and an erased session is forgotten. Those of other services' sessions are stored once, however often
    a session is added. A search finds what is this user's in this app; what was added a moment ago may be missing.

    Parameters
    ----------
    sessions : the session service beside it, whose client and memory spaces it uses; else
    client, url, key, memory_space_id : as of AnnalsSessionService
    max_results : how many memories a search finds at most
    """

    def __init__(
        self,
        sessions: AnnalsSessionService | None = None,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        memory_space_id: str | None = None,
        max_results: int = 10,
    ) -> None:
        given = sessions or AnnalsSessionService(client, url=url, key=key, memory_space_id=memory_space_id)
        if sessions is not None and (client, url, key, memory_space_id) != (None, None, None, None):
            raise TypeError("Give either sessions=, or client=, url=, key= and memory_space_id=")
        if max_results < 1:
            raise ValueError("max_results must be at least 1")
        self._sessions = given
        self._max_results = max_results

    async def close(self) -> None:
        """Close the connections that were opened here."""
        await self._sessions.close()

    async def add_session_to_memory(self, session: Session) -> None:
        """Remember a session's events."""
        if is_marked(session):
            return  # they are there already
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Remember events, each once; those without content are left out. ``custom_metadata`` is the messages'."""
        told = [event for event in events if event.content and event.content.parts]
        if not told:
            return
        annals, owner = self._sessions.clients.asynchronous, self._owner(app_name, user_id)
        name = self._sessions.name_of(app_name, session_id or UNKNOWN)
        if session_id and (kept := await annals.conversations.find_session(name, **owner)):
            told = await _without_stored(annals, kept.conversation_id, told)
        if not told:
            return
        memory = await annals.conversations.get_or_create_session(
            memory_name(name), metadata={FRAMEWORK: {"memoryOf": session_id or UNKNOWN}}, **owner
        )
        for event in await _without_stored(annals, memory.conversation_id, told):
            await _remember(annals, memory.conversation_id, event, custom_metadata)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Keep memories; one with an ``id`` replaces the one that has it.

        Raises
        ------
        ValueError : a memory says nothing
        """
        texts = [_text(entry.content) for entry in memories]
        if not all(text.strip() for text in texts):
            raise ValueError("A memory needs a text: its content has none")
        annals = self._sessions.clients.asynchronous
        for entry, text in zip(memories, texts, strict=True):
            metadata = {**entry.custom_metadata, **(custom_metadata or {}), **_own(entry)}
            external_id = entry.id if entry.id and is_id(entry.id) else str(uuid4())
            await annals.memories.put(external_id, text, metadata=metadata, **self._owner(app_name, user_id))

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """What is this user's in this app and fits the query, the best first."""
        if not query.strip():
            return SearchMemoryResponse()
        owner = self._owner(app_name, user_id)
        try:
            hits = await self._sessions.clients.asynchronous.memory.search(
                query, memory_space_id=owner["memory_space_id"], user_id=user_id, limit=self._max_results
            )
        except AnnalsError as failure:
            # The framework's tools go on without memories, and say less.
            logger.error("Memories could not be searched: %s", failure)
            raise
        return SearchMemoryResponse(memories=[_entry(hit) for hit in hits])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Delete a memory of this user in this app; nothing where there is none. The session keeps what was said."""
        if not memory_id:
            return
        annals, owner = self._sessions.clients.asynchronous, self._owner(app_name, user_id)
        try:
            memory = await annals.memories.get(memory_id)
            if (memory.memory_space_id, memory.user_id) == (owner["memory_space_id"], user_id):
                await annals.memories.delete(memory_id)
        except NotFound:
            return

    def _owner(self, app_name: str, user_id: str) -> dict[str, Any]:
        return {"memory_space_id": self._sessions.space_of(app_name), "user_id": user_id}


async def _without_stored(annals: AsyncAnnals, conversation_id: str, events: Sequence[Event]) -> list[Event]:
    """Those of some events that a conversation does not have. It is read from its end, until all are found."""
    missing = {event.id for event in events}
    async for message in annals.messages.list(conversation_id, order="desc", include_archived=True):
        if not missing:
            break
        missing.discard(event_id_of(message))
    return [event for event in events if event.id in missing]


async def _remember(
    annals: AsyncAnnals, conversation_id: str, event: Event, metadata: Mapping[str, object] | None
) -> None:
    fields = await to_fields(annals, to_json(event))
    if metadata:
        fields["metadata"] = dict(metadata)
    if is_id(event.id):
        fields["external_id"] = event.id
    await annals.messages.append(conversation_id, **fields)


def _entry(hit: Hit) -> MemoryEntry:
    own = hit.metadata.get(FRAMEWORK) or {}
    is_user = hit.role in ("user", None) and not hit.name
    return MemoryEntry(
        id=hit.memory_id,
        content=Content(role=own.get("role") or ("user" if is_user else "model"), parts=[Part(text=hit.content)]),
        author=own.get("author") or hit.name or ("user" if is_user else "model"),
        timestamp=own.get("timestamp") or hit.created_at.isoformat(),
        custom_metadata={name: value for name, value in hit.metadata.items() if name != FRAMEWORK},
    )


def _own(entry: MemoryEntry) -> dict[str, Any]:
    """What a memory says beside its text."""
    own = {"role": entry.content.role, "author": entry.author, "timestamp": entry.timestamp}
    given = {name: value for name, value in own.items() if value is not None}
    return {FRAMEWORK: given} if given else {}


def _text(content: Content) -> str:
    return "\n".join(part.text for part in content.parts or [] if part.text)
