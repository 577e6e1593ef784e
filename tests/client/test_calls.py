"""What goes over the wire for what is said in Python, and what comes back for what came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from annals_client import (
    NO_RETRIES,
    Annals,
    AnnalsError,
    AsyncAnnals,
    Conflict,
    Erased,
    Forbidden,
    MissingConversation,
    NotFound,
    PreconditionFailed,
    RateLimited,
    StreamEmpty,
    Unauthorized,
    ValidationFailed,
)
from annals_client.models import ConversationRef
from annals_client.resources.conversations import Conversations
from annals_client.resources.memories import Memories
from annals_client.resources.memory import Remembering
from annals_client.resources.messages import Messages
from annals_client.resources.runs import Runs
from annals_client.resources.users import UserMemories
from tests.client.asking import Ask
from tests.client.scripted import UP, Answer, refused, scripted

NOON = datetime(2026, 5, 3, 14, 0, 0, 123_000, timezone(timedelta(hours=2)))


def test_names_are_the_apis_and_what_is_none_is_not_said() -> None:
    call = Messages.append.call("c", role="user", content="hi", thread_id="t", from_="a", name=None, timestamp=NOON)
    expected = {
        "role": "user",
        "content": "hi",
        "threadId": "t",
        "from": "a",
        "timestamp": "2026-05-03T14:00:00.123+02:00",
    }
    assert call.body == expected


def test_what_callers_keep_goes_through_unchanged() -> None:
    metadata = {"snake_case": {"_private": None, "camelCase": [1.5, None]}}
    call = Messages.append.call("c", role="user", parts=metadata, metadata=metadata)
    assert call.body == {"role": "user", "parts": metadata, "metadata": metadata}


@pytest.mark.parametrize(
    ("name", "path"), [("a b", "a%20b"), ("x/../y", "x%2F..%2Fy"), ("50%", "50%25"), ("Ü#?", "%C3%9C%23%3F")]
)
def test_an_id_is_one_segment_of_the_path(ask: Ask, name: str, path: str) -> None:
    with scripted(refused(404, "CONVERSATION_NOT_FOUND")) as server, pytest.raises(NotFound):
        ask(f"{server.url}/stage/", lambda client: client.conversations.get(name))
    assert server.requests[0].path == f"/stage/v1/conversations/{path}"


@pytest.mark.parametrize("name", ["", "  ", ".", ".."])
def test_an_id_that_would_be_another_path_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="conversation_id"):
        Conversations.erase.call(name)


def test_a_time_without_zone_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Conversations.archive.call("c", before=datetime(2026, 1, 1))


def test_a_seq_to_go_behind_is_an_if_match() -> None:
    call = Messages.append_many.call("c", [{"role": "user", "content": "a"}], if_match=0)
    assert call.headers["If-Match"] == '"0"'
    assert call.body == {"messages": [{"role": "user", "content": "a"}]}


def test_participants_decide_the_type() -> None:
    user = Conversations.create.call(user_id="ada", memory_space_id="demo").body
    assert user == {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
    agents = Conversations.get_or_create.call(agents=("a", "b"), metadata={}).body
    assert agents == {"type": "agent-agent", "participants": {"agents": ["a", "b"]}, "metadata": {}}


def test_a_message_says_which_conversation_it_makes() -> None:
    conversation: MissingConversation = {"participants": {"user_id": "ada", "memory_space_id": "demo"}}
    made = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
    call = Messages.append.call("c", role="user", content="hi", external_id="a/1", conversation=conversation)
    assert call.body == {"role": "user", "content": "hi", "externalId": "a/1", "conversation": made}
    more: MissingConversation = {**conversation, "metadata": {"own_name": 1}, "session_id": "s"}
    call = Messages.append_many.call("c", [], conversation=more)
    assert call.body == {"messages": [], "conversation": {**made, "metadata": {"own_name": 1}, "sessionId": "s"}}
    call = Messages.append.call("c", role="user", content="hi", conversation={"participants": {"agents": ("a", "b")}})
    assert call.body
    assert call.body["conversation"] == {
        "type": "agent-agent", "participants": {"agents": ["a", "b"]},
    }  # fmt: skip


def test_a_turn_says_of_its_conversation_what_it_does_not_say_itself() -> None:
    turn: dict[str, Any] = {"memory_space_id": "s", "user_message": "q", "agent_response": "a", "user_id": "ada"}
    call = Remembering.remember.call(**turn, conversation={"participants": {"agent_id": "b"}, "metadata": {"a_b": 1}})
    assert call.body
    assert call.body["conversation"] == {"participants": {"agentId": "b"}, "metadata": {"a_b": 1}}
    call = Remembering.remember.call(**turn, run_id="r/1", conversation={"metadata": {}})
    assert call.body
    assert (call.body["conversation"], call.body["runId"]) == ({"metadata": {}}, "r/1")


def test_a_message_is_found_by_its_external_id(ask: Ask) -> None:
    item = {"messageId": "msg-001", "seq": 1, "timestamp": "2026-01-01T00:00:00.000Z", "externalId": "a/1 +"}
    with scripted(Answer(200, {"items": [item]}), Answer(200, {"items": []})) as server:
        found = ask(server.url, lambda client: client.messages.find("c", "a/1 +"))
        assert found.external_id == "a/1 +"
        assert ask(server.url, lambda client: client.messages.find("c", "b")) is None
    assert "externalId=a%2F1+%2B" in server.requests[0].path


def test_a_memory_is_put_found_and_deleted_by_an_id_of_ones_own() -> None:
    put = Memories.put.call("a/1 +", "Likes tea.", memory_space_id="s", user_id="ada", if_match=0)
    assert (put.method, put.path) == ("PUT", "/v1/memories/by-external-id/a%2F1%20%2B")
    assert put.body == {"content": "Likes tea.", "memorySpaceId": "s", "userId": "ada"}
    assert put.headers["If-Match"] == '"0"'
    owner = {"memorySpaceId": "s", "agentId": "guide"}
    for method in (Memories.get_by_external_id, Memories.delete_by_external_id):
        call: Any = method.call("%", memory_space_id="s", agent_id="guide")
        assert (call.path, call.query) == ("/v1/memories/by-external-id/%25", owner)
    of_user = UserMemories.put.call("ada/b", "a/1", "Likes tea.", topics=["drinks"])
    assert of_user.path == "/v1/users/ada%2Fb/memories/by-external-id/a%2F1"
    assert of_user.body == {"memory": "Likes tea.", "topics": ["drinks"]}
    assert UserMemories.create.call("ada", "x", external_id="a/1").body == {"memory": "x", "externalId": "a/1"}


def test_a_new_version_says_which_messages_it_comes_from() -> None:
    ref = ConversationRef(conversation_id="c", message_ids=["msg-002"])
    call = Memories.update.call("mem-1", conversation_ref=ref)
    assert call.body == {"conversationRef": {"conversationId": "c", "messageIds": ["msg-002"]}}


def test_a_filter_is_written_for_query_and_body() -> None:
    conditions: Any = {"user_id": "ada", "contains": "bot", "created_after": NOON, "metadata": {"a": {"b_c": True}}}
    assert Conversations.count.call(**conditions).query == {
        "participants.userId": "ada",
        "participants.contains": "bot",
        "createdAfter": "2026-05-03T14:00:00.123+02:00",
        "metadata.a.b_c": "true",
    }
    assert Conversations.delete_many.call(**conditions).body == {
        "filter": {
            "participants": {"userId": "ada", "$contains": "bot"},
            "createdAfter": "2026-05-03T14:00:00.123+02:00",
            "metadata": {"a": {"b_c": True}},
        },
        "dryRun": False,
        "confirm": False,
    }


def test_a_condition_cannot_be_said_in_a_list() -> None:
    with pytest.raises(ValueError, match="search"):
        Conversations.count.call(metadata={"topic": {"$in": ["a"]}})


def test_what_is_recalled_for_a_user_is_asked_for_beside_the_filter() -> None:
    request = Remembering.recall.call("q", user_id="ada", recall_scope="user", tags=["a"], filter={"user_id": "ben"})
    narrowed = {"tags": ["a"], "userId": "ben"}
    assert request.body == {"query": "q", "userId": "ada", "recallScope": "user", "filter": narrowed}
    assert Remembering.recall.call("q").body == {"query": "q", "filter": {}}


def test_a_user_who_is_none_is_not_everybody(ask: Ask) -> None:
    nobody: Any = None
    assert Remembering.recall.call("q", user_id=nobody).body == {"query": "q", "filter": {}, "userId": None}
    turn: dict[str, Any] = {"memory_space_id": "s", "user_message": "hi", "agent_id": "guide", "user_id": None}
    with scripted(refused(422, "MISSING_REQUIRED_FIELD")) as server, pytest.raises(ValidationFailed):
        ask(server.url, lambda client: client.memory.remember_stream(**turn, filter={"tags": ["a"]}))
    assert server.requests[0].json == {
        "memorySpaceId": "s", "userMessage": "hi", "agentId": "guide", "userId": None, "filter": {"tags": ["a"]},
    }  # fmt: skip


def test_memories_are_filtered_alike() -> None:
    call = Memories.count.call(memory_space_id="demo", tags=["a", "b"], importance_min=3, metadata={"x": 1})
    assert call.query == {"memorySpaceId": "demo", "tags": "a,b", "importanceMin": "3", "metadata.x": "1"}
    message = Remembering.search.call("q", embedding=(1, 2.5), tags_all=("a",))
    assert message.body == {"query": "q", "embedding": [1.0, 2.5], "filter": {"tagsAll": ["a"]}}


def test_every_request_says_who_asks(ask: Ask) -> None:
    with scripted(UP) as server:
        ask(server.url, lambda client: client.health())
    headers = server.requests[0].headers
    assert (headers["authorization"], headers["user-agent"]) == ("Bearer a-key", "annals-client/0.1.0")


@pytest.mark.parametrize("client", [Annals, AsyncAnnals])
def test_url_and_key_come_from_the_environment(client: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ANNALS_URL": "", "ANNALS_KEY": ""}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="ANNALS_URL"):
        client()
    monkeypatch.setenv("ANNALS_URL", "https://annals.example")
    with pytest.raises(ValueError, match="ANNALS_KEY"):
        client()
    monkeypatch.setenv("ANNALS_KEY", "secret")
    connection = client().sender.connection
    assert connection.url == "https://annals.example"
    assert "secret" not in repr(connection)


def test_a_newer_servers_fields_are_kept(ask: Ask) -> None:
    with scripted(Answer(body={"status": "ok", "version": "9", "newField": [1]})) as server:
        assert ask(server.url, lambda client: client.health()).newField == [1]


def test_times_have_their_zone(ask: Ask) -> None:
    message = {
        "messageId": "msg-001",
        "seq": 1,
        "role": "user",
        "content": "x",
        "timestamp": "2026-05-03T12:00:00.123Z",
    }
    with scripted(Answer(body=message)) as server:
        message = ask(server.url, lambda client: client.messages.get("c", "msg-001"))
    assert (message.timestamp, message.timestamp.tzinfo is not None) == (NOON.astimezone(UTC), True)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "INVALID_JSON", ValidationFailed),
        (401, "UNAUTHORIZED", Unauthorized),
        (403, "FORBIDDEN", Forbidden),
        (404, "MESSAGE_NOT_FOUND", NotFound),
        (409, "CONVERSATION_SEALED", Conflict),
        (410, "CONVERSATION_ERASED", Erased),
        (410, "CONVERSATION_ERASED", NotFound),
        (412, "PRECONDITION_FAILED", PreconditionFailed),
        (413, "ENTRY_TOO_LARGE", ValidationFailed),
        (418, "TEAPOT", AnnalsError),
        (422, "INVALID_TYPE", ValidationFailed),
        (502, "STREAM_EMPTY", StreamEmpty),
    ],
)
def test_a_refusal_is_an_exception_that_says_all_of_it(ask: Ask, status: int, code: str, kind: type[Exception]) -> None:
    problem = {"code": code, "title": "T", "detail": "D.", "field": "f", "requestId": "r", "current": 3}
    with scripted(Answer(status, problem)) as server, pytest.raises(kind) as raised:
        ask(server.url, lambda client: client.conversations.delete_many(user_id="ada"))
    error: Any = raised.value
    assert (error.status, error.code, error.title, error.detail) == (status, code, "T", "D.")
    assert (error.field, error.request_id, error.problem.current) == ("f", "r", 3)
    assert str(error) == f"D. ({code}, request r)"


def test_a_refusal_without_details_has_its_status(ask: Ask) -> None:
    with scripted(Answer(429, "slow down")) as server, pytest.raises(RateLimited) as raised:
        ask(server.url, lambda client: client.conversations.get("c"), retries=NO_RETRIES)
    assert (raised.value.status, raised.value.code) == (429, "HTTP_429")


@pytest.mark.parametrize("body", [None, "hello", ["a"], {"items": 3}, {"count": "many"}])
def test_another_servers_answer_is_named_as_one(ask: Ask, body: Any) -> None:
    with scripted(Answer(200, body)) as server, pytest.raises(AnnalsError) as raised:
        ask(server.url, lambda client: client.conversations.count())
    assert raised.value.code == "UNEXPECTED_ANSWER"


def test_a_session_is_found_by_its_id_its_user_and_its_space(ask: Ask) -> None:
    made = Conversations.get_or_create_session.call("s/1", user_id="ada", metadata={"a_b": 1})
    assert (made.method, made.path) == ("PUT", "/v1/conversations/by-session")
    assert made.body == {
        "type": "user-agent", "participants": {"userId": "ada"}, "sessionId": "s/1", "metadata": {"a_b": 1},
    }  # fmt: skip
    with scripted(refused(404, "SESSION_NOT_FOUND")) as server:
        assert ask(server.url, lambda client: client.conversations.find_session("s/1", user_id="ada")) is None
    assert server.requests[0].path == "/v1/conversations/by-session?sessionId=s%2F1&userId=ada"
    with scripted(refused(404, "NOT_FOUND")) as server, pytest.raises(NotFound):
        ask(server.url, lambda client: client.conversations.find_session("s/1"))


def test_a_run_is_put_with_data_or_without_and_listed_by_what_is_given(ask: Ask) -> None:
    call = Runs.put.call("c", "r/1", "running", data=None, if_match=0)
    assert (call.path, call.headers["If-Match"]) == ("/v1/conversations/c/runs/r%2F1", '"0"')
    assert call.body == {"status": "running", "data": None}
    kept = Runs.put.call("c", "r", "failed", parent_run_id="p", error="No.", data={"own_name": [1]}).body
    assert kept == {"status": "failed", "parentRunId": "p", "error": "No.", "data": {"own_name": [1]}}
    assert Runs.put.call("c", "r", "running").body == {"status": "running"}
    with scripted(Answer(body={"items": []})) as server:
        assert ask(server.url, lambda client: client.runs.list("c", order="asc", include_data=True, status="x")) == []
    assert server.requests[0].path == "/v1/conversations/c/runs?status=x&order=asc&includeData=true&limit=100"
