"""How much is read for an answer: no more than it shows, however long the conversation and the list are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.ledger.read import read_records
from tests.support.api import Api
from tests.support.ledgers import say

pytestmark = pytest.mark.usefixtures("moto")


@contextmanager
def reading() -> Iterator[list[dict[str, Any]]]:
    """The items that are read within the block."""
    items: list[dict[str, Any]] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        items.extend([*parsed.get("Items", []), *([parsed["Item"]] if "Item" in parsed else [])])
        for found in parsed.get("Responses", {}).values():
            items.extend(found)

    hooks = client().meta.events
    hooks.register("after-call.dynamodb", note)
    try:
        yield items
    finally:
        hooks.unregister("after-call.dynamodb", note)


@pytest.fixture
def long(api: Api) -> str:
    """The path of a conversation of forty entries."""
    people = {"userId": "ada", "memorySpaceId": "home"}
    api.post("/v1/conversations", {"type": "user-agent", "conversationId": "long", "participants": people})
    for number in range(40):
        say(api.caller.tenant, f"message {number}", conversation_id="long")
    return "/v1/conversations/long"


@pytest.mark.parametrize(
    ("query", "most"),
    [
        ("messages?limit=4", 9),
        ("messages?limit=4&order=asc", 9),
        ("messages?limit=4&order=asc&offset=20", 9),
        ("messages?limit=4&after=20", 9),
        ("messages/msg-001", 4),
        ("messages/msg-040", 4),
    ],
)
def test_a_page_reads_little_more_than_it_shows(api: Api, long: str, query: str, most: int) -> None:
    with reading() as items:
        assert api.get(f"{long}/{query}").status == 200
    assert len(items) <= most


def test_a_list_of_conversations_reads_no_message(api: Api, long: str) -> None:
    with reading() as items:
        for order in ("lastMessageAt", "createdAt", "updatedAt", "messageCount"):
            assert len(api.get(f"/v1/conversations?sortBy={order}").json["items"]) == 1
        assert api.get("/v1/conversations/count?participants.userId=ada").json == {"count": 1}
    assert items
    assert not any("records" in item for item in items)


def test_a_range_that_ends_before_it_begins_asks_for_nothing(api: Api, long: str) -> None:
    with reading() as items:
        assert list(read_records(conversation_pk(api.caller.tenant, "long"), 1, 0)) == []
    assert len(items) <= 1
