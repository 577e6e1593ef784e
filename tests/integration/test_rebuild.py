"""Lists and the search index are derived: dropped, and rebuilt from the tables, they answer as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.conversations.heads import project_head
from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.memory import adapters
from annals.operations.rebuild import rebuild_heads, rebuild_index
from annals.settings import settings
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("ministack")

QUERIES = [
    "sortBy=lastMessageAt",
    "sortBy=createdAt",
    "sortBy=updatedAt&sortOrder=asc",
    "sortBy=messageCount",
    "status=active",
]
WORDS = ["tulip", "flower in the garden", "rose", "peanuts", "withdrawn"]


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    """The streams, and an index of this test's own."""
    with embedded_index(tmp_path) as running:
        yield running


def nothing(_: int) -> None:
    """Nobody watches the progress."""


@pytest.fixture
def world(api: Api, stream: Stream) -> Api:
    """A tenant with conversations in every state, and memories beside them."""
    for number, name in enumerate(("a", "b", "sealed", "archived", "empty", "erased", "redacted")):
        people = {"userId": f"user-{number % 2}", "memorySpaceId": "home"}
        new = {"type": "user-agent", "conversationId": name, "participants": people, "metadata": {"place": number}}
        assert api.post("/v1/conversations", new).status == 201
        for each in range(0 if name == "empty" else number % 3 + 1):
            message = {"role": "user", "content": f"a tulip is flower {each} in garden {name}"}
            assert api.post(f"/v1/conversations/{name}/messages", message).status == 201
    api.post("/v1/conversations/sealed/seal")
    api.post("/v1/conversations/archived/archive", {"before": 100})
    api.post("/v1/conversations/redacted/messages", {"role": "user", "content": "to be withdrawn"})
    api.post("/v1/conversations/redacted/messages/msg-002/redact", {"reason": "why"})
    api.delete("/v1/conversations/erased")
    remember(api)
    follow(api, stream)
    return api


def remember(api: Api) -> None:
    """Memories that are no messages: one as it is, one changed, one deleted."""
    memory = {"memorySpaceId": "home", "userId": "user-0", "content": "allergic to peanuts"}
    unchanged, changed, deleted = (api.post("/v1/memories", memory).json["memoryId"] for _ in range(3))
    assert unchanged
    assert api.patch(f"/v1/memories/{changed}", {"content": "likes a rose"}).status == 200
    assert api.delete(f"/v1/memories/{deleted}").status < 300
    assert api.delete("/v1/memories/mem:a:1").status < 300


def follow(api: Api, stream: Stream) -> None:
    """Do what the streams' functions do."""
    for name in ("a", "b", "sealed", "archived", "empty", "erased", "redacted"):
        project_head(conversation_pk(api.caller.tenant, name))
    stream.deliver_ledger()
    stream.deliver()


def lists(api: Api) -> list[Any]:
    return [
        *(api.get(f"/v1/conversations?{query}").json for query in QUERIES),
        *(api.get(f"/v1/conversations?participants.userId=user-{n}").json for n in range(2)),
        api.get("/v1/conversations/count").json,
        *(api.get(f"/v1/conversations/{name}").json for name in ("a", "b", "sealed", "archived", "empty")),
    ]


def answers(api: Api) -> list[Any]:
    memories = [api.post("/v1/memory/search", {"query": word, "memorySpaceId": "home"}).json["items"] for word in WORDS]
    return [*memories, *(api.post("/v1/conversations/search", {"query": word}).json for word in WORDS)]


def test_heads_that_were_dropped_are_rebuilt_from_the_ledger(world: Api) -> None:
    before = lists(world)
    assert len(before[0]["items"]) == 6
    for item in client().scan(TableName=settings().state_table)["Items"]:
        if item["sk"]["S"] == "HEAD":
            client().delete_item(TableName=settings().state_table, Key={name: item[name] for name in ("pk", "sk")})
    assert world.get("/v1/conversations").json == {"items": []}
    assert rebuild_heads(nothing).items >= 7
    assert lists(world) == before
    assert rebuild_heads(nothing).failed.count == 0
    assert lists(world) == before


def test_an_index_that_was_dropped_is_rebuilt_from_the_tables(world: Api) -> None:
    before = answers(world)
    assert [bool(results) for results in before[:4]] == [True] * 4
    assert "withdrawn" not in str(before[4])
    adapters.index.cache_clear()
    for file in Path(settings().embedded_index).parent.glob("index.sqlite3*"):
        file.unlink()
    assert answers(world)[0] == []
    rebuilt = rebuild_index(adapters.index(), adapters.embedder(), nothing)
    assert (rebuilt.items >= 14, rebuilt.failed.count) == (True, 0)
    assert answers(world) == before
    rebuild_index(adapters.index(), adapters.embedder(), nothing)
    assert answers(world) == before
