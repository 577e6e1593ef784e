"""Replies of the caller's own model that the server refuses in part."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from annals_client import Annals, AsyncAnnals, ReplyNotStored
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


def test_both_texts_of_a_turn_go_to_the_function_that_makes_vectors_once(ask: Ask) -> None:
    given: list[str] = []

    def embed(text: str) -> tuple[int, int]:
        given.append(text)
        return len(given), 0

    with scripted(STORED, STORED) as server:
        turn = {**TURN, "generate_embedding": embed}
        ask(server.url, lambda client: client.memory.remember_stream(response_stream=["To ", "be"], **turn))
    question, reply = server.requests
    assert given == ["?", "To be"]
    assert question.json["userMessage"] == {"role": "user", "content": "?", "embedding": [1.0, 0.0]}
    assert reply.json["agentResponse"]["embedding"] == [2.0, 0.0]


def test_a_vector_that_cannot_be_made_leaves_the_turn_as_it_is(ask: Ask) -> None:
    results: list[Any] = []

    def embed(text: str) -> list[float]:
        raise OSError("away")

    with scripted(STORED, STORED) as server:
        turn = {**TURN, "generate_embedding": embed, "on_complete": results.append}
        ask(server.url, lambda client: client.memory.remember_stream(response_stream=["To be"], **turn))
    question, reply = server.requests
    assert question.json["userMessage"] == "?"
    assert "embedding" not in reply.json["agentResponse"]
    assert results[0].embedding_problem == "generate_embedding raised OSError: away"


async def embed_later(text: str) -> list[float]:
    return [float(len(text))]


def test_a_coroutine_function_makes_vectors_with_the_asynchronous_client_alone() -> None:
    turn = {**TURN, "generate_embedding": embed_later}
    with scripted(STORED, STORED) as server:

        async def relay() -> None:
            async with AsyncAnnals(server.url, "key") as client:
                await client.memory.remember_stream(response_stream=["To be"], **turn)

        asyncio.run(relay())
    assert [each.json.get("agentResponse", {}).get("embedding") for each in server.requests] == [None, [5.0]]
    with Annals(server.url, "key") as client:
        with pytest.raises(TypeError, match="generate_embedding"):
            client.memory.remember_stream(response_stream=["To be"], **turn)
        with pytest.raises(TypeError, match="generate_embedding"):
            client.memory.remember(agent_response="To be", **turn)


def test_a_turn_that_is_whole_gets_the_vectors_of_both_texts(ask: Ask) -> None:
    with scripted(STORED) as server:
        turn = {**TURN, "generate_embedding": lambda text: [len(text)], "agent_response": "To be"}
        ask(server.url, lambda client: client.memory.remember(**turn))
    [request] = server.requests
    assert request.json["userMessage"]["embedding"] == [1.0]
    assert request.json["agentResponse"] == {"role": "assistant", "content": "To be", "embedding": [5.0]}
