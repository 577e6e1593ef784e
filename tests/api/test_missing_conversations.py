"""Conversations that are made on the way, by whatever is written to them first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annals.memory import adapters
from tests.conftest import Setting
from tests.support.api import Api, Reply
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

PATH = "/v1/conversations/call-7"
MESSAGES, REMEMBER, A2A = f"{PATH}/messages", "/v1/memory/remember", "/v1/a2a/messages"
ADA = {"userId": "ada", "memorySpaceId": "work"}
MADE = {"participants": ADA, "metadata": {"channel": "phone"}}
SAID = {"role": "user", "content": "hello"}
TURN = {**ADA, "conversationId": "call-7", "userMessage": "q", "agentResponse": "a"}
PAIR = {"from": "planner", "to": "critic", "text": "go", "memorySpaceId": "work"}


def append(api: Api, conversation: Any = MADE, **headers: str) -> Reply:
    return api.post(MESSAGES, {**SAID, "conversation": conversation}, **headers)


def of(**participants: Any) -> dict[str, Any]:
    return {"participants": participants}


def test_an_append_makes_a_missing_conversation_with_what_is_said(api: Api) -> None:
    answer = append(api)
    assert (answer.status, answer.json["messageCount"], answer.headers["etag"]) == (201, 1, '"1"')
    assert "conversation" not in answer.json["messages"][0]
    made = api.get(PATH).json
    assert (made["type"], made["participants"], made["metadata"]) == ("user-agent", ADA, {"channel": "phone"})
    assert api.get(MESSAGES).json["items"] == answer.json["messages"]
    assert [each["conversationId"] for each in api.get("/v1/conversations").json["items"]] == ["call-7"]


def test_several_messages_make_a_missing_conversation_together(api: Api) -> None:
    answer = api.post(MESSAGES, {"messages": [SAID, SAID], "conversation": MADE})
    assert (answer.status, answer.json["messageCount"]) == (201, 2)
    assert api.get(f"{PATH}/verify").json["entries"] == 2


@pytest.mark.parametrize("agents", [{"agents": ["b", "a"]}, {"agent1": "b", "agent2": "a"}])
def test_two_agents_make_a_conversation_of_agents(api: Api, agents: dict[str, Any]) -> None:
    assert append(api, of(**agents)).status == 201
    assert append(api, of(agents=["a", "b"])).status == 201
    assert (api.get(PATH).json["type"], api.get(PATH).json["messageCount"]) == ("agent-agent", 2)


def test_one_that_exists_is_appended_to_and_keeps_its_metadata(api: Api) -> None:
    append(api)
    assert append(api, {**MADE, "metadata": {"channel": "chat"}}).json["messageCount"] == 2
    assert append(api, of(**ADA, agentId="guide")).json["messageCount"] == 3
    assert api.get(PATH).json["metadata"] == {"channel": "phone"}
    assert api.get(PATH).json["participants"] == ADA


@pytest.mark.parametrize(
    ("other", "code", "field"),
    [
        (of(userId="bob", memorySpaceId="work"), "PARTICIPANT_MISMATCH", "userId"),
        (of(userId="ada", memorySpaceId="home"), "MEMORY_SPACE_MISMATCH", "memorySpaceId"),
        (of(agents=["a", "b"], memorySpaceId="work"), "PARTICIPANT_MISMATCH", None),
    ],
)
def test_one_that_exists_of_others_is_refused(api: Api, other: Any, code: str, field: str | None) -> None:
    append(api)
    name = f"conversation.participants.{field}" if field else "conversation.participants"
    assert append(api, other).problem == (409, code, name)
    assert api.get(PATH).json["messageCount"] == 1


def test_other_agents_than_those_of_the_conversation_are_refused(api: Api) -> None:
    append(api, of(agents=["a", "b"]))
    assert append(api, of(agents=["a", "c"])).problem == (
        409, "PARTICIPANT_MISMATCH", "conversation.participants.agents",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("conversation", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "conversation.participants"),
        (of(), "INVALID_PARTICIPANTS", "conversation.participants"),
        (of(userId="ada"), "MISSING_REQUIRED_FIELD", "conversation.participants.memorySpaceId"),
        (of(agents=["a", "a"]), "DUPLICATE_VALUES", "conversation.participants"),
        ({"type": "agent-agent", **MADE}, "INVALID_PARTICIPANTS", "conversation.participants"),
        ({"type": "group", **MADE}, "INVALID_TYPE", "conversation.type"),
        ({**MADE, "conversationId": "x"}, "UNKNOWN_FIELD", "conversation.conversationId"),
        ({**MADE, "participants": {**ADA, "userId": "a\nb"}}, "INVALID_ID_FORMAT", "conversation.participants.userId"),
    ],
)
def test_a_conversation_that_cannot_be_is_refused_and_nothing_is_stored(
    api: Api, conversation: Any, code: str, field: str
) -> None:
    assert append(api, conversation).problem == (422, code, field)
    assert api.get(PATH).status == 404


def test_a_message_that_cannot_be_stored_makes_no_conversation(api: Api) -> None:
    assert api.post(MESSAGES, {"role": "bot", "content": "x", "conversation": MADE}).status == 422
    assert api.post(MESSAGES, {"role": "user", "content": "x" * 400_000, "conversation": MADE}).status == 413
    assert append(api, {**MADE, "metadata": {"a": "x" * 140_000}}).status == 413
    assert api.get(PATH).status == 404


def test_a_word_that_is_a_route_is_no_id_of_a_new_conversation(api: Api) -> None:
    answer = api.post("/v1/conversations/export/messages", {**SAID, "conversation": MADE})
    assert answer.problem == (422, "INVALID_ID_FORMAT", "conversationId")


def test_without_a_conversation_an_unknown_id_stays_unknown(api: Api) -> None:
    assert api.post(MESSAGES, SAID).problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert api.post(MESSAGES, {**SAID, "conversation": None}).status == 404
    assert api.get(MESSAGES).status == 404


def test_the_id_of_an_erased_conversation_is_not_used_again(api: Api) -> None:
    append(api)
    assert api.delete(PATH).status == 200
    for conversation in (MADE, of(userId="bob", memorySpaceId="work"), of(agents=["a", "b"])):
        assert append(api, conversation).status == 410
    assert api.post(REMEMBER, {**TURN, "userId": "bob"}).status == 410


def test_a_key_makes_conversations_in_its_own_spaces_alone(api: Api) -> None:
    limited = api.limited(spaces={"home"})
    assert append(limited).status == 404
    assert append(limited, of(agents=["a", "b"])).status == 404
    assert api.get(PATH).status == 404
    assert append(limited, of(userId="ada", memorySpaceId="home")).status == 201
    assert append(api.limited(spaces={"work"})).status == 404
    assert append(api.limited(scopes={"read"})).status == 403


def test_a_missing_conversation_is_at_no_other_seq_than_its_beginning(api: Api) -> None:
    assert append(api, if_match='"3"').status == 404
    assert append(api, if_match='"0"').status == 201
    assert append(api, if_match='"0"').status == 412


def test_a_repeat_with_its_key_makes_nothing_again(api: Api) -> None:
    first = append(api, idempotency_key="k")
    again = append(api, idempotency_key="k")
    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert api.get(PATH).json["messageCount"] == 1


def test_a_turn_makes_its_conversation_with_metadata_and_more_participants(api: Api) -> None:
    more = {"participants": {"agentId": "guide"}, "metadata": {"channel": "phone"}}
    assert api.post(REMEMBER, {**TURN, "conversation": more}).status == 201
    made = api.get(PATH).json
    assert (made["metadata"], made["participants"]) == ({"channel": "phone"}, {**ADA, "agentId": "guide"})
    other = {"participants": {"agentId": "other"}}
    assert api.post(REMEMBER, {**TURN, "conversation": other}).problem[1] == "PARTICIPANT_MISMATCH"
    assert api.post(REMEMBER, {**TURN, "conversation": {"metadata": {"x": 1}}}).status == 201
    assert api.get(PATH).json["metadata"] == {"channel": "phone"}


def test_a_turn_without_an_id_makes_a_conversation_with_metadata(api: Api) -> None:
    made = api.post(REMEMBER, {**TURN, "conversationId": None, "conversation": {"metadata": {"x": 1}}}).json
    assert api.get(f"/v1/conversations/{made['conversation']['conversationId']}").json["metadata"] == {"x": 1}


@pytest.mark.parametrize("name", ["userId", "memorySpaceId"])
def test_a_turn_and_its_conversation_name_the_same_participants(api: Api, name: str) -> None:
    answer = api.post(REMEMBER, {**TURN, "conversation": {"participants": {name: "other"}}})
    assert answer.problem == (422, "INVALID_PARTICIPANTS", f"conversation.participants.{name}")


def test_a_turn_between_agents_makes_a_conversation_of_agents(api: Api) -> None:
    turn = {**TURN, "userId": None, "agentId": "a", "conversation": {"participants": {"agents": ["a", "b"]}}}
    assert api.post(REMEMBER, {name: value for name, value in turn.items() if value}).status == 201
    assert api.get(PATH).json["participants"] == {"agent1": "a", "agent2": "b", "memorySpaceId": "work"}


def test_a_streamed_turn_makes_its_conversation_with_metadata(api: Api, tmp_path: Path, setting: Setting) -> None:
    setting("CHAT_URL", "offline")
    setting("EMBEDDINGS_URL", "offline")
    adapters.chat.cache_clear()
    turn = {
        **ADA,
        "conversationId": "call-7",
        "userMessage": "q",
        "runId": "run/1",
        "conversation": {"metadata": {"x": 1}},
    }
    with embedded_index(tmp_path):
        assert api.post("/v1/memory/remember-stream", turn).status == 200
    assert api.get(PATH).json["metadata"] == {"x": 1}
    assert [message["runId"] for message in api.get(MESSAGES).json["items"]] == ["run/1"] * 2


def test_a_turn_belongs_to_its_run(api: Api) -> None:
    api.post(REMEMBER, {**TURN, "runId": "run/1"})
    api.post(REMEMBER, {**TURN, "runId": "run"})
    assert [message["seq"] for message in api.get(f"{MESSAGES}?runId=run%2F1").json["items"]] == [1, 2]
    assert api.post(REMEMBER, {**TURN, "runId": "a\nb"}).problem == (422, "INVALID_ID_FORMAT", "runId")


def test_a_pair_of_agents_makes_its_conversation_with_metadata_once(api: Api) -> None:
    first = api.post(A2A, {**PAIR, "conversation": {"metadata": {"x": 1}}, "runId": "r/1"})
    api.post(A2A, {**PAIR, "conversation": {"metadata": {"x": 2}}})
    path = f"/v1/conversations/{first.json['conversationId']}"
    assert (api.get(path).json["metadata"], api.get(path).json["messageCount"]) == ({"x": 1}, 2)
    assert api.get(f"{path}/messages?runId=r%2F1").json["items"][0]["content"] == "go"


def test_a_message_between_agents_is_known_by_its_external_id(api: Api) -> None:
    own = {**PAIR, "externalId": "one"}
    first = api.post(A2A, own)
    again = api.post(A2A, own)
    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert api.post(A2A, {**own, "text": "stop"}).problem[1] == "EXTERNAL_ID_TAKEN"
    api.post(A2A, {**PAIR, "text": "stop", "externalId": "two"})
    assert api.post(A2A, own).json == first.json
