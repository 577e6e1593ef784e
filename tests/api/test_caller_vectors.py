"""Vectors that callers bring, in a memory space that takes such, over the functions' real events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.packed_vectors import pack
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

SPACE, EMBEDDINGS = "/v1/spaces/home", {"model": "three-numbers", "dimensions": 3}
NEW = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "chat"}
MESSAGES = "/v1/conversations/chat/messages"
EAST, NORTH, NORTH_EAST = [1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.5, 0.5, 0]


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path, CALLER_DIMENSIONS="4") as index:
        yield index


@pytest.fixture
def home(api: Api, stream: Stream) -> Api:
    """A client of a tenant with a memory space that takes vectors of three numbers, and a conversation there."""
    assert api.put(SPACE, {"embeddings": EMBEDDINGS}).status == 201
    assert api.post("/v1/conversations", NEW).status == 201
    return api


def say(api: Api, content: str, embedding: object = None) -> Any:
    given = {} if embedding is None else {"embedding": embedding}
    return api.post(MESSAGES, {"role": "user", "content": content, **given})


def found(api: Api, **question: Any) -> list[str]:
    hits = api.post("/v1/memory/search", {"memorySpaceId": "home", **question}).json["items"]
    return [hit["content"] for hit in hits if hit["score"] > 0]


def test_messages_are_found_by_the_vectors_that_came_with_them(home: Api, stream: Stream) -> None:
    assert say(home, "sunrise", EAST).status == 201
    assert say(home, "aurora", NORTH).status == 201
    stream.deliver_ledger()
    assert found(home, embedding=[0.9, 0.1, 0])[0] == "sunrise"
    assert found(home, embedding=[0.1, 0.9, 0])[0] == "aurora"
    assert found(home, query="aurora", embedding=EAST)[0] in ("aurora", "sunrise")
    assert found(home, query="aurora")[0] == "aurora"


def test_both_messages_of_a_turn_bring_theirs(home: Api, stream: Stream) -> None:
    turn = {
        "memorySpaceId": "home",
        "userId": "ada",
        "userMessage": {"content": "Where does it rise?", "embedding": EAST},
        "agentResponse": {"content": "Over the hill.", "embedding": NORTH},
    }
    assert home.post("/v1/memory/remember", turn).status == 201
    stream.deliver_ledger()
    assert found(home, embedding=NORTH)[0] == "Over the hill."
    assert found(home, embedding=EAST)[0] == "Where does it rise?"


def test_a_memory_brings_one_which_goes_with_its_content(home: Api, stream: Stream) -> None:
    new = {"memorySpaceId": "home", "userId": "ada", "content": "a compass", "embedding": NORTH}
    memory_id = home.post("/v1/memories", new).json["memoryId"]
    path = f"/v1/memories/{memory_id}"
    assert "embedding" not in home.get(path).json
    assert home.get(f"{path}?includeEmbedding=true").json["embedding"] == NORTH
    stream.deliver()
    assert found(home, embedding=NORTH) == ["a compass"]
    assert home.patch(path, {"embedding": EAST}).status == 200
    assert home.get(f"{path}?includeEmbedding=true").json["embedding"] == EAST
    assert home.patch(path, {"content": "a map"}).status == 200
    assert "embedding" not in home.get(f"{path}?includeEmbedding=true").json


def test_a_message_shows_its_vector_as_a_memory_and_only_there(home: Api) -> None:
    shown = say(home, "sunrise", NORTH_EAST).json["messages"][0]
    assert "embedding" not in shown
    assert "embedding" not in home.get(MESSAGES).json["items"][0]
    assert home.get("/v1/memories/mem:chat:1?includeEmbedding=true").json["embedding"] == NORTH_EAST


def test_vectors_are_exported_and_come_back_by_import(home: Api) -> None:
    say(home, "sunrise", NORTH_EAST)
    file = home.get("/v1/conversations/chat/export?format=json").body
    assert json.loads(file)["messages"][0]["embedding"] == pack(NORTH_EAST)
    assert home.delete("/v1/conversations/chat").status == 200
    copy = json.loads(file) | {"conversationId": "copy"}
    assert home.post("/v1/conversations/import", copy).status in (200, 201)
    assert home.get("/v1/memories/mem:copy:1?includeEmbedding=true").json["embedding"] == NORTH_EAST


@pytest.mark.parametrize(
    "embedding", [[1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [], [0, 0, 0], [1, 2, "3"], [1, 2, True], "east", [1e300, 0, 0]]
)
def test_a_vector_that_the_space_does_not_take_is_refused_and_nothing_stored(home: Api, embedding: object) -> None:
    status, code, field = say(home, "sunrise", embedding).problem
    assert (status, code, field) == (422, "INVALID_EMBEDDING", "embedding")
    assert home.get(MESSAGES).json["items"] == []


@pytest.mark.parametrize("embedding", [[1.0, 0.0], [0, 0, 0]])
def test_a_search_with_another_length_is_refused(home: Api, embedding: list[float]) -> None:
    answer = home.post("/v1/memory/search", {"memorySpaceId": "home", "embedding": embedding})
    assert answer.problem == (422, "INVALID_EMBEDDING", "embedding")


def test_a_space_of_which_nothing_is_said_takes_no_vectors(api: Api, stream: Stream) -> None:
    new = {**NEW, "participants": {"userId": "ada", "memorySpaceId": "other"}}
    assert api.post("/v1/conversations", new).status == 201
    status, code, field = say(api, "sunrise", EAST).problem
    assert (status, code, field) == (422, "INVALID_EMBEDDING", "embedding")
    turn = {"memorySpaceId": "other", "userId": "ada", "userMessage": {"content": "sunrise", "embedding": EAST}}
    assert api.post("/v1/memory/remember", turn).problem[:2] == (422, "INVALID_EMBEDDING")
    memory = {"memorySpaceId": "other", "userId": "ada", "content": "sunrise", "embedding": EAST}
    assert api.post("/v1/memories", memory).problem[:2] == (422, "INVALID_EMBEDDING")


def test_whoever_may_not_see_a_conversation_does_not_learn_of_its_space(home: Api) -> None:
    stranger = home.limited(spaces={"elsewhere"})
    answer = stranger.post(MESSAGES, {"role": "user", "content": "sunrise", "embedding": [1.0]})
    assert answer.problem[:2] == (404, "CONVERSATION_NOT_FOUND")


def test_a_message_without_a_vector_is_found_by_words_and_by_none(home: Api, stream: Stream) -> None:
    say(home, "a plain sunrise")
    stream.deliver_ledger()
    assert found(home, query="sunrise") == ["a plain sunrise"]
    assert found(home, embedding=EAST) == []


def test_a_draft_brings_its_vector_when_it_is_complete(home: Api, stream: Stream) -> None:
    path = f"{MESSAGES}/reply"
    assert home.put(path, {"role": "assistant", "content": "Over "}).status == 200
    last = {"role": "assistant", "content": "the hill.", "completed": True, "embedding": NORTH}
    assert home.put(path, last).status == 201
    stream.deliver_ledger()
    assert found(home, embedding=NORTH) == ["Over the hill."]
    refused = home.put(
        f"{MESSAGES}/other", {"role": "assistant", "content": "x", "completed": True, "embedding": [1.0]}
    )
    assert refused.problem[:2] == (422, "INVALID_EMBEDDING")


def test_a_draft_that_goes_on_keeps_no_vector_of_what_it_said_before(home: Api) -> None:
    path = f"{MESSAGES}/reply"
    assert home.put(path, {"role": "assistant", "content": "Over ", "embedding": EAST}).status == 200
    assert home.put(path, {"role": "assistant", "content": "the hill.", "completed": True}).status == 201
    assert "embedding" not in home.get("/v1/memories/mem:chat:1?includeEmbedding=true").json


def test_a_draft_that_is_completed_as_it_is_keeps_its_vector(home: Api) -> None:
    path = f"{MESSAGES}/reply"
    assert home.put(path, {"role": "assistant", "content": "Over the hill.", "embedding": EAST}).status == 200
    assert home.put(path, {"role": "assistant", "content": "", "completed": True}).status == 201
    assert home.get("/v1/memories/mem:chat:1?includeEmbedding=true").json["embedding"] == EAST


def test_the_whole_of_an_incomplete_message_has_no_vector_of_its_part(home: Api) -> None:
    part = {"role": "assistant", "content": "Over ", "status": "incomplete", "externalId": "reply", "embedding": EAST}
    assert home.post(MESSAGES, part).status == 201
    whole = {"role": "assistant", "content": "the hill.", "completed": True}
    assert home.put(f"{MESSAGES}/reply", whole).status == 201
    assert "embedding" not in home.get("/v1/memories/mem:chat:2?includeEmbedding=true").json


def test_a_space_takes_no_longer_vectors_than_the_index(api: Api, stream: Stream) -> None:
    status, code, field = api.put(SPACE, {"embeddings": {**EMBEDDINGS, "dimensions": 5}}).problem
    assert (status, code, field) == (422, "INVALID_RANGE", "embeddings.dimensions")


def test_a_space_keeps_its_vectors(home: Api) -> None:
    stored = home.get(SPACE).json["embeddings"]
    assert stored == {**EMBEDDINGS, "callerEmbeds": True}
    for other in (
        {},
        {"embeddings": {**EMBEDDINGS, "model": "other"}},
        {"embeddings": {**EMBEDDINGS, "dimensions": 2}},
    ):
        assert home.put(SPACE, other).problem == (409, "SPACE_EMBEDDINGS_FIXED", "embeddings")
    assert home.put(SPACE, {"name": "Home", "embeddings": EMBEDDINGS}).status == 200


def test_a_redacted_message_takes_its_vector_along(home: Api, stream: Stream) -> None:
    say(home, "sunrise", EAST)
    stream.deliver_ledger()
    assert home.post(f"{MESSAGES}/msg-001/redact", {"reason": "mistake"}).status == 200
    stream.deliver_ledger()
    assert found(home, embedding=EAST) == []
    assert pack(EAST).encode() not in home.get("/v1/conversations/chat/export?format=ledger").body


def test_recall_takes_a_vector_of_the_callers(home: Api, stream: Stream) -> None:
    say(home, "sunrise", EAST)
    say(home, "aurora", NORTH)
    stream.deliver_ledger()
    question = {"memorySpaceId": "home", "userId": "ada", "embedding": [0.1, 0.9, 0]}
    assert home.post("/v1/memory/recall", question).json["items"][0]["content"] == "aurora"


def test_what_was_said_at_the_time_of_a_question_is_among_the_candidates_without_its_words(
    home: Api, stream: Stream
) -> None:
    for content, day in (("sunrise", "2025-06-15"), ("aurora", "2025-07-15")):
        message = {"role": "user", "content": content, "timestamp": f"{day}T08:00:00Z", "embedding": EAST}
        assert home.post(MESSAGES, message).status == 201
    stream.deliver_ledger()
    assert found(home, query="what happened on 15 June 2025?")[0] == "sunrise"


def test_the_servers_vectors_and_those_of_callers_are_never_alike(home: Api, stream: Stream) -> None:
    say(home, "sunrise", EAST)
    other = {**NEW, "conversationId": "other", "participants": {"userId": "ada", "memorySpaceId": "words"}}
    home.post("/v1/conversations", other)
    home.post("/v1/conversations/other/messages", {"role": "user", "content": "sunset"})
    stream.deliver_ledger()
    server_vector = [1 / math.sqrt(256)] * 256
    answer = home.post("/v1/memory/search", {"embedding": server_vector, "explain": True})
    parts = {hit["content"]: hit["explanation"] for hit in answer.json["items"]}
    assert parts.keys() == {"sunset"}
