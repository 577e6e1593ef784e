"""Memories of users of phidata's agents, kept by Annals."""

from __future__ import annotations

from typing import Any

import phi.agent  # noqa: F401 - before all others: phidata's modules import each other in a circle
import pytest
from phi.agent.agent import Agent
from phi.memory.agent import AgentMemory, MemoryRetrieval
from phi.memory.classifier import MemoryClassifier
from phi.memory.manager import MemoryManager
from phi.memory.row import MemoryRow
from phi.memory.summarizer import MemorySummarizer
from phi.model.message import Message
from phidata_fakes import Echo, Remembers

from annals_client import AnnalsError
from annals_client.integrations.phidata import AnnalsAgentStorage, AnnalsMemoryDb
from annals_client.testing import Annals


@pytest.fixture
def db(annals: Annals) -> AnnalsMemoryDb:
    return AnnalsMemoryDb(client=annals)


def row(memory: str, user_id: str | None = "ada", **more: Any) -> MemoryRow:
    return MemoryRow(memory={"memory": memory, **more}, user_id=user_id)


def words(rows: list[MemoryRow]) -> list[str]:
    return [each.memory["memory"] for each in rows]


def test_a_memory_comes_back_as_it_was(db: AnnalsMemoryDb) -> None:
    given = row("Likes tea.", topic="drinks", input="I like tea, é!", odd={"n": [1.5, None]})
    assert not db.memory_exists(given)

    db.upsert_memory(given)

    (found,) = db.read_memories(user_id="ada")
    assert (found.id, found.user_id, found.memory) == (given.id, "ada", given.memory)
    assert found.created_at is not None
    assert db.memory_exists(given)


@pytest.mark.parametrize("users", [("ada", "byron"), (None, "ada")])
def test_the_same_sentence_of_two_users_is_two_memories(db: AnnalsMemoryDb, users: tuple[str | None, ...]) -> None:
    for user in users:
        db.upsert_memory(row("Likes tea.", user))

    assert {each.user_id for each in db.read_memories()} == set(users)
    assert len(db.read_memories()) == 2


def test_a_memory_is_replaced_by_its_id(db: AnnalsMemoryDb) -> None:
    first = row("Likes tea.")
    db.upsert_memory(first)
    db.upsert_memory(MemoryRow(id=first.id, user_id="ada", memory={"memory": "Likes coffee."}))

    assert words(db.read_memories(user_id="ada")) == ["Likes coffee."]


def test_memories_are_read_in_order_and_no_more_than_the_limit(db: AnnalsMemoryDb) -> None:
    for user in ("ada", "byron"):
        for number in range(4):
            db.upsert_memory(row(f"{user} {number}", user))

    assert words(db.read_memories(user_id="ada", limit=2)) == ["ada 3", "ada 2"]
    assert words(db.read_memories(user_id="ada", limit=2, sort="asc")) == ["ada 0", "ada 1"]
    assert words(db.read_memories(limit=3)) == ["byron 3", "byron 2", "byron 1"]
    assert db.read_memories(user_id="nobody-known") == []


def test_a_deleted_memory_is_gone_and_another_user_s_of_the_same_words_is_not(
    db: AnnalsMemoryDb, annals: Annals
) -> None:
    given = row("Likes tea.")
    db.upsert_memory(given)
    db.upsert_memory(row("Likes tea.", "byron"))
    assert given.id is not None

    with pytest.raises(ValueError, match="user_id="):
        db.delete_memory(given.id)
    AnnalsMemoryDb(client=annals, user_id="ada").delete_memory(given.id)

    assert [each.user_id for each in db.read_memories()] == ["byron"]
    db.delete_memory(given.id)
    db.delete_memory(given.id)
    assert db.read_memories() == []


def test_only_the_memories_of_one_user_can_be_cleared_by_the_way(db: AnnalsMemoryDb, annals: Annals) -> None:
    db.upsert_memory(row("a"))
    db.upsert_memory(row("b", "byron"))

    answer = MemoryManager(db=db, user_id="ada").clear_memory()

    assert "Error" in answer
    assert len(db.read_memories()) == 2
    assert AnnalsMemoryDb(client=annals, user_id="ada").clear()
    assert words(db.read_memories()) == ["b"]


def test_dropping_a_table_leaves_other_tables(db: AnnalsMemoryDb, annals: Annals) -> None:
    other = AnnalsMemoryDb("others", client=annals)
    for each in (db, other):
        each.create()
        each.upsert_memory(row("a"))

    db.drop_table()

    assert (db.read_memories(), words(other.read_memories())) == ([], ["a"])
    assert db.table_exists()


def test_memories_are_user_memories_that_are_found_by_their_meaning(db: AnnalsMemoryDb, annals: Annals) -> None:
    db.upsert_memory(row("Is allergic to peanuts.", topic="health"))
    annals.settle()

    (found,) = annals.user_memories.search("ada", "peanuts", method="semantic")

    assert (found.memory, found.topics) == ("Is allergic to peanuts.", ["health"])


def test_an_error_is_raised(annals_url: str) -> None:
    with pytest.raises(AnnalsError):
        AnnalsMemoryDb(url=annals_url, key="no-key").upsert_memory(row("a"))
    with pytest.raises(AnnalsError):
        AnnalsMemoryDb(url=annals_url, key="no-key").read_memories()


SUMMARY = '{"summary": "They met.", "topics": ["names"]}'


def always(_: list[Message]) -> str:
    return "yes"


def test_agents_remember_users_and_sum_sessions_up(annals: Annals) -> None:
    """As on phidata's page of memory, with storage and database swapped."""

    def agent(user_id: str) -> Agent:
        return Agent(
            model=Echo(),
            memory=AgentMemory(
                db=AnnalsMemoryDb(table_name="agent_memory", client=annals),
                create_user_memories=True,
                create_session_summary=True,
                classifier=MemoryClassifier(model=Echo(answer=always)),
                manager=MemoryManager(model=Remembers()),
                summarizer=MemorySummarizer(
                    model=Echo(answer=lambda _: '{"summary": "They met.", "topics": ["names"]}')
                ),
            ),
            storage=AnnalsAgentStorage(table_name="personalized_agent_sessions", client=annals),
            user_id=user_id,
            session_id=f"session-{user_id}",
            add_history_to_messages=True,
            num_history_responses=3,
            monitoring=False,
            telemetry=False,
        )

    for user in ("ada", "byron"):
        agent(user).run("My name is said to be known.")
    again = agent("ada")
    again.load_session()

    assert again.memory.memories is not None
    assert [each.memory for each in again.memory.memories] == ["The user said: My name is said to be known."]
    assert again.memory.summary is not None
    assert again.memory.summary.summary == "They met."
    assert [each.role for each in again.memory.messages][-2:] == ["user", "assistant"]
    assert len(AnnalsMemoryDb(client=annals).read_memories()) == 2


@pytest.mark.parametrize(("retrieval", "expected"), [(MemoryRetrieval.last_n, "b"), (MemoryRetrieval.first_n, "a")])
def test_memories_are_loaded_the_newest_or_the_oldest_first(
    db: AnnalsMemoryDb, retrieval: MemoryRetrieval, expected: str
) -> None:
    for word in "ab":
        db.upsert_memory(row(word))
    memory = AgentMemory(db=db, user_id="ada", retrieval=retrieval, num_memories=1)

    memory.load_user_memories()

    assert memory.memories is not None
    assert [each.memory for each in memory.memories] == [expected]
