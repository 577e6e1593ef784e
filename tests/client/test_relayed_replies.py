"""Replies of the caller's own model that the server refuses in part."""

from __future__ import annotations

from typing import Any

import pytest

from annals_client import ReplyNotStored
from tests.client.asking import Ask
from tests.client.scripted import Answer, refused, scripted

TURN: dict[str, Any] = {"memory_space_id": "s", "conversation_id": "c", "user_id": "u", "user_message": "?"}
STORED = Answer(
    201,
    {
        "conversation": {"conversationId": "c", "messageIds": ["msg-001"], "messageCount": 1},
        "memories": [],
        "facts": [],
    },
)
CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def _chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}


@pytest.mark.parametrize("refusal", [refused(413, "ENTRY_TOO_LARGE"), refused(422, "INVALID_FORMAT")])
def test_of_a_reply_whose_parts_the_server_refuses_the_text_is_stored(ask: Ask, refusal: Answer) -> None:
    chunks = [_chunk(reasoning_content="Hm. " * 100), _chunk(content="To be")]
    with scripted(STORED, refusal, STORED) as server:
        ask(server.url, lambda client: client.memory.remember_stream(response_stream=chunks, **TURN))
    _, first, second = server.requests
    parts = first.json["agentResponse"]["parts"]
    assert parts == {"reasoning_content": "Hm. " * 100}
    assert second.json["agentResponse"] == {
        **first.json["agentResponse"],
        "parts": {"omitted": {"bytes": 424}},
    }
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_a_reply_of_calls_alone_that_the_server_has_no_room_for_is_not_stored(ask: Ask) -> None:
    with scripted(STORED, refused(413, "ENTRY_TOO_LARGE")) as server, pytest.raises(ReplyNotStored) as failed:
        ask(
            server.url,
            lambda client: client.memory.remember_stream(response_stream=[_chunk(tool_calls=[CALL])], **TURN),
        )
    assert failed.value.code == "ENTRY_TOO_LARGE"
