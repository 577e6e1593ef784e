"""Memories that name the messages they were made of: they go with any of these, and with the conversation."""

from __future__ import annotations

from typing import Any

import pytest

from annals.settings import settings
from tests.support.api import Api
from tests.support.crashes import items_of

pytestmark = pytest.mark.usefixtures("moto")

ONE = "/v1/conversations/one"
NEW = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "one"}
GONE = (404, "MEMORY_NOT_FOUND")


@pytest.fixture(autouse=True)
def conversation(api: Api) -> None:
    """A conversation with three messages."""
    assert api.post("/v1/conversations", NEW).status == 201
    for content in ("A rose.", "A tulip.", "A lily."):
        assert api.post(f"{ONE}/messages", {"role": "user", "content": content}).status == 201


def remember(api: Api, content: str, *message_ids: str, **more: Any) -> str:
    """A memory that was made of some messages; its path."""
    ref = {"conversationRef": {"conversationId": "one", "messageIds": list(message_ids)}} if message_ids else {}
    body = {"memorySpaceId": "home", "userId": "byron", "contentType": "summarized", "content": content, **ref, **more}
    answer = api.post("/v1/memories", body)
    assert answer.status == 201, answer.body
    return f"/v1/memories/{answer.json['memoryId']}"


def redact(api: Api, message_id: str) -> None:
    assert api.post(f"{ONE}/messages/{message_id}/redact", {"reason": "asked"}).status == 200


def stored(api: Api) -> str:
    return str(items_of(api.caller.tenant, settings().state_table))


def test_a_memory_goes_with_any_message_that_it_was_made_of(api: Api) -> None:
    both, other, none = (
        remember(api, "Flowers: a tulip.", "msg-001", "msg-002"),
        remember(api, "A lily.", "msg-003"),
        remember(api, "No flower."),
    )
    assert api.patch(both, {"content": "Flowers: one tulip."}).status == 200
    redact(api, "msg-002")
    assert api.get(both).problem[:2] == GONE
    assert [api.get(path).status for path in (other, none)] == [200, 200]
    assert "tulip" not in stored(api)


def test_an_archived_memory_goes_with_its_message_too(api: Api) -> None:
    memory = remember(api, "A tulip.", "msg-002")
    assert api.post(f"{memory}/archive").status == 200
    redact(api, "msg-002")
    assert "tulip" not in stored(api)


def test_memories_go_with_their_conversation_and_its_receipt_counts_them(api: Api) -> None:
    paths = [remember(api, "A tulip.", "msg-002"), remember(api, "A tulip in another space.", "msg-002")]
    stays = remember(api, "No flower.")
    receipt = api.delete(ONE).json
    assert receipt["removed"] == {"messages": 3, "memories": 5, "facts": 0}
    assert [api.get(path).problem[:2] for path in paths] == [GONE, GONE]
    assert api.get(stays).status == 200
    assert "tulip" not in stored(api)


def test_a_deleted_memory_leaves_nothing_that_leads_to_it(api: Api) -> None:
    memory = remember(api, "A tulip.", "msg-002")
    assert api.delete(memory).status == 204
    assert memory.removeprefix("/v1/memories/") not in stored(api)
