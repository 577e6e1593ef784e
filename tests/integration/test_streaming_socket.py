"""remember-stream over a real socket: what leaves when, and what is refused before any stream."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from annals.errors import MemorySpaceMismatch
from annals.memory.streaming.live_turn import ModelLimits
from annals.memory.streaming.streamed_turns import StreamedTurns
from tests.fakes.turns import BROKEN, END, MemoryDrafts, MemoryTurnStore, ScriptedModel
from tests.fakes.uvicorn_server import Connection, ReceivedEvent, serving_app
from tests.support.stack import function

PATH = "/v1/memory/remember-stream"
TURN = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": "Where is my cat? 🐈"}
AUTHORIZER = {"tenant": "t", "keyId": "k", "scopes": '["read", "write"]'}

Post = Callable[..., Connection]


@contextmanager
def serving(store: MemoryTurnStore, model: ScriptedModel) -> Iterator[Post]:
    """The function's app; the function that posts to it."""
    app = function("remember_stream").create_app(
        lambda: StreamedTurns(store, MemoryDrafts(), model, ModelLimits(stall_s=5))
    )

    with serving_app(app) as port:

        def post(
            body: Any = TURN, *, method: str = "POST", path: str = PATH, authorizer: Any = AUTHORIZER, **headers: str
        ):
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            context = {"requestId": "req-7"} | ({"authorizer": authorizer} if authorizer else {})
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            own = {"Content-Type": "application/json", "x-amzn-request-context": json.dumps(context)}
            return Connection(port, method, path, raw, own | named)

        yield post


def events(connection: Connection) -> list[ReceivedEvent]:
    return [event for event in connection.events() if isinstance(event, ReceivedEvent)]


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_events_come_in_order_and_nobody_may_keep_them():
    with serving(MemoryTurnStore(), ScriptedModel("On ", "the roof", END)) as post:
        answer = post()
        received = events(answer)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert [(event.name, event.id) for event in received] == [
        ("start", None),
        ("context", None),
        ("delta", "1"),
        ("delta", "2"),
        ("result", None),
    ]
    assert received[-1].data["fullResponse"] == "".join(
        event.data["text"] for event in received if event.name == "delta"
    )


def test_the_first_delta_is_on_the_socket_before_the_model_has_said_its_last():
    model = ScriptedModel("first", 0.5, "last", END)
    with serving(MemoryTurnStore(), model) as post:
        coming = post().events()
        received = [next(coming) for _ in range(3)]
        assert received[-1].data == {"text": "first"}
        assert model.sent == ["first"]
        received += coming
    at = {event.data.get("text", event.name): event.at for event in received}
    assert at["last"] - at["first"] > 0.4


def test_each_delta_leaves_in_a_chunk_of_its_own():
    with serving(MemoryTurnStore(), ScriptedModel("a", 0.02, "b", 0.02, "c", END)) as post:
        chunks = list(post().chunks())
    assert sum(b"event: delta" in chunk for chunk in chunks) == 3


def test_the_users_message_can_be_read_before_the_first_delta_is_sent():
    store = MemoryTurnStore()
    with serving(store, ScriptedModel(0.3, "word", END)) as post:
        coming = post().events()
        assert next(coming).name == "start"
        assert store.contents() == [("user", TURN["userMessage"])]
        assert [event.name for event in coming] == ["context", "delta", "result"]


def test_an_emoji_split_over_deltas_arrives_whole():
    pieces = ["👩", "\u200d", "🚀", " e\u0301", "\u2028\r\n"]
    with serving(MemoryTurnStore(), ScriptedModel(*pieces, END)) as post:
        received = events(post())
    assert [event.data["text"] for event in received if event.name == "delta"] == pieces
    assert received[-1].data["fullResponse"] == "👩‍🚀 e\u0301\u2028\r\n"


def test_a_client_that_goes_away_does_not_keep_the_turn_from_being_stored():
    store, model = MemoryTurnStore(), ScriptedModel("one ", 0.2, "two ", 0.2, "three", END)
    with serving(store, model) as post:
        connection = post()
        coming = connection.events()
        assert [next(coming).name for _ in range(3)] == ["start", "context", "delta"]
        connection.leave()
        assert len(store.contents()) == 1
        wait_for(lambda: len(store.contents()) == 2)
    assert store.contents()[1] == ("assistant", "one two three")


def test_a_server_that_stops_stores_the_turn_first():
    store = MemoryTurnStore()
    with serving(store, ScriptedModel("one ", 0.5, "two", END)) as post:
        connection = post()
        next(connection.events())
        connection.leave()
    assert store.contents()[1:] == [("assistant", "one two")]


def test_a_failing_model_ends_the_stream_with_problem_details():
    store = MemoryTurnStore()
    with serving(store, ScriptedModel("On ", BROKEN)) as post:
        received = events(post())
    problem = received[-1].data
    assert [event.name for event in received] == ["start", "context", "delta", "error"]
    assert {"type", "title", "status", "code", "detail", "requestId", "stored"} == problem.keys()
    assert (problem["status"], problem["code"], problem["requestId"]) == (502, "STREAM_FAILED", "req-7")
    assert len(store.contents()) == 2


def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(function("remember_stream"), "KEEP_ALIVE_S", 0.05)
    with serving(MemoryTurnStore(), ScriptedModel(0.3, "word", END)) as post:
        assert list(post().events()).count(": keep-alive") >= 3


@pytest.mark.parametrize(
    ("sent", "status", "code", "field"),
    [
        ({"authorizer": None}, 401, "UNAUTHORIZED", None),
        ({"authorizer": {**AUTHORIZER, "scopes": '["read"]'}}, 403, "FORBIDDEN", None),
        ({"body": b"{"}, 400, "INVALID_JSON", None),
        ({"body": b""}, 400, "INVALID_JSON", None),
        ({"Content_Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE", None),
        ({"body": {**TURN, "userMessage": " "}}, 422, "MISSING_REQUIRED_FIELD", "userMessage"),
        ({"body": {**TURN, "agentResponse": "x"}}, 422, "UNKNOWN_FIELD", "agentResponse"),
        ({"body": {**TURN, "onFailure": "retry"}}, 422, "INVALID_FORMAT", "onFailure"),
        ({"body": {**TURN, "history": 1000}}, 422, "INVALID_RANGE", "history"),
        ({"body": {**TURN, "importance": 101}}, 422, "INVALID_IMPORTANCE", "importance"),
        ({"Idempotency_Key": " "}, 422, "INVALID_FORMAT", "Idempotency-Key"),
        ({"path": "/v1/elsewhere"}, 404, "NOT_FOUND", None),
        ({"method": "PUT"}, 405, "METHOD_NOT_ALLOWED", None),
    ],
)
def test_what_is_wrong_is_refused_before_any_stream(sent: dict, status: int, code: str, field: str | None):
    store = MemoryTurnStore()
    with serving(store, ScriptedModel("word", END)) as post:
        answer = post(**sent)
        problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, problem["status"], problem["code"], problem.get("field")) == (status, status, code, field)
    assert problem["requestId"] == "req-7"
    assert store.conversations == {}


def test_what_the_store_refuses_is_refused_before_any_stream():
    with serving(MemoryTurnStore(refuse={"begin": MemorySpaceMismatch("c")}), ScriptedModel("word", END)) as post:
        answer = post()
        assert (answer.status, answer.json()["code"]) == (409, "MEMORY_SPACE_MISMATCH")


def test_a_fault_of_ours_is_an_internal_error_without_its_cause():
    with serving(MemoryTurnStore(refuse={"begin": ZeroDivisionError("secret")}), ScriptedModel()) as post:
        answer = post()
        problem = answer.json()
    assert (answer.status, problem["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in json.dumps(problem)


def test_the_adapter_is_told_when_requests_can_come():
    with serving(MemoryTurnStore(), ScriptedModel()) as post:
        assert post(b"", method="GET", path="/health", authorizer=None).status == 200
