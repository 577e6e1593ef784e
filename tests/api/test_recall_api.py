"""Recall: facts, memories and recent messages, and a text for a prompt, over the functions' real events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.errors import SearchUnavailable
from annals.formats.tokens import estimate
from annals.memory import adapters
from annals.memory.recall.recall_text import fit_to_budget
from annals.quoting import to_one_line
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index
from tests.support.strategies import texts

pytestmark = pytest.mark.usefixtures("moto")

RECALL = "/v1/memory/recall"
ADA = {"memorySpaceId": "home", "userId": "ada"}
LIVES = {**ADA, "fact": "Ada lives in London.", "subject": "Ada", "predicate": "lives in", "object": "London"}
BEGAN = {"validFrom": "2024-01-01T00:00:00Z"}
MOVED = {**LIVES, "fact": "Ada lives in Paris.", "object": "Paris", "validFrom": "2025-01-01T00:00:00Z"}
TURN = {
    **ADA,
    "conversationId": "chat",
    "userMessage": "Does Ada live in a flat?",
    "agentResponse": "Yes, Ada lives in a flat by the river.",
    "timestamp": "2025-02-01T10:00:00Z",
}
ASKED = {"query": "Where does Ada live?"}


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as found:
        yield found


@pytest.fixture
def filled(api: Api, stream: Stream) -> Api:
    """A client of a tenant in which Ada has moved, and two have talked of it."""
    for path, body in (("/v1/facts", LIVES | BEGAN), ("/v1/facts", MOVED), ("/v1/memory/remember", TURN)):
        assert api.post(path, body).status == 201
    stream.deliver()
    stream.deliver_ledger()
    return api


def recalled(api: Api, **more: Any) -> dict[str, Any]:
    answer = api.post(RECALL, {**ASKED, **more})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def contents(found: dict[str, Any], name: str) -> list[str]:
    return [each["content"] for each in found[name]]


def test_the_context_names_facts_that_hold_first_and_then_memories_in_the_order_of_time(filled: Api) -> None:
    found = recalled(filled)

    assert found["context"] == (
        "What is known:\n"
        "- [2025-01-01] Ada lives in Paris.\n"
        "\n"
        "What is remembered from earlier, oldest first:\n"
        "- [2025-02-01] user: Does Ada live in a flat?\n"
        "- [2025-02-01] assistant: Yes, Ada lives in a flat by the river."
    )
    assert found["tokens"] == estimate(found["context"])


def test_facts_and_other_memories_come_apart(filled: Api) -> None:
    found = recalled(filled)

    assert [fact["object"] for fact in found["facts"]] == ["Paris"]
    assert set(contents(found, "items")) == {TURN["userMessage"], TURN["agentResponse"]}
    assert found["history"] == []


def test_items_are_what_the_search_finds(filled: Api) -> None:
    query = {**ASKED, "filter": {"contentType": "raw"}, "limit": 1, "explain": True}

    assert filled.post(RECALL, query).json["items"] == filled.post("/v1/memory/search", query).json["items"]


def test_facts_take_no_other_memory_s_place(filled: Api, stream: Stream) -> None:
    for place in ("Rome", "Oslo", "Bern"):
        filled.post("/v1/facts", {**LIVES, "subject": f"Ada of {place}", "object": place})
    own = {**ADA, "content": "Ada's live address is secret.", "contentType": "fact"}
    assert filled.post("/v1/memories", own).status == 201
    stream.deliver()

    found = recalled(filled, limit=3)

    assert set(contents(found, "items")) == {TURN["userMessage"], TURN["agentResponse"], own["content"]}
    assert own["content"] in found["context"].partition("\n\n")[0]


@pytest.mark.parametrize("named", [{"conversationId": "chat"}, {"filter": {"conversationId": "chat"}}])
def test_recent_messages_of_a_conversation_come_with_it_and_are_not_told_twice(filled: Api, named: Any) -> None:
    found = recalled(filled, history=1, **named)

    assert contents(found, "history") == [TURN["agentResponse"]]
    assert TURN["agentResponse"] not in found["context"]
    assert TURN["agentResponse"] in contents(found, "items")


def test_history_is_in_the_order_in_which_it_was_said_and_0_is_none(filled: Api) -> None:
    both = [TURN["userMessage"], TURN["agentResponse"]]

    assert contents(recalled(filled, conversationId="chat"), "history") == both
    assert recalled(filled, conversationId="chat", history=0)["history"] == []


def test_a_question_is_embedded_once(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    query: list[list[str]] = []
    embedder, embed = adapters.embedder(), adapters.embedder().embed
    monkeypatch.setattr(embedder, "semantic", True, raising=False)
    monkeypatch.setattr(embedder, "embed", lambda texts: query.append([*texts]) or embed(texts))

    assert recalled(filled)["items"]
    assert len(query) == 1


def test_what_the_index_does_not_say_of_facts_is_not_passed_over(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    find_candidates = adapters.index().find_candidates

    def without_facts(scope: Any, **query: Any) -> Any:
        if scope.filters.content_type == "fact":
            raise SearchUnavailable("The index is silent.")
        return find_candidates(scope, **query)

    monkeypatch.setattr(adapters.index(), "find_candidates", without_facts)
    assert filled.post(RECALL, ASKED).problem[:2] == (503, "SEARCH_UNAVAILABLE")


def test_a_consistent_recall_knows_what_was_said_a_moment_ago(api: Api, stream: Stream) -> None:
    api.post("/v1/memory/remember", TURN)

    assert contents(recalled(api, filter={"conversationId": "chat"}, consistent=True, history=0), "items")


@pytest.mark.parametrize("most", [1, 5, 12, 20, 30, 50])
def test_the_context_is_never_over_the_budget(filled: Api, most: int) -> None:
    found = recalled(filled, maxTokens=most)

    assert found["tokens"] == estimate(found["context"]) <= most
    assert ("Paris" in found["context"]) == (most >= 13)


@given(st.lists(st.tuples(st.sampled_from(["fact", "raw"]), texts), max_size=8), st.integers(1, 60))
def test_no_choice_of_memories_makes_a_text_over_the_budget(said: list[tuple[str, str]], most: int) -> None:
    memories: list[Any] = [
        {"contentType": kind, "content": text, "createdAt": f"2025-01-{day:02d}T00:00:00.000Z"}
        for day, (kind, text) in enumerate(said, start=1)
    ]
    chosen, text = fit_to_budget(memories, most)

    assert estimate(text) <= most
    assert all(to_one_line(memory["content"]) in text for memory in chosen)


def test_what_another_key_may_not_see_is_not_recalled(filled: Api) -> None:
    work = filled.limited(spaces={"work"})

    assert recalled(work) == {"items": [], "facts": [], "history": [], "context": "", "tokens": 0}
    assert work.post(RECALL, {**ASKED, "conversationId": "chat"}).problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert filled.limited(scopes={"write"}).post(RECALL, ASKED).problem[:2] == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"query": " "}, "MISSING_REQUIRED_FIELD", "query"),
        ({"query": None}, "MISSING_REQUIRED_FIELD", "query"),
        ({"maxTokens": 0}, "INVALID_RANGE", "maxTokens"),
        ({"history": 101}, "INVALID_RANGE", "history"),
        ({"limit": 0}, "INVALID_RANGE", "limit"),
        ({"minScore": 2}, "INVALID_RANGE", "minScore"),
        ({"consistent": True}, "MISSING_REQUIRED_FIELD", "filter.conversationId"),
        ({"colour": "red"}, "UNKNOWN_FIELD", "colour"),
    ],
)
def test_a_question_that_cannot_be_is_refused_by_field(
    api: Api, stream: Stream, more: Any, code: str, field: str
) -> None:
    assert api.post(RECALL, {**ASKED, **more}).problem == (422, code, field)
