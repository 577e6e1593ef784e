"""Memories of users of agno 1, kept by Annals."""

from __future__ import annotations

from typing import Any

import pytest
from agno.memory.v2.db.schema import MemoryRow
from agno.memory.v2.memory import Memory
from agno.memory.v2.schema import UserMemory

from annals_client import AnnalsError
from annals_client.integrations.agno_v1 import AnnalsMemoryDb
from annals_client.testing import Annals


@pytest.fixture
def db(annals: Annals) -> AnnalsMemoryDb:
    return AnnalsMemoryDb(client=annals)


def row(memory: str, user_id: str | None = "ada", **more: Any) -> MemoryRow:
    return MemoryRow(memory={"memory": memory, **more}, user_id=user_id)


def words(rows: list[MemoryRow]) -> list[str]:
    return [each.memory["memory"] for each in rows]


def test_a_memory_comes_back_as_it_was(db: AnnalsMemoryDb) -> None:
    given = row("Likes tea.", topics=["drinks", "tea"], input="I like tea, é!", memory_id="m")
    assert not db.memory_exists(given)

    db.upsert_memory(given)

    (found,) = db.read_memories(user_id="ada")
    assert (found.id, found.user_id, found.memory) == (given.id, "ada", given.memory)
    assert found.last_updated is not None
    assert db.memory_exists(given)


def test_equal_memories_of_two_users_are_two(db: AnnalsMemoryDb) -> None:
    for user in ("ada", "byron", None):
        db.upsert_memory(row("Likes tea.", user))
        db.upsert_memory(MemoryRow(id="same", memory={"memory": "Of one id."}, user_id=user))

    assert len(db.read_memories()) == 6
    assert len(db.read_memories(user_id="byron")) == 2


def test_memories_are_read_in_order_and_no_more_than_the_limit(db: AnnalsMemoryDb) -> None:
    for number in range(4):
        db.upsert_memory(row(f"{number}"))

    assert words(db.read_memories(user_id="ada", limit=2)) == ["3", "2"]
    assert words(db.read_memories(limit=2, sort="asc")) == ["0", "1"]


def test_memories_are_deleted_one_by_one_or_with_their_table(db: AnnalsMemoryDb, annals: Annals) -> None:
    rows = [row("a"), row("b", "byron")]
    for each in rows:
        db.upsert_memory(each)
    assert rows[0].id is not None

    db.delete_memory(rows[0].id)
    db.delete_memory("not there")

    assert words(db.read_memories()) == ["b"]
    with pytest.raises(ValueError, match="user_id="):
        db.clear()
    assert AnnalsMemoryDb(client=annals, user_id="byron").clear()
    assert db.read_memories() == []
    db.upsert_memory(row("c"))
    db.drop_table()
    assert db.table_exists()
    assert db.read_memories() == []


def test_a_memory_of_agno_is_kept_across_processes(annals: Annals) -> None:
    """As in agno's guide to its memory, with the database swapped."""
    memory = Memory(db=AnnalsMemoryDb("user_memories", client=annals))
    first = memory.add_user_memory(UserMemory(memory="The user's name is Ada.", topics=["name"]), user_id="ada")
    memory.add_user_memory(UserMemory(memory="The user likes tea.", topics=["food"]), user_id="ada")
    memory.add_user_memory(UserMemory(memory="The user likes tea.", topics=["food"]), user_id="byron")
    memory.replace_user_memory(first, UserMemory(memory="The user's name is Ada L."), user_id="ada")

    again = Memory(db=AnnalsMemoryDb("user_memories", client=annals))
    found = again.search_user_memories(user_id="ada", limit=2, retrieval_method="last_n")

    assert sorted(each.memory for each in found) == ["The user likes tea.", "The user's name is Ada L."]
    again.delete_user_memory(first, user_id="ada")
    assert [each.memory for each in again.get_user_memories(user_id="ada")] == ["The user likes tea."]
    assert [each.topics for each in again.get_user_memories(user_id="byron")] == [["food"]]


def test_memories_are_user_memories_that_are_found_by_their_meaning(db: AnnalsMemoryDb, annals: Annals) -> None:
    db.upsert_memory(row("Is allergic to peanuts.", topics=["health"]))
    annals.settle()

    (found,) = annals.user_memories.search("ada", "peanuts", method="semantic")

    assert (found.memory, found.topics) == ("Is allergic to peanuts.", ["health"])


def test_an_error_is_raised(annals_url: str) -> None:
    with pytest.raises(AnnalsError):
        AnnalsMemoryDb(url=annals_url, key="no-key").read_memories()
