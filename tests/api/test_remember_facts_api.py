"""Turns with facts: brought by the caller, or extracted by a chat model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.memory.facts import turn_facts
from annals.memory.facts.extraction import ModelExtractor, get_extractor
from annals.memory.facts.models import MAX_FACTS
from annals.memory.facts.turn_facts import MAX_STATED_BYTES
from annals.providers.structured import StructuredChat
from annals.settings import settings
from tests.conftest import Setting
from tests.fakes.writer import Writer
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

REMEMBER = "/v1/memory/remember"
LIVES = {
    "fact": "Ada lives in Paris.",
    "factType": "place",
    "confidence": 90,
    "subject": "Ada",
    "predicate": "lives in",
    "object": "Paris",
}
LIKES = {**LIVES, "fact": "Ada likes tea.", "factType": "preference", "predicate": "likes", "object": "tea"}
TURN = {
    "memorySpaceId": "home",
    "conversationId": "chat",
    "userId": "ada",
    "participantId": "tablet",
    "userMessage": "I live in Paris now, and I like tea.",
    "agentResponse": "Noted.",
}
WITH_FACTS = {**TURN, "facts": [LIVES, LIKES]}
EXTRACTED = {**TURN, "extractFacts": True}

Write = Callable[..., Writer]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Write:
    """Has a chat model give these replies."""

    def begin(*replies: str | None) -> Writer:
        writer = Writer(*replies)
        monkeypatch.setattr(turn_facts, "get_extractor", lambda: ModelExtractor(StructuredChat(writer, 5)))
        return writer

    return begin


def facts_reply(*facts: dict[str, Any]) -> str:
    return json.dumps({"facts": facts})


def remembered(api: Api, turn: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = api.post(REMEMBER, turn, **headers)
    assert answer.status == 201, answer.body
    response: dict[str, Any] = answer.json
    return response


def stored_facts(tenant: str) -> list[str]:
    items = client().scan(TableName=settings().state_table)["Items"]
    return [item["sk"]["S"] for item in items if item["pk"]["S"].startswith(f"T#{tenant}#F#")]


def history(api: Api) -> int:
    total: int = api.get("/v1/conversations/chat/messages").json["total"]
    return total


def test_a_turn_s_facts_are_stored_with_its_messages_as_their_source(api: Api) -> None:
    answer = remembered(api, WITH_FACTS)

    assert [{name: fact[name] for name in LIVES} for fact in answer["facts"]] == [LIVES, LIKES]
    for fact in answer["facts"]:
        assert fact["sourceRef"] == {"conversationId": "chat", "messageIds": ["msg-001", "msg-002"]}
        assert (fact["memorySpaceId"], fact["userId"], fact["participantId"]) == ("home", "ada", "tablet")
        assert api.get(f"/v1/facts/{fact['factId']}").json == fact
    assert "factsExtracted" not in answer


def test_a_turn_without_facts_costs_no_write_beyond_its_entry(api: Api) -> None:
    remembered(api, TURN)
    written: list[str] = []
    client().meta.events.register("before-call.dynamodb", lambda model, **_: written.append(model.name))
    answer = remembered(api, TURN)

    assert answer["facts"] == []
    assert [name for name in written if name not in ("Query", "GetItem")] == ["PutItem"]


def test_facts_hold_since_the_turn_s_time_unless_they_say_otherwise(api: Api) -> None:
    then, before = "2025-06-01T00:00:00.000Z", "2024-01-01T00:00:00.000Z"
    turn = {**WITH_FACTS, "timestamp": then, "facts": [LIVES, {**LIKES, "validFrom": before}]}

    assert [fact["validFrom"] for fact in remembered(api, turn)["facts"]] == [then, before]


def test_a_turn_s_fact_supersedes_that_of_an_earlier_turn(api: Api) -> None:
    (older,) = remembered(api, {**TURN, "facts": [{**LIVES, "object": "London"}]})["facts"]
    (newer,) = remembered(api, {**TURN, "facts": [LIVES]})["facts"]

    assert api.get(f"/v1/facts/{older['factId']}").json["supersededBy"] == newer["factId"]


@pytest.mark.parametrize(
    ("fact", "code", "field"),
    [
        ({**LIVES, "confidence": 101}, "INVALID_CONFIDENCE", "facts[1].confidence"),
        ({**LIVES, "subject": " "}, "MISSING_REQUIRED_FIELD", "facts[1].subject"),
        ({"fact": "x"}, "MISSING_REQUIRED_FIELD", "facts[1].subject"),
        ({**LIVES, "factId": "mine"}, "UNKNOWN_FIELD", "facts[1].factId"),
    ],
)
def test_a_fact_that_cannot_be_leaves_nothing_of_the_turn(api: Api, fact: Any, code: str, field: str) -> None:
    assert api.post(REMEMBER, {**TURN, "facts": [LIKES, fact]}).problem == (422, code, field)
    assert api.get("/v1/conversations/chat").status == 404


def test_too_many_facts_or_too_large_ones_leave_nothing_of_the_turn(api: Api) -> None:
    assert api.post(REMEMBER, {**TURN, "facts": [LIVES] * (MAX_FACTS + 1)}).problem[2] == "facts"
    large = {**LIVES, "metadata": {"x": "y" * MAX_STATED_BYTES}}
    assert api.post(REMEMBER, {**TURN, "facts": [large]}).problem[:2] == (413, "REQUEST_TOO_LARGE")
    assert api.get("/v1/conversations/chat").status == 404


def test_as_many_facts_as_a_turn_may_bring_are_stored(api: Api) -> None:
    facts = [{**LIVES, "predicate": f"p{number}"} for number in range(MAX_FACTS)]

    assert len(remembered(api, {**TURN, "facts": facts})["facts"]) == MAX_FACTS


def test_a_retried_turn_has_its_facts_once(api: Api, tenant: str) -> None:
    first = remembered(api, WITH_FACTS, idempotency_key="once")
    again = remembered(api, WITH_FACTS, idempotency_key="once")

    assert again == first
    assert (history(api), len(stored_facts(tenant))) == (2, 2)


def test_a_deleted_fact_does_not_come_back_with_a_retry(api: Api) -> None:
    first = remembered(api, WITH_FACTS, idempotency_key="once")["facts"]
    api.delete(f"/v1/facts/{first[0]['factId']}")

    assert remembered(api, WITH_FACTS, idempotency_key="once")["facts"] == first[1:]


def test_a_retry_after_a_redaction_brings_no_facts_back(api: Api, tenant: str) -> None:
    remembered(api, WITH_FACTS, idempotency_key="once")
    api.post("/v1/conversations/chat/messages/msg-001/redact", {"reason": "asked for"})

    assert remembered(api, WITH_FACTS, idempotency_key="once")["facts"] == []
    assert stored_facts(tenant) == []


def test_a_chat_model_extracts_what_a_turn_states(api: Api, write: Write) -> None:
    writer = write(f"Here they are:\n```json\n{facts_reply(LIVES)}\n```")

    answer = remembered(api, EXTRACTED)

    (fact,) = answer["facts"]
    assert {name: fact[name] for name in LIVES} == LIVES
    assert answer["factsExtracted"] is True
    assert "ada: I live in Paris now, and I like tea.\nagent: Noted." in writer.prompts[0]


def test_extracted_facts_stand_behind_those_that_were_brought(api: Api, write: Write) -> None:
    write(facts_reply(LIKES))
    answer = remembered(api, {**EXTRACTED, "facts": [LIVES]})

    assert [fact["object"] for fact in answer["facts"]] == ["Paris", "tea"]


BAD = ["no JSON", '{"facts": [', facts_reply({"fact": "half"}), facts_reply({**LIVES, "confidence": 101}), "[]"]


@pytest.mark.parametrize("bad", BAD)
def test_an_answer_in_another_form_is_asked_for_once_more(api: Api, write: Write, bad: str) -> None:
    writer = write(bad, facts_reply(LIVES))

    assert len(remembered(api, EXTRACTED)["facts"]) == 1
    assert len(writer.prompts) == 2


@pytest.mark.parametrize("replies", [[facts_reply(LIVES, {"fact": "half"})] * 2, [None]])
def test_an_extraction_that_fails_is_told_and_nothing_of_it_stored(
    api: Api, tenant: str, write: Write, replies: list[str | None]
) -> None:
    write(*replies)
    answer = remembered(api, EXTRACTED)

    assert (answer["facts"], answer["factsExtracted"]) == ([], False)
    assert answer["factsProblem"].startswith("No facts were extracted: ")
    assert (history(api), stored_facts(tenant)) == (2, [])


def test_a_retry_extracts_what_could_not_be_extracted_and_never_twice(api: Api, tenant: str, write: Write) -> None:
    writer = write(None, facts_reply(LIVES))
    assert not remembered(api, EXTRACTED, idempotency_key="once")["factsExtracted"]
    second = remembered(api, EXTRACTED, idempotency_key="once")
    third = remembered(api, EXTRACTED, idempotency_key="once")

    assert third == second
    assert (len(second["facts"]), len(writer.prompts), len(stored_facts(tenant))) == (1, 2, 1)


def test_that_a_turn_states_no_fact_is_an_answer_to_keep(api: Api, write: Write) -> None:
    writer = write(facts_reply())
    first = remembered(api, EXTRACTED, idempotency_key="once")

    assert (first["facts"], first["factsExtracted"]) == ([], True)
    assert remembered(api, EXTRACTED, idempotency_key="once") == first
    assert len(writer.prompts) == 1


def test_without_a_chat_model_nothing_is_extracted_and_the_answer_says_so(api: Api, setting: Setting) -> None:
    setting("CHAT_URL", "offline")
    get_extractor.cache_clear()
    answer = remembered(api, EXTRACTED)
    get_extractor.cache_clear()

    assert (answer["facts"], answer["factsExtracted"]) == ([], False)
    assert "CHAT_URL" in answer["factsProblem"]


def test_erasing_the_conversation_takes_its_turns_facts(api: Api, tenant: str) -> None:
    remembered(api, WITH_FACTS)

    assert api.delete("/v1/conversations/chat").json["removed"] == {"messages": 2, "memories": 2, "facts": 2}
    assert stored_facts(tenant) == []


OF_TURN = "/v1/memory/remember-facts"
STORED = {"memorySpaceId": "home", "conversationId": "chat", "userId": "ada", "messageIds": ["msg-001", "msg-002"]}


def of_turn(api: Api, **more: Any) -> dict[str, Any]:
    answer = api.post(OF_TURN, {**STORED, **more})
    assert answer.status == 201, answer.body
    response: dict[str, Any] = answer.json
    return response


def test_the_facts_of_a_stored_turn_are_stored_once(api: Api, tenant: str) -> None:
    remembered(api, TURN)

    first = of_turn(api, facts=[LIVES, LIKES])

    assert of_turn(api, facts=[LIVES, LIKES]) == first
    assert [fact["fact"] for fact in first["facts"]] == [LIVES["fact"], LIKES["fact"]]
    assert [fact["sourceRef"]["messageIds"] for fact in first["facts"]] == [["msg-001", "msg-002"]] * 2
    assert "factsExtracted" not in first
    assert len(stored_facts(tenant)) == 2


def test_other_facts_of_a_stored_turn_are_stored_beside_those_it_has(api: Api, tenant: str) -> None:
    remembered(api, {**TURN, "facts": [LIVES]})

    assert [fact["fact"] for fact in of_turn(api, facts=[LIKES])["facts"]] == [LIKES["fact"]]
    assert len(stored_facts(tenant)) == 2


def test_the_facts_that_a_stored_turn_states_are_extracted_once(api: Api, write: Write) -> None:
    remembered(api, TURN)
    writer = write(facts_reply(LIVES))

    first = of_turn(api, extractFacts=True, agentId="helper")

    assert of_turn(api, extractFacts=True) == first
    assert (first["factsExtracted"], first["facts"][0]["fact"]) == (True, LIVES["fact"])
    [question] = writer.prompts
    assert question.splitlines()[1:] == [f"ada: {TURN['userMessage']}", f"helper: {TURN['agentResponse']}"]


def test_a_turn_that_was_withdrawn_states_no_facts(api: Api, tenant: str, write: Write) -> None:
    remembered(api, TURN)
    write(facts_reply(LIVES))
    api.post("/v1/conversations/chat/messages/msg-001/redact", {"reason": "asked for"})

    assert of_turn(api, facts=[LIKES], extractFacts=True) == {"facts": []}
    assert stored_facts(tenant) == []


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"messageIds": ["msg-009"]}, (404, "MESSAGE_NOT_FOUND")),
        ({"messageIds": []}, (422, "EMPTY_ARRAY")),
        ({"conversationId": "nowhere"}, (404, "CONVERSATION_NOT_FOUND")),
        ({"memorySpaceId": "away"}, (409, "MEMORY_SPACE_MISMATCH")),
    ],
)
def test_facts_of_a_turn_that_is_not_there_are_refused(
    api: Api, tenant: str, more: dict[str, Any], problem: tuple[int, str]
) -> None:
    remembered(api, TURN)

    assert api.post(OF_TURN, {**STORED, "facts": [LIVES], **more}).problem[:2] == problem
    assert api.limited(spaces={"away"}).post(OF_TURN, {**STORED, "facts": [LIVES]}).status == 404
    assert api.limited(scopes={"read"}).post(OF_TURN, {**STORED, "facts": [LIVES]}).status == 403
    assert stored_facts(tenant) == []
