"""Facts from a turn to a prompt, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.e2e.asking import eventually, problem

ADA = {"memorySpaceId": "home", "userId": "ada"}
LIVES = {"fact": "Ada lives in London.", "subject": "Ada", "predicate": "lives in", "object": "London"}
MOVED = {**LIVES, "fact": "Ada lives in Paris.", "object": "Paris"}
ASKED = {"query": "Where does Ada live?", "memorySpaceId": "home"}


def remember(own: httpx.Client, message: str, fact: dict[str, Any]) -> dict[str, Any]:
    turn = {**ADA, "conversationId": "chat", "userMessage": message, "agentResponse": "Noted.", "facts": [fact]}
    answer = own.post("/v1/memory/remember", json=turn)
    assert answer.status_code == 201, answer.text
    facts: list[dict[str, Any]] = answer.json()["facts"]
    assert len(facts) == 1
    return facts[0]


def found_facts(own: httpx.Client) -> list[str]:
    answer = own.post("/v1/memory/search", json={**ASKED, "filter": {"contentType": "fact"}})
    assert answer.status_code == 200, answer.text
    return [hit["content"] for hit in answer.json()["items"]]


def listed(own: httpx.Client, **query: str) -> list[str]:
    answer = own.get("/v1/facts", params=query)
    assert answer.status_code == 200, answer.text
    return [fact["object"] for fact in answer.json()["items"]]


def test_a_fact_is_remembered_found_superseded_recalled_and_erased(own: httpx.Client) -> None:
    older = remember(own, "I live in London.", LIVES)
    eventually(lambda: found_facts(own) == [LIVES["fact"]])

    newer = remember(own, "I have moved to Paris.", MOVED)
    eventually(lambda: found_facts(own) == [MOVED["fact"]])

    superseded = own.get(f"/v1/facts/{older['factId']}").json()
    assert (superseded["supersededBy"], superseded["validTo"]) == (newer["factId"], newer["validFrom"])
    assert listed(own, subject="ada", predicate="lives in") == ["Paris"]
    assert listed(own, subject="ada", includeSuperseded="true") == ["Paris", "London"]
    assert listed(own, subject="ada", at=older["validFrom"]) == ["London"]

    recalled = own.post("/v1/memory/recall", json={**ASKED, "conversationId": "chat", "maxTokens": 100}).json()
    assert [fact["object"] for fact in recalled["facts"]] == ["Paris"]
    assert recalled["history"][0]["content"] == "I live in London."
    assert MOVED["fact"] in recalled["context"]
    assert LIVES["fact"] not in recalled["context"]
    assert recalled["tokens"] <= 100

    receipt = own.delete("/v1/conversations/chat").json()
    assert receipt["removed"] == {"messages": 4, "memories": 4, "facts": 2}
    assert problem(own.get(f"/v1/facts/{newer['factId']}")) == (404, "FACT_NOT_FOUND", None)
    eventually(lambda: not found_facts(own))


def test_the_server_s_offline_model_extracts_nothing_and_the_answer_says_so(own: httpx.Client) -> None:
    turn = {**ADA, "userMessage": "I live in Paris.", "agentResponse": "Noted.", "extractFacts": True}
    answer = own.post("/v1/memory/remember", json=turn).json()

    assert (answer["facts"], answer["factsExtracted"]) == ([], False)
    assert "CHAT_URL" in answer["factsProblem"]
