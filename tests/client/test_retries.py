"""Requests that fail are sent again where that is right, and only there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from annals_client import (
    NO_RETRIES,
    AnnalsError,
    Conflict,
    ConnectionFailed,
    Retries,
    ServerFailed,
    Unavailable,
    ValidationFailed,
)
from annals_client.calls import Repeat
from annals_client.errors import Problem
from annals_client.retries import Tries
from tests.client.asking import QUICK, Ask
from tests.client.scripted import DROPPED, UP, Answer, refused, scripted

APPENDED = Answer(
    201,
    {
        "conversationId": "c",
        "messages": [{"messageId": "msg-001", "seq": 1, "role": "user", "timestamp": "2026-01-01T00:00:00.000Z"}],
        "messageCount": 1,
        "headHash": "00",
    },
)
BUSY = refused(503, "UNAVAILABLE")


def _append(client: Any) -> Any:
    return client.messages.append("c", role="user", content="hi")


@pytest.mark.parametrize(
    "failure",
    [
        DROPPED,
        BUSY,
        refused(429, "TOO_MANY_REQUESTS"),
        refused(409, "REQUEST_IN_PROGRESS"),
        refused(409, "APPEND_CONFLICT"),
        Answer(502),
        Answer(504),
    ],
)
def test_a_passing_failure_is_survived_under_the_same_key(ask: Ask, failure: Answer) -> None:
    with scripted(failure, failure, APPENDED) as server:
        assert ask(server.url, _append).message_count == 1
    first, *others = server.requests
    assert first.headers["idempotency-key"]
    assert all(other == first for other in others)


def _append_known(client: Any) -> Any:
    return client.messages.append("c", role="user", content="hi", external_id="item-1")


def _append_all_known(client: Any) -> Any:
    return client.messages.append_many("c", [{"role": "user", "content": "hi", "external_id": "item-1"}])


@pytest.mark.parametrize("append", [_append_known, _append_all_known])
def test_messages_with_ids_of_their_own_are_sent_again_without_the_cost_of_a_key(
    ask: Ask, append: Callable[[Any], Any]
) -> None:
    with scripted(DROPPED, BUSY, APPENDED) as server:
        assert ask(server.url, append).message_count == 1
    assert not any("idempotency-key" in request.headers for request in server.requests)


def test_a_message_without_an_id_of_its_own_has_the_request_sent_with_a_key(ask: Ask) -> None:
    known = {"role": "user", "content": "hi", "external_id": "item-1"}
    with scripted(APPENDED) as server:
        ask(server.url, lambda client: client.messages.append_many("c", [known, {"role": "user", "content": "you"}]))
    assert server.requests[0].headers["idempotency-key"]


def test_what_reads_is_asked_again(ask: Ask) -> None:
    with scripted(DROPPED, BUSY, UP) as server:
        assert ask(server.url, lambda client: client.health()).version == "1.2.3"
    assert "idempotency-key" not in server.requests[0].headers


def test_two_calls_have_two_keys(ask: Ask) -> None:
    with scripted(APPENDED, APPENDED) as server:
        ask(server.url, _append)
        ask(server.url, _append)
    first, second = (request.headers["idempotency-key"] for request in server.requests)
    assert first != second


def test_a_callers_key_is_sent_as_it_is(ask: Ask) -> None:
    with scripted(APPENDED) as server:
        ask(server.url, lambda client: client.messages.append("c", role="user", content="x", idempotency_key="turn 7"))
    assert server.requests[0].headers["idempotency-key"] == "turn 7"


CHANGED = [
    lambda client: client.conversations.update("c", {"a": 1}),
    lambda client: client.memories.update("m", content="x"),
    lambda client: client.memories.restore("m"),
    lambda client: client.user_memories.update("ada", "m", memory="x"),
    lambda client: client.spaces.put("work", name="x"),
]


@pytest.mark.parametrize("do", CHANGED)
def test_a_change_whose_answer_was_lost_is_sent_again_under_the_same_key(ask: Ask, do: Any) -> None:
    with scripted(DROPPED, BUSY, refused(422, "X")) as server, pytest.raises(ValidationFailed):
        ask(server.url, do)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


UNKEYED = [
    lambda client: client.conversations.delete_many(user_id="ada"),
    lambda client: client.memories.delete_many(user_id="ada"),
]


@pytest.mark.parametrize("do", UNKEYED)
def test_what_could_be_done_twice_is_not_sent_twice(ask: Ask, do: Any) -> None:
    with scripted(DROPPED) as server, pytest.raises(ConnectionFailed) as failed:
        ask(server.url, do)
    assert failed.value.sent
    with scripted(BUSY) as server, pytest.raises(Unavailable):
        ask(server.url, do)


@pytest.mark.parametrize("do", UNKEYED)
def test_what_was_turned_away_untouched_is_sent_again(ask: Ask, do: Any) -> None:
    with scripted(refused(429, "TOO_MANY_REQUESTS"), refused(422, "X")) as server, pytest.raises(ValidationFailed):
        ask(server.url, do)


def test_a_request_that_never_left_is_tried_again_and_said_to_be_unsent(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ConnectionFailed) as failed:
        ask(closed, UNKEYED[0])
    assert (failed.value.sent, failed.value.status) == (False, 0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(422, "INVALID_TYPE"), ValidationFailed),
        (refused(409, "CONVERSATION_SEALED"), Conflict),
        (refused(500, "INTERNAL_ERROR"), ServerFailed),
    ],
)
def test_a_refusal_is_final(ask: Ask, answer: Answer, kind: type[AnnalsError]) -> None:
    with scripted(answer) as server, pytest.raises(kind):
        ask(server.url, _append)


def test_the_tries_are_counted(ask: Ask) -> None:
    with scripted(*[BUSY] * QUICK.tries) as server, pytest.raises(Unavailable):
        ask(server.url, _append)
    with scripted(BUSY) as server, pytest.raises(Unavailable):
        ask(server.url, _append, retries=NO_RETRIES)


def test_what_the_server_asks_for_is_waited(ask: Ask) -> None:
    with scripted(refused(503, "UNAVAILABLE", Retry_After="1"), UP) as server:
        begun = time.monotonic()
        ask(server.url, lambda client: client.health())
    assert time.monotonic() - begun >= 1


def test_nobody_waits_longer_than_was_allowed(ask: Ask) -> None:
    with scripted(refused(503, "UNAVAILABLE", Retry_After="60")) as server, pytest.raises(Unavailable):
        ask(server.url, _append, retries=Retries(total_s=5))


def test_a_silent_server_is_given_up(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ConnectionFailed) as failed:
        ask(f"http://127.0.0.1:{listener.getsockname()[1]}", UNKEYED[0], timeout_s=0.1)
    assert (failed.value.code, failed.value.sent) == ("TIMEOUT", True)


def test_the_waits_are_random_below_a_ceiling_that_doubles() -> None:
    busy = Unavailable(Problem(503, "UNAVAILABLE", "", ""))
    waits = []
    for _ in range(200):
        tries = Tries(Retries(tries=5, first_s=1, longest_s=3), Repeat.SAFELY)
        waits.append([tries.pause_after(busy) for _ in range(4)])
    highest = [max(each) for each in zip(*waits, strict=True)]
    lowest = [min(each) for each in zip(*waits, strict=True)]
    assert all(0.8 * ceiling < high <= ceiling for high, ceiling in zip(highest, (1, 2, 3, 3), strict=True))
    assert all(low < 0.2 for low in lowest)
