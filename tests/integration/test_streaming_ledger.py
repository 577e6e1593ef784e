"""remember-stream with the real ledger, index and chat adapter: the database is MiniStack, the model a local server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.memory import ports
from annals.settings import settings
from tests.fakes.chat_server import EMOJI, REPLY, ChatServer
from tests.fakes.servers import serving
from tests.fakes.uvicorn_server import Connection, Told, serving_app
from tests.support.api import Api
from tests.support.stack import function

Stream = Callable[..., Connection]


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatServer]:
    with serving(ChatServer()) as server:
        yield server


@pytest.fixture(scope="module")
def port(ministack: object, chat: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the function's own app."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAT_URL", f"{chat.url}/v1")
        patch.setenv("CHAT_MODEL", "words")
        patch.setenv("CHAT_STALL_S", "1")
        patch.setenv("EMBEDDINGS_URL", "offline")
        patch.setenv("EMBEDDED_INDEX", str(Path(tmp_path_factory.mktemp("index")) / "index.sqlite3"))
        forget()
        with serving_app(function("remember_stream").app) as port:
            yield port
    forget()


def forget() -> None:
    for cached in (settings, ports.index, ports.embedder, ports.chat):
        cached.cache_clear()


@pytest.fixture
def stream(port: int, api: Api) -> Stream:
    """Posts a turn for the test's own tenant."""

    def post(message: str = "Where is my cat?", headers: dict[str, str] | None = None, **more: Any) -> Connection:
        turn = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": message, **more}
        context = {"requestId": "r", "authorizer": api.caller.to_authorizer()}
        own = {"Content-Type": "application/json", "x-amzn-request-context": json.dumps(context)}
        return Connection(port, "POST", "/v1/memory/remember-stream", json.dumps(turn).encode(), own | (headers or {}))

    return post


def events(connection: Connection) -> list[Told]:
    assert connection.status == 200, connection.json()
    return [event for event in connection.events() if isinstance(event, Told)]


def messages(api: Api) -> list[dict]:
    return api.get("/v1/conversations/c/messages").json["items"]


def said(api: Api) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages(api)]


def is_valid(api: Api) -> bool:
    return api.get("/v1/conversations/c/verify").json["valid"]


def test_a_turn_is_in_the_ledger_with_both_messages(stream: Stream, api: Api):
    told = events(stream())
    result = told[-1].data
    assert told[0].data["message"]["content"] == "Where is my cat?"
    assert result["fullResponse"] == REPLY
    assert result["conversation"] == {"conversationId": "c", "messageIds": ["msg-001", "msg-002"], "messageCount": 2}
    assert [memory["content"] for memory in result["memories"]] == ["Where is my cat?", REPLY]
    assert [memory["createdAt"] for memory in result["memories"]] == [told["timestamp"] for told in messages(api)]
    assert result["usage"]["outputTokens"] == 9
    assert said(api) == [("user", "Where is my cat?"), ("assistant", REPLY)]
    assert is_valid(api)


@pytest.mark.parametrize("model", ["bytes", "halves"])
def test_an_emoji_that_the_model_splits_is_stored_whole(stream: Stream, api: Api, model: str):
    assert events(stream(model=model))[-1].data["fullResponse"] == EMOJI
    assert said(api)[1] == ("assistant", EMOJI)


def test_the_users_message_is_in_the_ledger_before_the_first_delta(stream: Stream, api: Api):
    coming = stream(model="slow").events()
    assert next(coming).name == "start"
    assert said(api) == [("user", "Where is my cat?")]
    assert [event.name for event in coming][-1] == "result"


def test_the_model_gets_the_history_and_last_the_users_message(stream: Stream):
    events(stream("First?"))
    shown = json.loads(events(stream("Second? ", model="echo", instructions="Be brief."))[-1].data["fullResponse"])
    assert shown[0] == {"role": "system", "content": "Be brief."}
    assert [message["content"] for message in shown[1:]] == ["First?", REPLY, "Second? "]


@pytest.mark.parametrize("model", ["empty", "blank"])
def test_an_empty_reply_keeps_the_users_message(stream: Stream, api: Api, model: str):
    assert events(stream(model=model))[-1].data["code"] == "STREAM_EMPTY"
    assert said(api) == [("user", "Where is my cat?")]


@pytest.mark.parametrize("model", ["break", "error", "malformed", "stall", "cut"])
def test_a_reply_that_breaks_off_is_kept_marked_incomplete(stream: Stream, api: Api, model: str):
    problem = events(stream(model=model))[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("STREAM_FAILED", ["msg-001", "msg-002"])
    assert said(api)[1] == ("assistant", "Memory is")
    assert messages(api)[1]["status"] == "incomplete"


def test_a_reply_that_breaks_off_is_discarded_where_the_caller_says_so(stream: Stream, api: Api):
    problem = events(stream(model="break", onFailure="discard"))[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("STREAM_FAILED", ["msg-001"])
    assert said(api) == [("user", "Where is my cat?")]


def test_a_model_that_refuses_fails_the_stream(stream: Stream, api: Api):
    assert events(stream(model="status-500"))[-1].data["code"] == "STREAM_FAILED"
    assert said(api) == [("user", "Where is my cat?")]


def test_a_client_gone_in_the_middle_leaves_a_whole_turn(stream: Stream, api: Api):
    connection = stream(model="slow")
    next(event for event in connection.events() if event.name == "delta")
    connection.leave()
    deadline = time.monotonic() + 10
    while len(messages(api)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert said(api)[1] == ("assistant", REPLY)


def test_two_streams_into_one_conversation_leave_four_messages_and_a_chain_that_verifies(stream: Stream, api: Api):
    first, second = stream("one", model="slow"), stream("two", model="slow")
    assert [events(first)[-1].name, events(second)[-1].name] == ["result", "result"]
    assert sorted(said(api)) == sorted([("user", "one"), ("user", "two"), ("assistant", REPLY), ("assistant", REPLY)])
    assert is_valid(api)


def test_a_request_sent_again_gets_the_same_reply_and_stores_nothing(stream: Stream, api: Api, chat: ChatServer):
    first = events(stream(headers={"Idempotency-Key": "k"}))[-1].data
    asked = len(chat.requests)
    again = stream(headers={"Idempotency-Key": "k"})
    told = events(again)
    assert again.headers["idempotent-replayed"] == "true"
    assert [event.name for event in told] == ["start", "context", "delta", "result"]
    assert {**told[-1].data, "usage": 0, "finishReason": 0} == {**first, "usage": 0, "finishReason": 0}
    assert (len(chat.requests), len(messages(api))) == (asked, 2)


def test_a_request_whose_reply_was_discarded_is_answered_when_it_is_sent_again(stream: Stream, api: Api):
    turn = {"headers": {"Idempotency-Key": "k"}, "model": "broken-once", "onFailure": "discard"}
    assert events(stream(**turn))[-1].data["code"] == "STREAM_FAILED"
    assert events(stream(**turn))[-1].data["fullResponse"] == REPLY
    assert said(api) == [("user", "Where is my cat?"), ("assistant", REPLY)]


def test_a_space_of_somebody_else_is_refused_before_any_stream(stream: Stream, api: Api):
    events(stream())
    refused = stream(memorySpaceId="other")
    assert (refused.status, refused.json()["code"]) == (409, "MEMORY_SPACE_MISMATCH")
    assert len(messages(api)) == 2


def test_a_turn_without_an_owner_is_refused_before_any_stream(stream: Stream):
    refused = stream(userId=None)
    assert (refused.status, refused.json()["code"]) == (422, "OWNER_REQUIRED")
