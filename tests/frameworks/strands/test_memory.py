"""Strands' memory over Annals."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from answering import Answering
from strands import Agent
from strands.memory import MemoryManager
from strands.memory.types import AddMessagesContext, MemoryStore

from annals_client import AnnalsError
from annals_client.integrations.strands import AnnalsMemoryStore, AnnalsSessionManager
from annals_client.testing import Annals

SAID: list[Any] = [
    {"role": "user", "content": [{"text": "I am allergic to peanuts."}]},
    {"role": "assistant", "content": [{"text": "ok"}]},
    {"role": "user", "content": [{"text": "ok"}]},
]


def store(annals: Annals, user: str | None = "ada", **options: Any) -> AnnalsMemoryStore:
    """A memory that may be written to."""
    return AnnalsMemoryStore("notes", annals, user_id=user, **{"writable": True, **options})


def numbers(*these: int) -> AddMessagesContext:
    """What the manager says of messages."""
    return AddMessagesContext(sequence_numbers=[*these])


async def found(memory: AnnalsMemoryStore, query: str) -> list[str]:
    """The contents that are found."""
    return [entry.content for entry in await memory.search(query, {"max_search_results": 20})]


async def test_what_is_added_is_found_with_its_metadata(annals: Annals) -> None:
    memory: MemoryStore = store(annals)
    added = await memory.add("Ada prefers window seats.", {"source": "chat", "at": {1, 2}})
    annals.settle()
    (entry,) = await memory.search("Which seats?")
    assert entry.content == "Ada prefers window seats."
    assert entry.metadata is not None
    assert (entry.metadata["memory_id"], entry.metadata["source"]) == (added, "chat")
    assert 0 < entry.metadata["score"] <= 1


async def test_what_is_added_twice_is_there_once(annals: Annals) -> None:
    memory = store(annals)
    first, second = await asyncio.gather(memory.add("Ada likes tea."), memory.add("Ada likes tea."))
    assert first == second == await memory.add("Ada likes tea.", {"again": True})
    annals.settle()
    assert annals.memories.count(memory_space_id="strands") == 1


async def test_messages_of_a_batch_that_is_sent_again_are_stored_once(annals: Annals) -> None:
    memory = store(annals)
    first = await memory.add_messages(SAID[:2], numbers(0, 3))
    again = await memory.add_messages(SAID, numbers(0, 3, 4))
    assert again[:2] == first
    (conversation,) = annals.conversations.list(user_id="ada")
    stored = annals.messages.latest(conversation.conversation_id)
    assert [(each.role, each.content) for each in stored] == [
        ("user", "I am allergic to peanuts."),
        ("assistant", "ok"),
        ("user", "ok"),
    ]
    annals.settle()
    assert "I am allergic to peanuts." in await found(memory, "peanuts")


async def test_numbers_begin_again_with_each_run(annals: Annals) -> None:
    memory = store(annals)
    for text in ("first run", "second run"):
        await memory.initialize()
        await memory.add_messages([{"role": "user", "content": [{"text": text}]}], numbers(0))
    annals.settle()
    assert sorted(await found(memory, "run")) == ["first run", "second run"]


async def test_messages_without_numbers_are_all_stored(annals: Annals) -> None:
    memory = store(annals)
    assert await memory.add_messages([]) == []
    for _ in range(2):
        await memory.add_messages(SAID[:1])
    (conversation,) = annals.conversations.list(user_id="ada")
    assert len([*annals.messages.list(conversation.conversation_id)]) == 2


async def test_a_user_finds_nothing_of_another(annals: Annals) -> None:
    await store(annals, "bob").add("Bob likes coffee.")
    await store(annals).add("Ada likes tea.")
    annals.settle()
    assert await found(store(annals), "Who likes coffee?") == ["Ada likes tea."]
    assert sorted(await found(store(annals, None), "Who likes what?")) == ["Ada likes tea.", "Bob likes coffee."]


async def test_no_more_is_found_than_asked_for(annals: Annals) -> None:
    memory = store(annals, None, max_search_results=2)
    for number in range(4):
        await memory.add(f"Note {number} about tea")
    annals.settle()
    assert len(await memory.search("tea")) == 2
    assert len(await memory.search("tea", {"max_search_results": 4})) == 4
    assert len(await store(annals, None).search("tea")) == 3
    assert await store(annals, None, min_score=1.0).search("coffee") == []


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_below_one_is_refused(annals: Annals, limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        store(annals, max_search_results=limit)
    with pytest.raises(ValueError, match="at least 1"):
        await store(annals).search("tea", {"max_search_results": limit})


async def test_a_store_that_is_not_writable_takes_nothing(annals: Annals) -> None:
    memory = store(annals, writable=False)
    with pytest.raises(ValueError, match="not writable"):
        await memory.add("tea")
    with pytest.raises(ValueError, match="not writable"):
        await memory.add_messages(SAID)
    with pytest.raises(ValueError, match="empty"):
        await store(annals).add(" ")
    with pytest.raises(ValueError, match="one for each"):
        await store(annals).add_messages(SAID, numbers(1))


async def test_a_failure_is_raised_and_logged_first(annals_url: str, caplog: pytest.LogCaptureFixture) -> None:
    memory = AnnalsMemoryStore("notes", url=annals_url, key="wrong", writable=True)
    with caplog.at_level(logging.ERROR), pytest.raises(AnnalsError):
        await memory.search("tea")
    assert "notes could not be searched" in caplog.text
    memory.close()


def test_an_agent_is_told_what_was_said_in_an_earlier_session(annals: Annals) -> None:
    sessions = [AnnalsSessionManager(name, annals, user_id="ada") for name in ("monday", "tuesday")]
    Agent(model=Answering("Noted."), session_manager=sessions[0], callback_handler=None)("I am allergic to peanuts.")
    annals.settle()
    model = Answering("No satay, then.")
    memory = MemoryManager(stores=[store(annals, writable=False)])
    agent = Agent(model=model, session_manager=sessions[1], memory_manager=memory, callback_handler=None)
    agent("What can I eat? I mean, with my allergic reactions to peanuts?")
    assert "I am allergic to peanuts." in str(model.asked[0])
    assert "I am allergic to peanuts." not in str(agent.messages)


def test_an_agents_messages_are_extracted_once(annals: Annals) -> None:
    memory = MemoryManager(stores=[store(annals, extraction=True)], injection=False)
    agent = Agent(model=Answering(*map(str, range(6))), memory_manager=memory, callback_handler=None)
    for number in range(6):
        agent(f"question {number}")
    asyncio.run(memory.flush())
    (conversation,) = annals.conversations.list(user_id="ada")
    assert [each.content for each in annals.messages.list(conversation.conversation_id)] == [
        text for number in range(6) for text in (f"question {number}", str(number))
    ]
