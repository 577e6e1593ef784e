"""Messages in the shapes of providers and frameworks, whichever way they come in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from annals.formats.messages import from_annals
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.echo import events_of, streaming
from tests.support.indexing import Stream, embedded_index
from tests.support.ingesting import failures_queue, record, take
from tests.support.ledgers import new_conversation
from tests.support.provider_messages import PROVIDER_MESSAGES, TOOL_CALL

pytestmark = pytest.mark.usefixtures("moto")

MESSAGES = "/v1/conversations/conv-1/messages"
REMEMBER = "/v1/memory/remember"
TURN = {"memorySpaceId": "work", "userId": "ada", "conversationId": "conv-1", "agentResponse": "At nine."}
ANSWER = {**TURN, "userMessage": "When?"}
ZEBRA = [{"type": "text", "text": "zebra"}, {"type": "text", "text": "quokka"}]
OWNER = "memorySpaceId=work&userId=ada"


@pytest.fixture
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


def history(api: Api, conversation_id: str = "conv-1") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"/v1/conversations/{conversation_id}/messages?order=asc&limit=1000").json[
        "items"
    ]
    return items


def originals(api: Api, conversation_id: str = "conv-1") -> list[dict[str, Any]]:
    return [from_annals(message) for message in history(api, conversation_id)]


def imported(api: Api, *lines: Any) -> str:
    answer = api.post(
        f"/v1/conversations/import?{OWNER}", "\n".join(map(json.dumps, lines)), content_type="application/x-ndjson"
    )
    assert answer.status == 200, answer.body
    [conversation] = answer.json["conversations"]
    conversation_id: str = conversation["conversationId"]
    return conversation_id


@pytest.mark.usefixtures("conversation")
def test_appended_messages_of_every_provider_come_back_exactly(api: Api) -> None:
    messages = list(PROVIDER_MESSAGES.values())
    assert api.post(MESSAGES, {"messages": messages}).status == 201
    assert originals(api) == messages


@pytest.mark.usefixtures("conversation")
@pytest.mark.parametrize("name", PROVIDER_MESSAGES)
def test_a_message_of_any_provider_can_be_appended_alone(api: Api, name: str) -> None:
    answer = api.post(MESSAGES, PROVIDER_MESSAGES[name])
    assert answer.status == 201, answer.body
    assert originals(api) == [PROVIDER_MESSAGES[name]]


@pytest.mark.usefixtures("conversation")
def test_what_history_returns_can_be_appended_again(api: Api) -> None:
    api.post(MESSAGES, {"messages": list(PROVIDER_MESSAGES.values())})
    first = history(api)
    assert api.post(MESSAGES, {"messages": first}).status == 201
    again = history(api)[len(first) :]
    own = {"messageId", "seq"}
    assert [{name: message[name] for name in message if name not in own} for message in again] == [
        {name: message[name] for name in message if name not in own} for message in first
    ]


def test_imported_messages_of_every_provider_come_back_exactly(api: Api) -> None:
    messages = list(PROVIDER_MESSAGES.values())
    assert originals(api, imported(api, {"messages": messages})) == messages


@pytest.mark.parametrize(("form", "kind"), [("jsonl", "application/x-ndjson"), ("csv", "text/csv")])
def test_exported_messages_of_every_provider_are_imported_as_they_were(
    api: Api, tenant: str, form: str, kind: str
) -> None:
    messages = list(PROVIDER_MESSAGES.values())
    new_conversation(tenant)
    api.post(MESSAGES, {"messages": messages})
    file = api.get(f"/v1/conversations/conv-1/export?format={form}").body
    other = Api.of(f"{tenant}-2")
    answer = other.post(f"/v1/conversations/import?{OWNER}", file, content_type=kind)
    assert answer.status == 200, answer.body
    assert originals(other) == messages


def test_a_message_that_says_nothing_does_not_refuse_a_whole_file(api: Api) -> None:
    silent = [{"role": role, "content": ""} for role in ("system", "user", "assistant")]
    messages = [*silent, {"role": "assistant", "content": None}, {"role": "user", "content": "hi"}]
    assert originals(api, imported(api, {"messages": messages})) == messages


def test_a_line_of_annals_own_takes_a_providers_message(api: Api) -> None:
    head = {"type": "conversation", "conversationId": "own", "conversationType": "user-agent"}
    participants = {"userId": "ada", "memorySpaceId": "work"}
    line = {"type": "message", "conversationId": "own", "role": "ai", "content": ZEBRA, "tool_calls": [TOOL_CALL]}
    imported(api, {**head, "participants": participants}, line)
    [message] = history(api, "own")
    assert (message["role"], message["originalRole"], message["content"]) == ("assistant", "ai", "zebra\nquokka")
    assert message["parts"] == {"content": ZEBRA, "tool_calls": [TOOL_CALL]}


def test_ingested_messages_of_every_provider_come_back_exactly(api: Api, tenant: str) -> None:
    messages = list(PROVIDER_MESSAGES.values())
    with failures_queue(tenant):
        people = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
        assert take(record({"conversation": {"conversationId": "conv-1", **people}, "messages": messages})) == []
    assert originals(api) == messages


@pytest.mark.parametrize(
    ("said", "content", "parts"),
    [
        ("zebra", "zebra", None),
        (ZEBRA, "zebra\nquokka", ZEBRA),
        ({"role": "user", "content": "zebra"}, "zebra", None),
        ({"content": ZEBRA}, "zebra\nquokka", ZEBRA),
        ({"role": "user", "parts": ZEBRA}, "zebra\nquokka", ZEBRA),
        ({"id": "u", "role": "user", "metadata": {"a": 1}, "parts": ZEBRA}, "zebra\nquokka",
         {"id": "u", "metadata": {"a": 1}, "parts": ZEBRA}),
        ({"type": "human", "data": {"type": "human", "content": "zebra"}}, "zebra",
         {"type": "human", "data": {"type": "human", "content": "zebra"}}),
        ({"content": "A horse with stripes", "parts": ZEBRA}, "A horse with stripes", ZEBRA),
        ([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}], "",
         [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
    ],
)  # fmt: skip
def test_a_turn_takes_a_text_or_parts_or_a_message(api: Api, said: Any, content: str, parts: Any) -> None:
    answer = api.post(REMEMBER, {**TURN, "userMessage": said})
    assert answer.status == 201, answer.body
    user, reply = history(api)
    assert (user["role"], user["content"], user.get("parts"), user["userId"]) == ("user", content, parts, "ada")
    assert (reply["role"], reply["content"]) == ("assistant", "At nine.")


def test_a_turns_answer_may_be_a_providers_message(api: Api) -> None:
    answer = {"role": "model", "parts": [{"text": "At "}, {"text": "hm", "thought": True}, {"text": "nine."}]}
    assert api.post(REMEMBER, {**ANSWER, "agentResponse": answer}).status == 201
    reply = history(api)[1]
    assert (reply["role"], reply["originalRole"], reply["content"]) == ("assistant", "model", "At \nnine.")
    calls = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    assert api.post(REMEMBER, {**ANSWER, "agentResponse": calls}).status == 201
    assert from_annals(history(api)[3]) == calls


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ("  ", "MISSING_REQUIRED_FIELD", "userMessage"),
        ([], "MISSING_REQUIRED_FIELD", "userMessage"),
        ({}, "MISSING_REQUIRED_FIELD", "userMessage.content"),
        (None, "INVALID_FORMAT", "userMessage"),
        (7, "INVALID_FORMAT", "userMessage"),
        ({"role": "assistant", "content": "x"}, "INVALID_ROLE", "userMessage.role"),
        ({"role": "bot", "content": "x"}, "INVALID_ROLE", "userMessage.role"),
        ({"content": "x", "mood": "good"}, "UNKNOWN_FIELD", "userMessage.mood"),
        ({"content": "x", "userId": "bob"}, "UNKNOWN_FIELD", "userMessage.userId"),
        ({"content": 7}, "INVALID_FORMAT", "userMessage.content"),
    ],
)
def test_a_side_of_a_turn_that_cannot_be_is_refused_by_field(api: Api, said: Any, code: str, field: str) -> None:
    assert api.post(REMEMBER, {**TURN, "userMessage": said}).problem == (422, code, field)
    assert api.get("/v1/conversations/conv-1").status == 404


def test_an_answer_that_says_nothing_is_refused(api: Api) -> None:
    silent = {"role": "assistant", "content": ""}
    assert api.post(REMEMBER, {**ANSWER, "agentResponse": silent}).problem == (
        422, "MISSING_REQUIRED_FIELD", "agentResponse",
    )  # fmt: skip


def test_a_turn_has_a_users_name_a_run_and_a_thread(api: Api) -> None:
    more = {"userName": "Ada Byron", "runId": "run-1", "threadId": "thread-1"}
    for _ in range(2):
        assert api.post(REMEMBER, {**ANSWER, **more}).status == 201
    user, reply, *_ = history(api)
    assert (user["name"], "name" in reply) == ("Ada Byron", False)
    for name in ("runId", "threadId"):
        assert (user[name], reply[name]) == (more[name], more[name])
        assert len(api.get(f"{MESSAGES}?{name}={more[name]}").json["items"]) == 4
    assert len(api.get(f"{MESSAGES}?lastRuns=1").json["items"]) == 4


@pytest.mark.usefixtures("conversation")
def test_a_role_comes_back_as_it_was_said_beside_the_canonical_one(api: Api) -> None:
    for word in ("agent", "human", "developer", "user"):
        assert api.post(MESSAGES, {"role": word, "content": "x"}).status == 201
    seen = [(message["role"], message.get("originalRole")) for message in history(api)]
    assert seen == [("assistant", "agent"), ("user", "human"), ("system", "developer"), ("user", None)]
    assert len(api.get(f"{MESSAGES}?roles=human,ai").json["items"]) == 3


@pytest.mark.usefixtures("conversation")
@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ({"role": "user", "content": "x", "tool_cals": []}, "UNKNOWN_FIELD", "tool_cals"),
        ({"role": "user", "content": ZEBRA, "threadID": "t"}, "UNKNOWN_FIELD", "threadID"),
        ({"role": "user", "content": "x", "id": "mine"}, "UNKNOWN_FIELD", "id"),
        ({"role": "user", "content": "x", "messageId": "mine"}, "UNKNOWN_FIELD", "messageId"),
        ({"role": "user", "content": None}, "MISSING_REQUIRED_FIELD", "content"),
        ({"role": "user", "content": {"type": "text"}}, "INVALID_FORMAT", "content"),
        ({"role": "user", "content": ["x"] * 4001}, "INVALID_RANGE", "content"),
        ({"role": "user"}, "MISSING_REQUIRED_FIELD", "content"),
        ({"content": ZEBRA}, "MISSING_REQUIRED_FIELD", "role"),
        ({"type": "weather", "content": "x"}, "MISSING_REQUIRED_FIELD", "role"),
        ({"role": "bot", "content": None, "tool_calls": []}, "INVALID_ROLE", "role"),
        ({"role": "user", "originalRole": "ai", "content": "x"}, "INVALID_ROLE", "originalRole"),
        ({"role": "user", "originalRole": "boss", "content": "x"}, "INVALID_ROLE", "originalRole"),
        ({"from": "a", "to": "b", "text": ""}, None, None),
        ({"type": "phone_call", "note": "x"}, "MISSING_REQUIRED_FIELD", "role"),
        ({"type": "function", "function": {"name": "f", "arguments": "{}"}}, "MISSING_REQUIRED_FIELD", "role"),
        ({"from": "a", "text": "hi"}, "MISSING_REQUIRED_FIELD", "role"),
        ({"role": "assistant", "tool_calls": [], **{f"f{n}": n for n in range(99)}}, "INVALID_RANGE", None),
    ],
)  # fmt: skip
def test_a_message_of_no_known_shape_is_refused_by_its_field(
    api: Api, message: dict[str, Any], code: str | None, field: str | None
) -> None:
    answer = api.post(MESSAGES, message)
    if code is None:
        assert answer.status == 201
    else:
        assert answer.problem == (422, code, field)
        assert history(api) == []


@pytest.mark.usefixtures("conversation")
@pytest.mark.parametrize("levels", [60, 61])
def test_what_is_taken_can_be_appended_again_however_deep_it_nests(api: Api, levels: int) -> None:
    part: Any = "deep"
    for _ in range(levels):
        part = [part]
    message = {"role": "assistant", "tool_calls": [], "content": [{"type": "text", "text": "x", "more": part}]}
    taken = api.post(MESSAGES, message)
    if taken.status == 201:
        assert api.post(MESSAGES, history(api)[0]).status == 201
    else:
        assert taken.problem[:2] == (422, "INVALID_FORMAT")
    assert (taken.status == 201) == (levels == 60)


@pytest.mark.usefixtures("conversation")
def test_a_message_between_agents_needs_no_role(api: Api) -> None:
    api.post(MESSAGES, {"from": "planner", "to": "coder", "text": "Begin.", "metadata": {"n": 1}})
    [message] = history(api)
    assert (message["from"], message["to"], message["role"]) == ("planner", "coder", "assistant")
    assert (message["content"], message["metadata"]) == ("Begin.", {"n": 1})


def test_a_providers_message_may_make_its_conversation(api: Api) -> None:
    owners = {"participants": {"userId": "ada", "memorySpaceId": "work"}}
    calls = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    assert api.post(MESSAGES, {**calls, "conversation": owners}).status == 201
    assert originals(api) == [calls]


@pytest.mark.usefixtures("conversation")
@pytest.mark.parametrize("name", sorted(PROVIDER_MESSAGES.keys() - {"null assistant", "bare assistant"}))
def test_a_message_of_any_provider_can_be_put(api: Api, name: str) -> None:
    answer = api.put(f"{MESSAGES}/own-1", {**PROVIDER_MESSAGES[name], "completed": True})
    assert answer.status == 201, answer.body
    assert originals(api) == [PROVIDER_MESSAGES[name]]


@pytest.fixture
def stream(tmp_path: Any) -> Iterator[Stream]:
    with embedded_index(tmp_path) as stream:
        yield stream


@pytest.mark.usefixtures("conversation")
def test_the_words_in_parts_are_found_and_the_thoughts_are_not(api: Api, stream: Stream) -> None:
    parts = [{"type": "thinking", "thinking": "wombat", "signature": "s"}, *ZEBRA]
    api.post(MESSAGES, {"role": "assistant", "content": parts})
    stream.deliver_ledger()
    for word, count in (("quokka", 1), ("wombat", 0)):
        found = api.post("/v1/memory/search", {"query": word, "memorySpaceId": "space-1", "explain": True}).json
        words = [item for item in found["items"] if word in item["content"]]
        assert len(words) == count


@pytest.mark.usefixtures("conversation")
def test_personal_data_is_masked_in_parts_and_in_the_text_made_of_them(api: Api, setting: Setting) -> None:
    setting("PII_REDACTION", "patterns")
    told = {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "Write to ada@example.org"}]}
    call = {"type": "function_call_output", "call_id": "c", "output": "ada@example.org"}
    assert api.post(MESSAGES, {"messages": [told, call]}).status == 201
    assert "ada@example.org" not in json.dumps(history(api))
    assert [message["content"] for message in history(api)] == ["Write to [EMAIL]", "[EMAIL]"]


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize(
    "said", [ZEBRA, {"id": "u", "role": "user", "parts": ZEBRA}, {"role": "human", "content": ZEBRA}]
)
def test_a_streamed_turn_takes_parts_and_its_model_gets_their_words(api: Api, said: Any) -> None:
    turn = {"memorySpaceId": "work", "userId": "ada", "conversationId": "conv-1"}
    with streaming(api) as app:
        answer = app.post("/v1/memory/remember-stream", json={**turn, "userMessage": said, "userName": "Ada"})
    assert events_of(answer)[-1][1]["fullResponse"] == "You said: zebra\nquokka"
    user, reply = history(api)
    assert (user["content"], user["name"], "name" in reply) == ("zebra\nquokka", "Ada", False)
    assert "parts" in user


def test_a_streamed_turn_without_words_is_refused(api: Api) -> None:
    image = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    turn = {"memorySpaceId": "work", "userId": "ada", "userMessage": image}
    assert api.post("/v1/memory/remember-stream", turn).problem == (422, "MISSING_REQUIRED_FIELD", "userMessage")
