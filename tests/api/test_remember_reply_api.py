"""Turns whose reply comes later: the user's message first, then the reply to it."""

from __future__ import annotations

from typing import Any

import pytest

from annals.ledger.keys import conversation_pk
from annals.ledger.read import read_records
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

REMEMBER = "/v1/memory/remember"
OWNERS = {"memorySpaceId": "work", "userId": "ada", "conversationId": "conv-1"}
QUESTION = {**OWNERS, "userMessage": "When does it run?"}
REPLY = {**OWNERS, "userMessageId": "msg-001", "agentResponse": "At nine."}
FACT = {"fact": "It runs at nine.", "subject": "it", "predicate": "runs at", "object": "nine"}


def _history(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/v1/conversations/conv-1/messages").json["items"]
    return items


def test_the_users_message_is_stored_alone_and_makes_its_conversation(api: Api) -> None:
    answer = api.post(REMEMBER, QUESTION)
    assert answer.status == 201
    assert answer.json["conversation"] == {
        "conversationId": "conv-1",
        "messageIds": ["msg-001"],
        "messageCount": 1,
    }
    assert [memory["content"] for memory in answer.json["memories"]] == ["When does it run?"]


def test_the_reply_follows_and_the_answer_shows_the_whole_turn(api: Api) -> None:
    first = api.post(REMEMBER, QUESTION).json
    api.post("/v1/conversations/conv-1/messages", {"role": "user", "content": "Hello?"})
    answer = api.post(REMEMBER, REPLY)
    assert answer.status == 201
    assert answer.json["conversation"] == {
        "conversationId": "conv-1",
        "messageIds": ["msg-001", "msg-003"],
        "messageCount": 3,
    }
    assert [memory["content"] for memory in answer.json["memories"]] == ["When does it run?", "At nine."]
    assert answer.json["memories"][0] == first["memories"][0]
    assert answer.json["facts"] == []


def test_a_message_within_an_entry_of_several_is_answered(api: Api) -> None:
    api.post(REMEMBER, {**QUESTION, "agentResponse": "Later."})
    api.post(
        "/v1/conversations/conv-1/messages",
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "And now?"}]},
    )
    answer = api.post(REMEMBER, {**REPLY, "userMessageId": "msg-004"}).json
    assert answer["conversation"]["messageIds"] == ["msg-004", "msg-005"]
    assert [memory["content"] for memory in answer["memories"]] == ["And now?", "At nine."]


def test_facts_come_with_the_reply_from_both_messages(api: Api) -> None:
    api.post(REMEMBER, QUESTION)
    answer = api.post(REMEMBER, {**REPLY, "facts": [FACT]}).json
    (fact,) = answer["facts"]
    assert fact["sourceRef"] == {"conversationId": "conv-1", "messageIds": ["msg-001", "msg-002"]}
    assert api.get(f"/v1/facts/{fact['factId']}").json["fact"] == "It runs at nine."


def test_two_replies_to_one_message_have_facts_of_their_own(api: Api) -> None:
    api.post(REMEMBER, QUESTION)
    other = {**FACT, "predicate": "is", "object": "late"}
    first = api.post(REMEMBER, {**REPLY, "facts": [FACT]}).json["facts"]
    second = api.post(REMEMBER, {**REPLY, "facts": [other]}).json["facts"]
    assert [fact["object"] for fact in (*first, *second)] == ["nine", "late"]


def test_a_reply_sent_again_with_its_key_is_stored_once_with_its_facts(api: Api) -> None:
    api.post(REMEMBER, QUESTION)
    first = api.post(REMEMBER, {**REPLY, "facts": [FACT]}, idempotency_key="k")
    again = api.post(REMEMBER, {**REPLY, "facts": [FACT]}, idempotency_key="k")
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert len(_history(api)) == 2


def test_a_reply_that_broke_off_says_so_and_why(api: Api) -> None:
    api.post(REMEMBER, QUESTION)
    said = {"content": "At ni", "status": "incomplete", "finishReason": "length"}
    api.post(REMEMBER, {**REPLY, "agentResponse": said, "extractFacts": True})
    assert {name: _history(api)[1][name] for name in said} == said


def test_who_answers_is_the_participant_of_the_reply_alone(api: Api) -> None:
    for turn in ({**QUESTION, "agentResponse": "At nine."}, QUESTION, {**REPLY, "userMessageId": "msg-003"}):
        api.post(REMEMBER, {**turn, "participantId": "tablet"})
    assert [(each["role"], each.get("participantId")) for each in _history(api)] == [
        ("user", None),
        ("assistant", "tablet"),
        ("user", None),
        ("assistant", "tablet"),
    ]
    assert "participantId" not in api.get("/v1/conversations/conv-1").json["participants"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"userMessageId": "msg-009"}, (404, "MESSAGE_NOT_FOUND", None)),
        ({"userMessageId": "msg-002"}, (422, "INVALID_ROLE", "userMessageId")),
        ({"userMessageId": None}, (422, "INVALID_FORMAT", "userMessageId")),
        ({"conversationId": "conv-2"}, (404, "CONVERSATION_NOT_FOUND", None)),
        ({"memorySpaceId": "home"}, (409, "MEMORY_SPACE_MISMATCH", "memorySpaceId")),
        ({"userId": "bob"}, (409, "PARTICIPANT_MISMATCH", "userId")),
        ({"userId": None}, (422, "OWNER_REQUIRED", "userId")),
        ({"agentResponse": " "}, (422, "MISSING_REQUIRED_FIELD", "agentResponse")),
        ({"agentResponse": {"role": "user", "content": "x"}}, (422, "INVALID_ROLE", "agentResponse.role")),
        ({"userMessage": "again"}, (422, "UNKNOWN_FIELD", "userMessage")),
        ({"conversation": {"metadata": {}}}, (422, "UNKNOWN_FIELD", "conversation")),
    ],
)
def test_a_reply_that_cannot_be_is_refused_by_field(api: Api, more: dict[str, Any], problem: tuple[Any, ...]) -> None:
    api.post(REMEMBER, {**QUESTION, "agentResponse": "Later."})
    assert api.post(REMEMBER, {**REPLY, **more}).problem == problem
    assert len(_history(api)) == 2


def test_a_message_that_was_redacted_gets_no_reply(api: Api) -> None:
    api.post(REMEMBER, QUESTION)
    api.post("/v1/conversations/conv-1/messages/msg-001/redact", {"reason": "asked"})
    assert api.post(REMEMBER, REPLY).problem[:2] == (410, "MESSAGE_REDACTED")
    assert len(_history(api)) == 1


def test_a_retry_after_a_redaction_finds_its_reply_and_states_nothing(api: Api) -> None:
    api.post(REMEMBER, QUESTION)
    reply = {**REPLY, "facts": [FACT]}
    api.post(REMEMBER, reply, idempotency_key="k")
    api.post("/v1/conversations/conv-1/messages/msg-001/redact", {"reason": "asked"})
    again = api.post(REMEMBER, reply, idempotency_key="k")
    assert (again.status, again.json["facts"]) == (201, [])
    assert again.json["conversation"]["messageIds"] == ["msg-001", "msg-002"]
    assert [memory["content"] for memory in again.json["memories"]] == ["At nine."]


def test_in_a_conversation_of_no_user_the_reply_says_whom_it_answers(api: Api) -> None:
    participants = {"agentId": "guide", "memorySpaceId": "work"}
    made = {"type": "user-agent", "conversationId": "conv-1", "participants": participants}
    api.post("/v1/conversations", made)
    for user in ("ada", "bob"):
        api.post("/v1/conversations/conv-1/messages", {"role": "user", "content": "Hi", "userId": user})
    owners = {"memorySpaceId": "work", "agentId": "guide", "conversationId": "conv-1"}
    api.post(REMEMBER, {**owners, "userMessageId": "msg-001", "agentResponse": "At nine."})
    pk = conversation_pk(api.caller.tenant, "conv-1")
    (entry,) = read_records(pk, 3, 3)
    assert (entry.records[0].json_body() or {})["memory"] == {"answers": 1}


def contents(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


@pytest.mark.parametrize("user", [{"userId": "ada"}, {"agentId": "guide"}], ids=["a user's", "nobody's"])
@pytest.mark.parametrize("tool_calls", ["all", "unfinished"])
def test_replies_of_turns_that_went_on_at_once_stand_with_their_questions(
    api: Api, user: dict[str, str], tool_calls: str
) -> None:
    turn = {"memorySpaceId": "work", "conversationId": "conv-1", **user}
    for question in ("One?", "Two?", "Three?"):
        api.post(REMEMBER, {**turn, "userMessage": question})
    for message_id, reply in (("msg-002", "Second."), ("msg-001", "First.")):
        api.post(REMEMBER, {**turn, "userMessageId": message_id, "agentResponse": reply})
    expected = ["One?", "First.", "Two?", "Second.", "Three?"]
    window = api.get(f"/v1/conversations/conv-1/context?maxTokens=1000&toolCalls={tool_calls}").json
    assert contents(window["messages"]) == expected
    chat = api.get("/v1/conversations/conv-1/context?maxTokens=1000&format=openai-chat").json
    assert contents(chat["messages"]) == expected
    assert contents(_history(api)) == ["One?", "Two?", "Three?", "Second.", "First."]


def test_a_reply_whose_question_is_not_shown_stays_in_its_place(api: Api) -> None:
    turn = {"memorySpaceId": "work", "conversationId": "conv-1", "userId": "ada"}
    for question in ("One?", "Two?"):
        api.post(REMEMBER, {**turn, "userMessage": question})
    for message_id, reply in (("msg-002", "Second."), ("msg-001", "First.")):
        api.post(REMEMBER, {**turn, "userMessageId": message_id, "agentResponse": reply})
    api.post("/v1/conversations/conv-1/archive", {"before": 2})
    window = api.get("/v1/conversations/conv-1/context?maxTokens=1000").json
    assert contents(window["messages"])[-1] == "First."


def test_what_a_turn_did_before_its_reply_stays_before_it(api: Api) -> None:
    turn = {"memorySpaceId": "work", "conversationId": "conv-1", "userId": "ada"}
    api.post(REMEMBER, {**turn, "userMessage": "One?"})
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    api.post("/v1/conversations/conv-1/messages", {"role": "assistant", "content": "", "tool_calls": [call]})
    result = {"role": "tool", "tool_call_id": "a", "content": "nine"}
    api.post("/v1/conversations/conv-1/messages", result)
    api.post(REMEMBER, {**turn, "userMessageId": "msg-001", "agentResponse": "At nine."})
    window = api.get("/v1/conversations/conv-1/context?maxTokens=1000").json
    assert contents(window["messages"]) == ["One?", "", "nine", "At nine."]
