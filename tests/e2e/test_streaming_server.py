"""remember-stream through the whole development server, read from the socket itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.servers import Server, start_server, stop_server
from tests.fakes.chat_server import REPLY, ChatServer
from tests.fakes.servers import serving
from tests.fakes.uvicorn_server import Connection, ReceivedEvent

PATH = "/v1/memory/remember-stream"
KEY = {"Authorization": "Bearer local"}


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatServer]:
    with serving(ChatServer()) as server:
        yield server


@pytest.fixture(scope="module")
def port(chat: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a development server whose chat model is a local server."""
    data: Path = tmp_path_factory.mktemp("streaming")
    process, server = start_server(data, CHAT_URL=f"{chat.url}/v1", CHAT_MODEL="slow", CHAT_STALL_S="2")
    yield _port(server)
    assert stop_server(process) == 0, (data / "server.log").read_text()


def _port(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def post(port: int, key: str | None = None, **more: Any) -> Connection:
    turn = {"memorySpaceId": "s", "conversationId": f"c-{uuid4()}", "userId": "u", "userMessage": "Where?", **more}
    named = {"Content-Type": "application/json", **KEY, **({"Idempotency-Key": key} if key else {})}
    return Connection(port, "POST", PATH, json.dumps(turn).encode(), named)


def follow(port: int, stream_id: str, headers: dict[str, str]) -> Connection:
    return Connection(port, "GET", f"{PATH}/{stream_id}", b"", headers)


def events(connection: Connection) -> list[ReceivedEvent]:
    assert connection.status == 200, connection.json()
    return [event for event in connection.events() if isinstance(event, ReceivedEvent)]


def as_tuples(received: list[ReceivedEvent]) -> list[tuple[str, str | None, Any]]:
    return [(event.name, event.id, event.data) for event in received]


def test_deltas_are_on_the_socket_while_the_model_still_speaks(port: int) -> None:
    received = events(post(port))
    deltas = [event for event in received if event.name == "delta"]
    assert [event.name for event in received] == ["start", "context", *["delta"] * 9, "result"]
    assert "".join(event.data["text"] for event in deltas) == REPLY == received[-1].data["fullResponse"]
    assert deltas[-1].at - deltas[0].at > 8 * 0.03


def test_who_was_gone_comes_back_and_gets_the_rest(port: int) -> None:
    connection = post(port)
    received = list(islice(connection.events(), 4))
    connection.leave()
    rest = events(follow(port, received[0].data["streamId"], KEY | {"Last-Event-ID": received[-1].id}))
    assert "".join(event.data["text"] for event in [*received, *rest] if event.name == "delta") == REPLY
    assert [event.id for event in [*received, *rest] if event.id] == [str(number) for number in range(1, 10)]
    assert rest[-1].name == "result"


def test_a_request_sent_again_is_told_the_same_and_the_model_is_asked_once(port: int, chat: ChatServer) -> None:
    asked = len(chat.requests)
    first = post(port, key="k", conversationId="c-twice")
    again = post(port, key="k", conversationId="c-twice")
    assert again.headers["idempotent-replayed"] == "true"
    assert as_tuples(events(again)) == as_tuples(events(first))
    assert len(chat.requests) == asked + 1


def test_a_stream_that_there_is_not_is_404_and_without_a_key_401(port: int) -> None:
    unknown = "stream-0123456789abcdef01234567"
    assert [follow(port, unknown, KEY).json()["code"], follow(port, unknown, {}).status] == ["STREAM_NOT_FOUND", 401]
