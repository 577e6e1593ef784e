"""Memories of agno: each is its user's, and one user's are cleared without another's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from agno.db.schemas import UserMemory
from agno.memory import MemoryManager
from conftest import Requests
from scripted import ScriptedModel, calls, says

from annals_client.integrations.agno import AnnalsDb
from annals_client.testing import Annals

NOW = int(time.time())


def words(memories: Any) -> list[str]:
    return [memory.memory for memory in memories]


def remember(db: Any, user_id: str | None, *texts: str, **more: Any) -> None:
    for text in texts:
        db.upsert_user_memory(UserMemory(memory=text, user_id=user_id, **more))


def test_a_memory_comes_back_equal(new_db: Callable[[], Any]) -> None:
    memory = UserMemory(
        memory="Ada likes green tea.",
        memory_id="m / 1",
        topics=["tea", "Taste"],
        user_id="ada",
        input="I like green tea.",
        created_at=NOW - 100,
        updated_at=NOW - 50,
        feedback="good",
        agent_id="guide",
        team_id="crew",
    )
    new_db().upsert_memories([memory], preserve_updated_at=True)
    assert new_db().get_user_memory("m / 1") == memory
    assert new_db().get_user_memories("ada") == [memory]
    row = new_db().get_user_memory("m / 1", deserialize=False)
    assert isinstance(row, dict)
    assert UserMemory.from_dict(row) == memory


def test_a_new_version_keeps_when_the_memory_was_made(db: Any) -> None:
    first = db.upsert_user_memory(UserMemory(memory="Tea.", user_id="ada", created_at=NOW - 100, topics=[]))
    assert isinstance(first, UserMemory)
    assert (first.updated_at, first.topics) == (NOW - 100, [])
    db.upsert_user_memory(UserMemory(memory="Coffee.", memory_id=first.memory_id, user_id="ada"))
    (now,) = db.get_user_memories("ada")
    assert (now.memory, now.created_at, now.topics) == ("Coffee.", NOW - 100, None)
    assert now.updated_at >= NOW


def test_the_same_sentence_of_two_users_is_two_memories(db: Any) -> None:
    for user_id in ("ada", "bob"):
        db.upsert_user_memory(UserMemory(memory="Likes tea.", memory_id="same", user_id=user_id))
    assert words(db.get_user_memories("ada")) == words(db.get_user_memories("bob")) == ["Likes tea."]
    db.delete_user_memory("same", user_id="eve")
    db.delete_user_memory("same", user_id="bob")
    assert db.get_user_memory("same", user_id="bob") is None
    assert db.get_user_memory("same", user_id="ada") == db.get_user_memory("same") is not None


def test_a_memory_of_nobody_stays_nobodys(db: Any) -> None:
    remember(db, None, "Water boils.")
    assert [memory.user_id for memory in db.get_user_memories()] == [None]
    assert db.get_user_memory_stats() == ([], 0)


def test_a_limit_is_a_limit_and_reads_no_more(db: Any, requests: Requests) -> None:
    remember(db, "ada", *[f"Fact {number}" for number in range(12)])
    requests.clear()
    assert words(db.get_user_memories("ada", limit=5)) == [f"Fact {number}" for number in range(5)]
    assert requests[0].query["limit"] == "5"
    assert words(db.get_user_memories("ada", limit=5, page=3)) == ["Fact 10", "Fact 11"]
    rows, total = db.get_user_memories("ada", limit=5, deserialize=False)
    assert (len(rows), total) == (5, 12)
    with pytest.raises(ValueError, match="page"):
        db.get_user_memories("ada", page=2)


def test_memories_are_found_by_words_topics_agent_and_team(db: Any) -> None:
    remember(db, "ada", "Likes GREEN tea", topics=["tea", "taste"], agent_id="guide")
    remember(db, "ada", "Lives in Oslo", topics=["place"], team_id="crew")
    remember(db, "bob", "Likes green apples", topics=["taste"])
    assert words(db.get_user_memories(search_content="green")) == ["Likes GREEN tea", "Likes green apples"]
    assert words(db.get_user_memories("ada", topics=["tea", "taste"])) == ["Likes GREEN tea"]
    assert words(db.get_user_memories("ada", topics=["tea", "place"])) == []
    assert words(db.get_user_memories(agent_id="guide")) == ["Likes GREEN tea"]
    assert words(db.get_user_memories(team_id="crew")) == ["Lives in Oslo"]
    assert db.get_all_memory_topics("ada") == ["place", "taste", "tea"]
    assert db.get_all_memory_topics() == ["place", "taste", "tea"]
    assert words(db.get_user_memories("ada", sort_by="memory", sort_order="asc"))[0] == "Likes GREEN tea"


def test_statistics_count_each_users_memories(db: Any) -> None:
    remember(db, "ada", "One", "Two", created_at=NOW - 10)
    remember(db, "bob", "Three", created_at=NOW)
    stats, total = db.get_user_memory_stats()
    assert ([each["user_id"] for each in stats], total) == (["bob", "ada"], 2)
    assert [each["total_memories"] for each in stats] == [1, 2]
    assert db.get_user_memory_stats(user_id="ada")[0][0]["last_memory_updated_at"] == NOW - 10
    assert len(db.get_user_memory_stats(limit=1)[0]) == 1


def test_clearing_names_one_user_or_refuses(new_db: Callable[[], Any]) -> None:
    database = new_db()
    remember(database, "ada", "Tea")
    remember(database, "bob", "Coffee")
    with pytest.raises(ValueError, match="one user"):
        new_db().clear_memories()
    new_db().clear_memories(user_id="ada")
    assert words(database.get_user_memories()) == ["Coffee"]
    database.clear_memories_of_all_users()
    assert database.get_user_memories() == []


def test_the_managers_tool_that_clears_memories_clears_those_of_its_user_alone(db: Any) -> None:
    remember(db, "ada", "Tea")
    remember(db, "bob", "Coffee")
    model = ScriptedModel(script=[calls("clear_memory"), says("Done.")])
    manager = MemoryManager(model=model, db=db, clear_memories=True)
    manager.update_memory_task("Forget me.", user_id="ada")
    assert words(db.get_user_memories("bob")) == ["Coffee"]
    assert db.get_user_memories("ada") == []


async def test_so_does_the_tool_of_the_asynchronous_database(async_db: Any) -> None:
    for user_id in ("ada", "bob"):
        await async_db.upsert_user_memory(UserMemory(memory="Tea", user_id=user_id))
    model = ScriptedModel(script=[calls("clear_memory"), says("Done.")])
    manager = MemoryManager(model=model, db=async_db, clear_memories=True)
    await manager.aupdate_memory_task("Forget me.", user_id="ada")
    assert [memory.user_id for memory in await async_db.get_user_memories()] == ["bob"]


def test_the_same_memory_in_two_spaces_is_two_memories(annals: Annals) -> None:
    databases: list[Any] = [AnnalsDb(annals, memory_space_id=space) for space in ("agno", "one", "other")]
    for number, database in enumerate(databases):
        for text in ("Tea", f"Tea {number}"):
            database.upsert_user_memory(UserMemory(memory=text, memory_id="same", user_id="ada"))
    for number, database in enumerate(databases):
        (found,) = database.get_user_memories("ada")
        assert (found.memory_id, found.memory) == ("same", f"Tea {number}")
        assert database.get_user_memory("same") == found
    databases[1].clear_memories(user_id="ada")
    databases[2].delete_user_memory("same")
    assert [words(database.get_user_memories("ada")) for database in databases] == [["Tea 0"], [], []]


def test_memories_of_other_programs_in_other_spaces_are_left_alone(db: Any, annals: Annals) -> None:
    annals.user_memories.create("ada", "Of another program")
    annals.user_memories.create("ada", "Of this space", memory_space_id="agno")
    remember(db, "ada", "Of agno")
    assert words(db.get_user_memories("ada")) == ["Of this space", "Of agno"]
    db.clear_memories(user_id="ada")
    assert [memory.memory for memory in annals.user_memories.list("ada")] == ["Of another program"]


def test_a_memory_that_another_program_put_into_the_space_can_be_changed_and_deleted(db: Any, annals: Annals) -> None:
    for _ in range(2):
        annals.user_memories.create("ada", "Likes tea", memory_space_id="agno")
    first, second = db.get_user_memories("ada")
    first.memory = "Likes green tea"
    db.upsert_user_memory(first)
    db.delete_user_memory(second.memory_id, user_id="ada")
    assert words(db.get_user_memories("ada")) == ["Likes green tea"]
