"""The memory service: what it remembers of sessions, once, and forgets with them."""

from __future__ import annotations

from typing import Any

import pytest
from adk import APP, OF, USER, said
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.genai import types

from annals_client.integrations.google_adk import AnnalsMemoryService, AnnalsSessionService
from annals_client.testing import Annals, AsyncAnnals


@pytest.fixture
def sessions(async_annals: AsyncAnnals) -> AnnalsSessionService:
    return AnnalsSessionService(async_annals)


@pytest.fixture
def memories(sessions: AnnalsSessionService) -> AnnalsMemoryService:
    return AnnalsMemoryService(sessions)


async def found(annals: Annals, memories: AnnalsMemoryService, query: str, user_id: str = USER) -> list[str]:
    """What a search finds, once all of it can be found."""
    annals.settle()
    response = await memories.search_memory(app_name=APP, user_id=user_id, query=query)
    return [(entry.content.parts or [types.Part()])[0].text or "" for entry in response.memories]


async def told(sessions: Any, *words: str, session_id: str = "s", user_id: str = USER) -> Session:
    session: Session = await sessions.create_session(app_name=APP, user_id=user_id, session_id=session_id)
    for number, text in enumerate(words):
        await sessions.append_event(session, said(text, author="user" if number % 2 == 0 else "guide"))
    return session


async def test_what_is_said_in_a_session_is_found_without_being_added(
    sessions: AnnalsSessionService, memories: AnnalsMemoryService, annals: Annals
) -> None:
    session = await told(sessions, "I like Darjeeling.", "Noted: Darjeeling.")
    assert sorted(await found(annals, memories, "Darjeeling")) == ["I like Darjeeling.", "Noted: Darjeeling."]
    await memories.add_session_to_memory(session)
    await memories.add_events_to_memory(**OF, events=session.events, session_id="s")
    assert len(await found(annals, memories, "Darjeeling")) == 2
    assert len(list(annals.conversations.list())) == 1


async def test_a_memory_says_who_said_it_and_when(
    sessions: AnnalsSessionService, memories: AnnalsMemoryService, annals: Annals
) -> None:
    await told(sessions, "I like Darjeeling.", "Noted: Darjeeling.")
    annals.settle()
    response = await memories.search_memory(**OF, query="Darjeeling")
    seen = {(entry.author, entry.content.role) for entry in response.memories}
    assert seen == {("user", "user"), ("guide", "model")}
    assert all(entry.id and entry.timestamp and "T" in entry.timestamp for entry in response.memories)


async def test_a_user_finds_what_is_theirs_in_this_app(
    sessions: AnnalsSessionService, memories: AnnalsMemoryService, annals: Annals
) -> None:
    await told(sessions, "Ada likes Assam.")
    await told(sessions, "Bob likes Assam.", user_id="bob")
    assert await found(annals, memories, "Assam") == ["Ada likes Assam."]
    assert await found(annals, memories, "Assam", user_id="bob") == ["Bob likes Assam."]
    elsewhere = await memories.search_memory(app_name="other", user_id=USER, query="Assam")
    assert elsewhere.memories == []


async def test_a_deleted_session_is_forgotten(
    sessions: AnnalsSessionService, memories: AnnalsMemoryService, annals: Annals
) -> None:
    session = await told(sessions, "I like Darjeeling.")
    await memories.add_session_to_memory(session)
    await sessions.delete_session(**OF, session_id="s")
    assert await found(annals, memories, "Darjeeling") == []


async def test_sessions_of_another_service_are_remembered_once(memories: AnnalsMemoryService, annals: Annals) -> None:
    others = InMemorySessionService()  # type: ignore[no-untyped-call, unused-ignore]
    session = await told(others, "I like Darjeeling.", "Noted.")
    await others.append_event(session, said("", author="guide"))
    for _ in range(2):
        await memories.add_session_to_memory(session)
    await memories.add_events_to_memory(**OF, events=session.events[:1], session_id="s")
    assert (await found(annals, memories, "Darjeeling")).count("I like Darjeeling.") == 1
    await others.append_event(session, said("And Assam, like Darjeeling."))
    await memories.add_session_to_memory(session)
    assert "And Assam, like Darjeeling." in await found(annals, memories, "Darjeeling")
    (remembered,) = annals.conversations.list()
    assert remembered.message_count == 4


async def test_what_is_remembered_of_another_service_s_session_goes_with_its_deletion(
    sessions: AnnalsSessionService, memories: AnnalsMemoryService, annals: Annals
) -> None:
    session = await told(InMemorySessionService(), "I like Darjeeling.")  # type: ignore[no-untyped-call, unused-ignore]
    await memories.add_session_to_memory(session)
    await sessions.delete_session(**OF, session_id="s")
    assert await found(annals, memories, "Darjeeling") == []


async def test_a_long_session_of_another_service_is_added_again_and_again(
    memories: AnnalsMemoryService, annals: Annals
) -> None:
    others = InMemorySessionService()  # type: ignore[no-untyped-call, unused-ignore]
    session = await told(others, *(f"Tea number {number}." for number in range(15)))
    for _ in range(2):
        await memories.add_session_to_memory(session)
    (remembered,) = annals.conversations.list()
    assert remembered.message_count == 15
    assert [each.id for each in (await AnnalsSessionService(annals).list_sessions(**OF)).sessions] == []


async def test_events_without_a_session_are_remembered_with_their_metadata(
    memories: AnnalsMemoryService, annals: Annals
) -> None:
    events = [said("I like Darjeeling."), said("")]
    events[1].content = None
    await memories.add_events_to_memory(**OF, events=events, custom_metadata={"ttl": "30d"})
    annals.settle()
    (entry,) = (await memories.search_memory(**OF, query="Darjeeling")).memories
    assert entry.custom_metadata == {"ttl": "30d"}


def entry_of(text: str | None, **more: Any) -> MemoryEntry:
    parts = [types.Part(text=text)] if text is not None else [types.Part.from_bytes(data=b"x", mime_type="image/png")]
    return MemoryEntry(content=types.Content(role="user", parts=parts), **more)


async def test_memories_are_added_by_hand_and_replaced_by_their_ids(
    memories: AnnalsMemoryService, annals: Annals
) -> None:
    first = entry_of("Likes Darjeeling.", id="m/1", author="ada", custom_metadata={"sure": True})
    await memories.add_memory(**OF, memories=[first, entry_of("Has a Darjeeling cup.")], custom_metadata={"k": 1})
    await memories.add_memory(**OF, memories=[entry_of("Loves Darjeeling.", id="m/1", author="ada")])
    assert sorted(await found(annals, memories, "Darjeeling")) == ["Has a Darjeeling cup.", "Loves Darjeeling."]
    response = await memories.search_memory(**OF, query="Loves Darjeeling")
    assert response.memories[0].author == "ada"
    with pytest.raises(ValueError, match="text"):
        await memories.add_memory(**OF, memories=[entry_of("Fine."), entry_of(None)])
    assert await found(annals, memories, "Fine") == []


async def test_a_deleted_memory_is_not_found_and_not_added_again(
    sessions: AnnalsSessionService, memories: AnnalsMemoryService, annals: Annals
) -> None:
    session = await told(sessions, "I like Darjeeling.", "Darjeeling, noted.")
    annals.settle()
    by_author = {entry.author: entry for entry in (await memories.search_memory(**OF, query="Darjeeling")).memories}
    await memories.delete_memory(app_name=APP, user_id="bob", memory_id=by_author["user"].id)
    await memories.delete_memory(app_name="other", user_id=USER, memory_id=by_author["user"].id)
    assert len(await found(annals, memories, "Darjeeling")) == 2
    for _ in range(2):
        await memories.delete_memory(**OF, memory_id=by_author["user"].id)
    await memories.delete_memory(**OF, memory_id=None)
    await memories.delete_memory(**OF, memory_id="mem-unknown")
    await memories.add_session_to_memory(session)
    assert await found(annals, memories, "Darjeeling") == ["Darjeeling, noted."]
    assert len((await sessions.list_sessions(**OF)).sessions) == 1


async def test_a_search_finds_as_many_as_it_may(sessions: AnnalsSessionService, annals: Annals) -> None:
    await told(sessions, *(f"Darjeeling number {number}." for number in range(5)))
    assert len(await found(annals, AnnalsMemoryService(sessions, max_results=3), "Darjeeling")) == 3
    assert await found(annals, AnnalsMemoryService(sessions), " ") == []
    with pytest.raises(ValueError, match="max_results"):
        AnnalsMemoryService(sessions, max_results=0)
    with pytest.raises(TypeError, match="sessions="):
        AnnalsMemoryService(sessions, url="http://127.0.0.1:1")
