"""Sessions: conversations that an application finds by an id of its own, each user's by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Api, Reply
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

PATH = "/v1/conversations/by-session"
ADA = {"userId": "ada", "memorySpaceId": "work"}
SAID = {"role": "user", "content": "hello"}


@pytest.fixture
def index(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as stream:
        yield stream


def put(api: Api, session_id: str = "s-1", participants: Any = ADA, **more: Any) -> Reply:
    return api.put(PATH, {"sessionId": session_id, "participants": participants, **more})


def find(api: Api, session_id: str = "s-1", **owners: str) -> Reply:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"sessionId": session_id, **owners}.items())
    return api.get(f"{PATH}?{query}")


def erase(api: Api, conversation_id: str) -> None:
    assert api.delete(f"/v1/conversations/{conversation_id}").status == 200


def test_a_session_is_made_once_and_then_found(api: Api) -> None:
    made = put(api, metadata={"title": "Trip"})
    again = put(api, metadata={"title": "Other"})
    assert (made.status, again.status) == (201, 200)
    assert again.json == made.json == find(api, **ADA).json
    assert (made.json["sessionId"], made.json["metadata"]) == ("s-1", {"title": "Trip"})
    assert (made.json["type"], made.json["participants"]) == ("user-agent", ADA)
    assert find(api, **ADA).headers["etag"] == '"1"'


def test_the_session_is_shown_wherever_its_conversation_is(api: Api) -> None:
    made = put(api).json
    conversation_id = made["conversationId"]
    patched = api.patch(f"/v1/conversations/{conversation_id}", {"metadata": {"a": 1}}).json
    sealed = api.post(f"/v1/conversations/{conversation_id}/seal").json
    listed = api.get("/v1/conversations").json["items"][0]
    got = api.get(f"/v1/conversations/{conversation_id}").json
    exported = api.get(f"/v1/conversations/{conversation_id}/export").json
    assert {each["sessionId"] for each in (patched, sealed, listed, got, exported)} == {"s-1"}


def test_a_conversation_that_is_no_session_names_none(api: Api) -> None:
    made = api.post("/v1/conversations", {"type": "user-agent", "participants": ADA}).json
    assert "sessionId" not in made


@pytest.mark.parametrize(
    "other",
    [{"userId": "bob", "memorySpaceId": "work"}, {"userId": "ada", "memorySpaceId": "home"}, {"userId": "ada"}, {}],
)
def test_the_same_id_of_another_user_or_space_is_another_session(api: Api, other: dict[str, str]) -> None:
    assert find(api, **other).problem[:2] == (404, "SESSION_NOT_FOUND")
    mine, theirs = put(api).json, put(api, participants=other).json
    assert mine["conversationId"] != theirs["conversationId"]
    assert find(api, **other).json == theirs
    assert find(api, **ADA).json == mine


def test_an_agent_joins_the_session_that_is_there(api: Api) -> None:
    made = put(api).json
    assert put(api, participants={**ADA, "agentId": "guide"}).json == made
    assert put(api, type="agent-agent", participants={"agents": ["a", "b"]}).status == 201


def test_a_session_needs_neither_user_nor_agent_nor_space(api: Api) -> None:
    made = api.put(PATH, {"sessionId": "s-1"})
    assert (made.status, made.json["participants"]) == (201, {})
    assert api.put(PATH, {"sessionId": "s-1"}).json == made.json == find(api).json
    path = f"/v1/conversations/{made.json['conversationId']}"
    assert api.post(f"{path}/messages", SAID).status == 201
    assert api.get(f"{path}/messages").json["items"][0]["content"] == "hello"
    assert api.get(f"{path}/context?maxTokens=100").json["messages"][0]["content"] == "hello"
    assert [each["sessionId"] for each in api.get("/v1/conversations?sessionId=s-1").json["items"]] == ["s-1"]


def test_what_is_said_in_a_session_of_nobody_is_found(api: Api, index: Stream) -> None:
    made = put(api, participants={}).json["conversationId"]
    api.post(f"/v1/conversations/{made}/messages", {"role": "user", "content": "A tulip for the table."})
    index.deliver_ledger()
    (found,) = api.post("/v1/memory/search", {"query": "tulip"}).json["items"]
    assert found["conversationRef"]["conversationId"] == made
    (hit,) = api.post("/v1/conversations/search", {"query": "tulip", "filter": {"sessionId": "s-1"}}).json["items"]
    assert hit["conversation"]["sessionId"] == "s-1"


def test_another_tenant_has_sessions_of_its_own(api: Api) -> None:
    made = put(api).json
    other = Api.of("another")
    assert find(other, **ADA).problem[:2] == (404, "SESSION_NOT_FOUND")
    assert put(other).json["conversationId"] != made["conversationId"]


def test_a_key_sees_the_sessions_of_its_memory_spaces_alone(api: Api) -> None:
    put(api)
    put(api, participants={"userId": "ada"})
    home, work = api.limited(spaces={"home"}), api.limited(spaces={"work"})
    for refused in (find(home, **ADA), find(work, userId="ada"), find(home, "none", **ADA)):
        assert refused.problem[:2] == (404, "SESSION_NOT_FOUND")
    assert find(work, **ADA).status == 200
    assert put(home).problem == (404, "NOT_FOUND", "memorySpaceId")
    assert put(work, participants={"userId": "ada"}).problem == (404, "NOT_FOUND", "memorySpaceId")
    assert put(work).status == 200


def test_a_session_needs_the_scopes_of_any_conversation(api: Api) -> None:
    assert put(api.limited(scopes={"read"})).problem[:2] == (403, "FORBIDDEN")
    assert find(api.limited(scopes={"write"})).problem[:2] == (403, "FORBIDDEN")


@pytest.mark.parametrize("session_id", [" ", ".", "..", "a/b#C#%2F", "x" * 256, "😀" * 256, "by-session", "⁠ "])
def test_a_session_id_is_any_text_and_each_character_counts(api: Api, session_id: str) -> None:
    made = put(api, session_id)
    assert (made.status, made.json["sessionId"]) == (201, session_id)
    assert find(api, session_id, **ADA).json == made.json
    assert put(api, session_id + " "[: 256 - len(session_id)]).status == (200 if len(session_id) == 256 else 201)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "sessionId"),
        ({"sessionId": ""}, "INVALID_ID_FORMAT", "sessionId"),
        ({"sessionId": "x" * 257}, "INVALID_ID_FORMAT", "sessionId"),
        ({"sessionId": "a\nb"}, "INVALID_ID_FORMAT", "sessionId"),
        ({"sessionId": None}, "INVALID_FORMAT", "sessionId"),
        ({"sessionId": 7}, "INVALID_FORMAT", "sessionId"),
        ({"sessionId": "s", "conversationId": "mine"}, "UNKNOWN_FIELD", "conversationId"),
        ({"sessionId": "s", "type": "bad"}, "INVALID_TYPE", "type"),
        ({"sessionId": "s", "participants": {"userId": " "}}, "MISSING_REQUIRED_FIELD", "participants.userId"),
        ({"sessionId": "s", "participants": {"agents": ["a", "a"]}}, "DUPLICATE_VALUES", "participants"),
        (
            {"sessionId": "s", "participants": {"userId": "a", "agents": ["a", "b"]}},
            "INVALID_PARTICIPANTS",
            "participants",
        ),
        ({"sessionId": "s", "metadata": []}, "INVALID_FORMAT", "metadata"),
    ],
)
def test_a_session_that_cannot_be_is_refused_by_field(api: Api, body: dict[str, Any], code: str, field: str) -> None:
    assert api.put(PATH, body).problem == (422, code, field)
    assert api.get("/v1/conversations").json["items"] == []


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "MISSING_REQUIRED_FIELD", "sessionId"),
        ("?userId=ada", "MISSING_REQUIRED_FIELD", "sessionId"),
        ("?sessionId=", "INVALID_FILTER", "sessionId"),
        ("?sessionId=a%0Ab", "INVALID_ID_FORMAT", "sessionId"),
        ("?sessionId=s&userId=", "INVALID_FILTER", "userId"),
        ("?sessionId=s&agentId=a", "UNKNOWN_FIELD", "agentId"),
    ],
)
def test_a_session_is_asked_for_by_its_names_alone(api: Api, query: str, code: str, field: str) -> None:
    assert api.get(PATH + query).problem == (422, code, field)


def test_by_participants_never_gives_a_session(api: Api) -> None:
    session = put(api).json
    shared = api.put("/v1/conversations/by-participants", {"type": "user-agent", "participants": ADA})
    assert (shared.status, "sessionId" in shared.json) == (201, False)
    assert find(api, **ADA).json["conversationId"] == session["conversationId"] != shared.json["conversationId"]
    named = {"type": "user-agent", "participants": ADA, "sessionId": "s-1"}
    assert api.put("/v1/conversations/by-participants", named).problem == (422, "INVALID_FORMAT", "sessionId")


def test_an_erased_session_s_id_is_free(api: Api) -> None:
    first = put(api).json["conversationId"]
    erase(api, first)
    assert find(api, **ADA).problem[:2] == (404, "SESSION_NOT_FOUND")
    second = put(api)
    assert (second.status, second.json["conversationId"] == first) == (201, False)
    erase(api, first)
    assert find(api, **ADA).json == second.json


@pytest.mark.usefixtures("index")
def test_an_erasure_of_the_user_frees_the_session_s_id(api: Api) -> None:
    first = put(api).json["conversationId"]
    assert api.delete("/v1/users/ada").status in (200, 202)
    assert find(api, **ADA).problem[:2] == (404, "SESSION_NOT_FOUND")
    assert put(api).json["conversationId"] != first


def test_delete_many_by_session_erases_that_of_each_user(api: Api) -> None:
    put(api)
    put(api, participants={"userId": "bob"})
    put(api, "s-2")
    gone = api.post("/v1/conversations/delete-many", {"filter": {"sessionId": "s-1"}}).json
    assert gone["count"] == 2
    assert [each["sessionId"] for each in api.get("/v1/conversations").json["items"]] == ["s-2"]
    assert put(api).status == 201


def test_lists_and_counts_are_filtered_by_session(api: Api) -> None:
    put(api)
    put(api, participants={"userId": "bob"})
    put(api, "s-2")
    api.post("/v1/conversations", {"type": "user-agent", "participants": ADA})
    for query, count in (("sessionId=s-1", 2), ("sessionId=s-1&participants.userId=ada", 1), ("sessionId=none", 0)):
        listed = api.get(f"/v1/conversations?{query}").json["items"]
        assert len(listed) == count == api.get(f"/v1/conversations/count?{query}").json["count"]
        assert all(query.startswith(f"sessionId={each['sessionId']}") for each in listed)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("s-1", {"s-1"}),
        ({"$in": ["s-1", "s-2"]}, {"s-1", "s-2"}),
        ({"$contains": "s-"}, {"s-1", "s-2"}),
    ],
)
def test_filters_in_json_know_the_session(api: Api, condition: Any, expected: set[str]) -> None:
    made = {put(api, name).json["conversationId"]: name for name in ("s-1", "s-2", "t")}
    api.post("/v1/conversations", {"type": "user-agent", "participants": ADA})
    body = {"filter": {"sessionId": condition}, "dryRun": True}
    ids = api.post("/v1/conversations/delete-many", body).json["conversationIds"]
    assert {made[each] for each in ids} == expected


@pytest.mark.parametrize("value", [7, "x" * 257, {"$in": [7]}])
def test_a_filter_for_what_no_session_can_be_is_refused(api: Api, value: Any) -> None:
    answer = api.post("/v1/conversations/delete-many", {"filter": {"sessionId": value}, "dryRun": True})
    assert answer.problem == (422, "INVALID_FILTER", "filter.sessionId")


def create(api: Api, conversation_id: str | None = None, **more: Any) -> Reply:
    named = {"conversationId": conversation_id} if conversation_id else {}
    return api.post(
        "/v1/conversations", {"type": "user-agent", "participants": ADA, "sessionId": "s-1", **named, **more}
    )


def test_a_session_is_created_under_an_id_of_ones_own_once(api: Api) -> None:
    made = create(api, "mine")
    assert (made.status, made.json["sessionId"]) == (201, "s-1")
    assert put(api).json == find(api, **ADA).json == made.json
    assert create(api, "other").problem == (409, "SESSION_ALREADY_EXISTS", "sessionId")
    assert create(api).problem == (409, "SESSION_ALREADY_EXISTS", "sessionId")
    assert create(api, "mine").problem == (409, "CONVERSATION_ALREADY_EXISTS", "conversationId")
    assert api.get("/v1/conversations/other").status == 404
    erase(api, "mine")
    assert create(api, "mine").problem[:2] == (410, "CONVERSATION_ERASED")
    assert create(api, "other").status == 201


def test_a_session_that_is_created_again_with_the_same_key_is_answered_again(api: Api) -> None:
    body = {"type": "user-agent", "participants": ADA, "sessionId": "s-1"}
    first = api.post("/v1/conversations", body, idempotency_key="k")
    again = api.post("/v1/conversations", body, idempotency_key="k")
    assert (again.status, again.json, again.headers["idempotent-replayed"]) == (201, first.json, "true")
    one = api.put(PATH, {"sessionId": "s-2"}, idempotency_key="k")
    two = api.put(PATH, {"sessionId": "s-2"}, idempotency_key="k")
    assert (two.status, two.json, two.headers["idempotent-replayed"]) == (201, one.json, "true")


def append(api: Api, conversation_id: str, **conversation: Any) -> Reply:
    body = {**SAID, "conversation": {"participants": ADA, "sessionId": "s-1", **conversation}}
    return api.post(f"/v1/conversations/{conversation_id}/messages", body)


def test_an_append_makes_a_missing_session(api: Api) -> None:
    assert append(api, "mine").status == 201
    assert append(api, "mine").json["messageCount"] == 2
    assert find(api, **ADA).json["conversationId"] == "mine"
    assert append(api, "other").problem == (409, "SESSION_ALREADY_EXISTS", "sessionId")
    assert append(api, "mine", sessionId="s-2").problem == (409, "PARTICIPANT_MISMATCH", "conversation.sessionId")
    erase(api, "mine")
    assert append(api, "other").status == 201


def test_a_draft_makes_a_missing_session(api: Api) -> None:
    conversation = {"participants": {}, "sessionId": "s-1"}
    body = {"role": "assistant", "content": "Hel", "completed": False, "conversation": conversation}
    assert api.put("/v1/conversations/mine/messages/m-1", body).status in (200, 201)
    assert find(api).json["conversationId"] == "mine"


def lines(api: Api, form: str = "jsonl") -> str:
    return api.get(f"/v1/conversations/export?format={form}").body.decode()


def bring(api: Api, text: str, query: str = "") -> Reply:
    return api.post(f"/v1/conversations/import{query}", text, content_type="application/x-ndjson")


@pytest.mark.parametrize("form", ["jsonl", "ledger", "json"])
@pytest.mark.parametrize("participants", [ADA, {}, {"agents": ["a", "b"]}])
def test_a_session_moves_to_another_tenant_with_its_id(api: Api, form: str, participants: Any) -> None:
    made = put(api, participants=participants).json
    api.post(f"/v1/conversations/{made['conversationId']}/messages", SAID)
    there = Api.of("another")
    text = lines(api, form)
    assert bring(there, text).status == 200, bring(there, text).body
    assert bring(there, text).json["conversations"][0]["imported"] == 0
    moved = there.get(f"/v1/conversations/{made['conversationId']}").json
    assert (moved["sessionId"], moved["participants"]) == ("s-1", made["participants"])
    owners = {name: value for name, value in made["participants"].items() if name in ADA}
    assert find(there, **owners).json == moved


def test_an_import_does_not_take_another_conversation_s_session(api: Api) -> None:
    there = Api.of("another")
    put(api)
    put(there)
    text = lines(api) + json.dumps(
        {"type": "conversation", "conversationType": "user-agent", "conversationId": "plain", "participants": ADA}
    )
    for query in ("", "?dryRun=true"):
        assert bring(there, text, query).problem[:2] == (409, "SESSION_ALREADY_EXISTS")
    skipped = bring(there, text, "?skipBroken=true").json
    assert [each["code"] for each in skipped["broken"]] == ["SESSION_ALREADY_EXISTS"]
    assert [each["conversationId"] for each in skipped["conversations"]] == ["plain"]


@pytest.mark.usefixtures("index")
def test_a_session_is_exported_with_its_user_and_found_in_filtered_exports(api: Api) -> None:
    put(api)
    put(api, "s-2")
    exported = api.get("/v1/users/ada/export").body.decode()
    assert '"sessionId":"s-1"' in exported
    filtered = api.get("/v1/conversations/export?format=jsonl&sessionId=s-2").body
    assert [json.loads(line)["sessionId"] for line in filtered.splitlines()] == ["s-2"]
