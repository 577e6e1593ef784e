"""Messages between agents over HTTP: one conversation a pair, whoever writes first."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.asking import at_once, eventually, history, listed, problem, verified


def send(api: httpx.Client, sender: str, receiver: str, text: str = "hello", **more: Any) -> httpx.Response:
    return api.post("/v1/a2a/messages", json={"from": sender, "to": receiver, "text": text, **more})


def test_two_agents_share_one_conversation_whoever_writes_first(own: httpx.Client) -> None:
    first, second = send(own, "a", "b", "hi b"), send(own, "b", "a", "hi a")
    assert (first.status_code, second.status_code) == (201, 201)
    made = first.json()["conversationId"]
    assert second.json()["conversationId"] == made
    assert [(each["from"], each["to"], each["content"]) for each in history(own, made)] == [
        ("a", "b", "hi b"),
        ("b", "a", "hi a"),
    ]
    assert own.get(f"/v1/conversations/{made}").json()["type"] == "agent-agent"


def test_agents_who_write_from_both_sides_at_once_share_one_conversation(own: httpx.Client) -> None:
    answers = at_once(16, lambda n: send(own, *(("a", "b") if n % 2 else ("b", "a")), f"message {n}"))
    assert {answer.status_code for answer in answers} == {201}
    (made,) = {answer.json()["conversationId"] for answer in answers}
    stored = history(own, made)
    assert [message["seq"] for message in stored] == list(range(1, 17))
    assert {message["content"] for message in stored} == {f"message {n}" for n in range(16)}
    assert verified(own, made)["valid"]
    eventually(lambda: listed(own) == [made])


def test_a_pair_is_found_by_either_agent(own: httpx.Client) -> None:
    made = send(own, "a", "b").json()["conversationId"]
    send(own, "c", "d")
    for query in (
        {"participants.agent1": "b"},
        {"participants.agent2": "b"},
        {"participants.contains": "a"},
        {"participants.agent1": "b", "participants.agent2": "a"},
    ):
        eventually(lambda query=query: listed(own, **query) == [made])


def test_the_conversation_is_the_one_that_participants_share(own: httpx.Client) -> None:
    made = send(own, "b", "a", memorySpaceId="home").json()["conversationId"]
    body = {"type": "agent-agent", "participants": {"agents": ["a", "b"], "memorySpaceId": "home"}}
    assert own.put("/v1/conversations/by-participants", json=body).json()["conversationId"] == made


def test_a_pair_has_a_conversation_in_each_space(own: httpx.Client) -> None:
    spaces: list[dict[str, Any]] = [{}, {"memorySpaceId": "one"}, {"memorySpaceId": "two"}]
    assert len({send(own, "a", "b", **space).json()["conversationId"] for space in spaces}) == 3


def test_all_that_a_message_says_comes_back(own: httpx.Client) -> None:
    metadata = {"x": [1.5, None], "snake_case": {"a": None}}
    sent = send(own, "a", "b", "a\u0000b", threadId="t", metadata=metadata).json()
    (stored,) = history(own, sent["conversationId"], threadId="t")
    assert stored["metadata"] == metadata
    assert (stored["content"], stored["threadId"]) == ("a\u0000b", "t")
    assert sent == {**stored, "conversationId": sent["conversationId"]}


def test_a_message_sent_again_is_stored_once(own: httpx.Client) -> None:
    body, key = {"from": "a", "to": "b", "text": "hello"}, {"Idempotency-Key": "k"}
    answers = at_once(8, lambda _: own.post("/v1/a2a/messages", json=body, headers=key))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(history(own, answers[0].json()["conversationId"])) == 1


def test_a_pair_whose_conversation_was_erased_gets_another(own: httpx.Client) -> None:
    first = send(own, "a", "b").json()["conversationId"]
    own.delete(f"/v1/conversations/{first}")
    second = send(own, "b", "a").json()
    assert (second["conversationId"] != first, second["seq"]) == (True, 1)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"to": "a"}, "DUPLICATE_VALUES", "to"),
        ({"to": None}, "INVALID_FORMAT", "to"),
        ({"from": ""}, "MISSING_REQUIRED_FIELD", "from"),
        ({"from": 1}, "INVALID_FORMAT", "from"),
        ({"from": "x" * 129}, "INVALID_ID_FORMAT", "from"),
        ({"text": " "}, "MISSING_REQUIRED_FIELD", "text"),
        ({"text": ["x"]}, "INVALID_FORMAT", "text"),
        ({"metadata": "x"}, "INVALID_FORMAT", "metadata"),
        ({"threadId": "a\nb"}, "INVALID_ID_FORMAT", "threadId"),
        ({"content": "x"}, "UNKNOWN_FIELD", "content"),
        ({"tenant": "local"}, "UNKNOWN_FIELD", "tenant"),
    ],
)
def test_a_message_that_cannot_be_is_refused(own: httpx.Client, change: dict[str, Any], code: str, field: str) -> None:
    answer = own.post("/v1/a2a/messages", json={"from": "a", "to": "b", "text": "x", **change})
    assert problem(answer) == (422, code, field)
    assert listed(own) == []
