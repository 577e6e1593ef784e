"""Summaries, users' memories, spaces and persons, over HTTP, with the streams at work."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.e2e.asking import create, eventually, path_of, problem, say, verified


def found(api: httpx.Client, query: str, **more: Any) -> list[str]:
    """The texts that a search finds."""
    answer = api.post("/v1/memory/search", json={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return [item["content"] for item in answer.json()["items"]]


def test_a_summary_grows_with_its_conversation_and_goes_with_a_redaction(own: httpx.Client) -> None:
    conversation = create(own)
    assert problem(own.post(path_of(conversation, "summarize"), json={}))[:2] == (409, "NOTHING_TO_SUMMARIZE")
    say(own, conversation, "The harbour of Lisbon is large.")

    first = own.post(path_of(conversation, "summarize"), json={}).json()
    say(own, conversation, "The harbour of Porto is small.")
    second = own.post(path_of(conversation, "summarize"), json={}).json()

    assert (first["fromSeq"], first["toSeq"], second["fromSeq"], second["toSeq"]) == (1, 1, 1, 2)
    assert own.get(path_of(conversation), params={"include": "summary"}).json()["summary"] == second
    window = own.get(path_of(conversation, "context"), params={"maxTokens": 500, "includeSummary": "true"}).json()
    assert window["messages"][0]["content"] == second["summary"]
    redacted = own.post(path_of(conversation, "messages", "msg-001", "redact"), json={"reason": "asked for"})
    assert redacted.status_code == 200
    assert own.get(path_of(conversation), params={"include": "summary"}).json()["summary"] is None


def test_a_users_memory_is_listed_at_once_and_reaches_the_search_from_the_stream(own: httpx.Client) -> None:
    made = own.post("/v1/users/ada/memories", json={"memory": "Ada keeps bees.", "topics": ["bees"]})
    assert made.status_code == 201
    assert [item["memory"] for item in own.get("/v1/users/ada/memories").json()["items"]] == ["Ada keeps bees."]

    def nearest() -> list[str]:
        answer = own.post("/v1/users/ada/memories/search", json={"method": "semantic", "query": "bees"})
        return [item["memory"] for item in answer.json()["items"]]

    eventually(lambda: nearest() == ["Ada keeps bees."])
    assert own.delete(f"/v1/users/ada/memories/{made.json()['memoryId']}").status_code == 204
    eventually(lambda: found(own, "bees") == [])


def test_a_space_is_described(server: Any, api: httpx.Client) -> None:
    said = {"name": "Team", "participants": [{"participantId": "ada", "type": "person"}]}

    assert api.put("/v1/spaces/e2e-team", json=said).status_code in (200, 201)
    assert api.get("/v1/spaces/e2e-team").json()["participants"] == said["participants"]


def test_a_person_is_exported_and_then_erased_everywhere(own: httpx.Client) -> None:
    hers = create(own)
    his = create(own, {"userId": "byron", "memorySpaceId": "home"})
    say(own, hers, "Engines are mine.")
    say(own, his, "I know of engines, too.", userId="ada")
    say(own, his, "I know nothing of engines.")
    own.post("/v1/users/ada/memories", json={"memory": "Likes engines."})
    eventually(lambda: len(found(own, "engines")) == 4)
    eventually(lambda: own.get("/v1/conversations", params={"participants.userId": "ada"}).json()["items"])

    lines = [json.loads(line) for line in own.get("/v1/users/ada/export").text.splitlines()]
    assert sorted(line["type"] for line in lines) == ["conversation", "message", "message", "person", "userMemory"]

    erased = own.delete("/v1/users/ada")
    assert erased.status_code == 200, erased.text
    others = {"facts": 0, "spaces": 0, "documents": 0}
    assert erased.json()["removed"] == {"conversations": 1, "messages": 2, "memories": 2, **others}
    assert own.get(f"/v1/receipts/{erased.json()['receiptId']}").json() == erased.json()
    assert problem(own.get(path_of(hers)))[:2] == (410, "CONVERSATION_ERASED")
    assert verified(own, his)["valid"]
    eventually(lambda: found(own, "engines") == ["I know nothing of engines."])
