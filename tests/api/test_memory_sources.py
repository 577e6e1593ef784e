"""New versions of memories that come from other messages: shown, found, and gone with any message they came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from annals.database.dynamodb import client, from_item
from annals.settings import settings
from tests.support.api import Api, Reply
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

ADA = {"memorySpaceId": "work", "userId": "ada"}
RAW = "/v1/memories/mem:a:1"


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as stream:
        yield stream


@pytest.fixture
def talk(api: Api, stream: Stream) -> Api:
    """A client whose tenant has two conversations of Ada's, of two messages each."""
    for conversation_id in ("a", "b"):
        turn = {"userMessage": f"I prefer blue in {conversation_id}.", "agentResponse": "Noted."}
        assert api.post("/v1/memory/remember", {**ADA, "conversationId": conversation_id, **turn}).status == 201
    return api


def ref(conversation_id: str, *message_ids: str) -> dict[str, Any]:
    return {"conversationRef": {"conversationId": conversation_id, "messageIds": list(message_ids)}}


def made(api: Api, *message_ids: str) -> str:
    """The path of a memory that was made of messages of the first conversation."""
    answer = api.post("/v1/memories", {**ADA, "content": "Ada likes blue.", **ref("a", *message_ids)})
    assert answer.status == 201
    return f"/v1/memories/{answer.json['memoryId']}"


def redact(api: Api, conversation_id: str, message_id: str) -> None:
    path = f"/v1/conversations/{conversation_id}/messages/{message_id}/redact"
    assert api.post(path, {"reason": "asked"}).status == 200


def change(api: Api, path: str, reference: dict[str, Any], content: str = "Ada likes red.") -> Reply:
    return api.patch(path, {"content": content, **reference})


def refs(api: Api, path: str) -> list[Any]:
    memory = api.get(path).json
    return [each["conversationRef"] for each in (memory, *memory["previousVersions"])]


def stored_words(api: Api) -> str:
    pages = client().get_paginator("scan").paginate(TableName=settings().state_table)
    items = [from_item(item) for page in pages for item in page["Items"]]
    return repr([item for item in items if item["pk"].startswith(f"T#{api.caller.tenant}#")])


@pytest.mark.parametrize("other", [("a", "msg-002"), ("b", "msg-001", "msg-002")])
def test_a_new_version_comes_from_the_messages_that_it_names(talk: Api, other: tuple[str, ...]) -> None:
    path = made(talk, "msg-001")
    changed = change(talk, path, ref(*other))
    assert changed.json["conversationRef"] == ref(*other)["conversationRef"]
    assert refs(talk, path) == [ref(*other)["conversationRef"], ref("a", "msg-001")["conversationRef"]]
    assert talk.get(f"{path}/versions/1").json["conversationRef"]["messageIds"] == ["msg-001"]


def test_a_reference_alone_is_a_change(talk: Api) -> None:
    changed = talk.patch(made(talk, "msg-001"), ref("b", "msg-001"))
    assert (changed.json["version"], changed.json["content"]) == (2, "Ada likes blue.")


def test_a_memory_without_words_gets_some(talk: Api) -> None:
    memory = talk.post("/v1/memories", {**ADA, "content": "Ada likes blue."}).json
    path = f"/v1/memories/{memory['memoryId']}"
    change(talk, path, ref("b", "msg-001"))
    redact(talk, "b", "msg-001")
    assert talk.get(path).status == 404


@pytest.mark.parametrize("gone", [("a", "msg-001"), ("b", "msg-002")])
def test_a_memory_goes_with_any_message_that_one_of_its_versions_comes_from(talk: Api, gone: tuple[str, str]) -> None:
    path = made(talk, "msg-001")
    change(talk, path, ref("b", "msg-002"))
    redact(talk, *gone)
    assert talk.get(path).status == 404
    assert "Ada likes" not in stored_words(talk)


def test_a_memory_goes_with_messages_of_one_conversation_that_its_versions_come_from(talk: Api) -> None:
    path = made(talk, "msg-001")
    change(talk, path, ref("a", "msg-002"))
    redact(talk, "a", "msg-001")
    assert "Ada likes" not in stored_words(talk)


@pytest.mark.parametrize("conversation_id", ["a", "b"])
def test_a_memory_goes_with_a_conversation_that_one_of_its_versions_comes_from(talk: Api, conversation_id: str) -> None:
    path = made(talk, "msg-001")
    change(talk, path, ref("b", "msg-002"))
    assert talk.delete(f"/v1/conversations/{conversation_id}").status == 200
    assert talk.get(path).status == 404
    assert "Ada likes" not in stored_words(talk)


def test_a_deleted_memory_leaves_nothing_in_the_conversations_that_its_versions_came_from(talk: Api) -> None:
    path = made(talk, "msg-001")
    change(talk, path, ref("b", "msg-002"))
    assert talk.delete(path).status == 204
    for conversation_id in ("a", "b"):
        assert talk.delete(f"/v1/conversations/{conversation_id}").json["removed"]["memories"] == 2  # its messages


def test_a_version_cannot_come_from_what_is_gone(talk: Api) -> None:
    path = made(talk, "msg-001")
    redact(talk, "b", "msg-001")
    assert change(talk, path, ref("b", "msg-001")).problem[:2] == (410, "MESSAGE_REDACTED")
    assert change(talk, path, ref("b", "msg-002")).json["version"] == 2
    talk.delete("/v1/conversations/b")
    assert change(talk, made(talk, "msg-002"), ref("b", "msg-002")).problem[:2] == (410, "CONVERSATION_ERASED")


@pytest.mark.parametrize("reference", [{"conversationId": "a", "messageIds": []}, {"conversationId": "a"}, {}])
def test_a_reference_that_names_nothing_is_refused(talk: Api, reference: dict[str, Any]) -> None:
    path = made(talk, "msg-001")
    assert talk.patch(path, {"conversationRef": reference}).status == 422
    assert talk.get(path).json["version"] == 1


def test_a_message_as_a_memory_comes_from_another_message_of_its_conversation(talk: Api, stream: Stream) -> None:
    changed = change(talk, RAW, ref("a", "msg-002"))
    assert changed.json["conversationRef"]["messageIds"] == ["msg-002"]
    assert [each["messageIds"] for each in refs(talk, RAW)] == [["msg-002"], ["msg-001"]]
    stream.deliver()
    hit = talk.post("/v1/memory/search", {"memorySpaceId": "work", "query": "red"}).json["items"][0]
    assert (hit["memoryId"], hit["conversationRef"]["messageIds"]) == ("mem:a:1", ["msg-002"])
    found = talk.post("/v1/conversations/search", {"query": "likes red"}).json["items"][0]
    assert found["matches"][0]["messageId"] == "msg-001"


def test_a_message_as_a_memory_stays_in_its_conversation(talk: Api) -> None:
    field = "conversationRef.conversationId"
    assert change(talk, RAW, ref("b", "msg-002")).problem == (422, "INVALID_FORMAT", field)


@pytest.mark.parametrize("gone", ["msg-001", "msg-002"])
def test_a_message_as_a_memory_goes_with_the_message_it_comes_from_and_with_itself(
    talk: Api, stream: Stream, gone: str
) -> None:
    change(talk, RAW, ref("a", "msg-002"))
    stream.deliver()
    redact(talk, "a", gone)
    search = {"memorySpaceId": "work", "query": "red"}
    for _ in range(2):
        assert talk.get(RAW).status == 404
        assert "mem:a:1" not in [hit["memoryId"] for hit in talk.post("/v1/memory/search", search).json["items"]]
        stream.deliver()
    assert "Ada likes red" not in stored_words(talk)
    assert talk.get("/v1/conversations/a").json["messageCount"] == 2
    assert talk.get(f"/v1/conversations/{quote('a')}/messages").status == 200


def test_a_put_moves_a_memory_to_other_messages(talk: Api) -> None:
    path = "/v1/memories/by-external-id/one"
    memory = {**ADA, "content": "Ada likes blue."}
    talk.put(path, {**memory, **ref("a", "msg-001")})
    moved = talk.put(path, {**memory, **ref("b", "msg-001")}).json
    assert (moved["version"], moved["conversationRef"]["conversationId"]) == (2, "b")
    alone = talk.put(path, memory).json
    assert (alone["version"], "conversationRef" in alone) == (3, False)
    redact(talk, "a", "msg-001")
    assert talk.get(f"{path}?memorySpaceId=work&userId=ada").status == 404
