"""Coming back to a stream: while it runs, when it is over, from another process, and after its process was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import pytest

from annals.database.dynamodb import from_item
from annals.settings import settings
from tests.fakes.chat_server import REPLY, ChatServer, words
from tests.fakes.uvicorn_server import Connection, ReceivedEvent
from tests.integration.conftest import LEASE_S
from tests.support.api import Api
from tests.support.searching import wait_for
from tests.support.streaming import Streams, app_in_a_process, as_tuples, draft_items, events, text_of

TWO_WORDS = "".join(words(REPLY)[:2])


def read(incoming: Iterator[ReceivedEvent | str], count: int) -> list[ReceivedEvent]:
    """The next events."""
    return list(islice((each for each in incoming if isinstance(each, ReceivedEvent)), count))


def leave_after_two_words(stream: Streams, **more: object) -> tuple[list[ReceivedEvent], Connection]:
    connection = stream(model="hold", **more)
    received = read(connection.events(), 4)
    assert [event.name for event in received] == ["start", "context", "delta", "delta"]
    connection.leave()
    return received, connection


def wait_until_kept(api: Api, received: list[ReceivedEvent]) -> None:
    """Wait until the draft holds the two words that were told."""
    wait_for(lambda: draft_text(api, received[0].data["streamId"]) == TWO_WORDS)


def draft_text(api: Api, stream_id: str) -> str:
    """The text that a draft holds."""
    items = draft_items(api.caller.tenant, stream_id)
    return "".join(from_item(item)["text"] for item in items if item["sk"]["S"].startswith("B#"))


def messages(api: Api) -> list[dict]:
    return api.get("/v1/conversations/c/messages").json["items"]


def test_a_stream_that_is_over_can_be_told_again(stream: Streams):
    received = events(stream())
    again = stream.follow(received[0].data["streamId"])
    assert again.headers["content-type"].startswith("text/event-stream")
    assert as_tuples(events(again)) == as_tuples(received)


@pytest.mark.parametrize("model", ["break", "empty", "status-500"])
def test_a_stream_that_failed_is_told_again_with_its_error(stream: Streams, model: str):
    received = events(stream(model=model))
    assert as_tuples(events(stream.follow(received[0].data["streamId"]))) == as_tuples(received)


def test_after_the_last_event_id_comes_the_rest_and_nothing_twice(stream: Streams):
    received = events(stream())
    stream_id = received[0].data["streamId"]
    for after in (0, 1, 5, 9):
        assert as_tuples(events(stream.follow(stream_id, after))) == as_tuples(received[2 + after :])
    assert [event.name for event in events(stream.follow(stream_id, 1000))] == ["result"]


def test_a_client_that_comes_back_while_the_reply_grows_gets_the_rest_of_it(stream: Streams, chat: ChatServer):
    received, _ = leave_after_two_words(stream)
    incoming = stream.follow(received[0].data["streamId"], received[-1].id).events()
    chat.may_go_on.set()
    rest = read(incoming, 100)
    assert text_of(received) + text_of(rest) == REPLY == rest[-1].data["fullResponse"]
    assert [event.id for event in rest[:-1]] == [str(number) for number in range(3, 10)]


def test_a_follower_from_another_process_is_told_what_comes_while_it_comes(stream: Streams, chat: ChatServer):
    with app_in_a_process() as (_, port):
        first = stream(model="hold").events()
        received = read(first, 4)
        incoming = stream.at(port).follow(received[0].data["streamId"]).events()
        assert as_tuples(read(incoming, 4)) == as_tuples(received)
        chat.may_go_on.set()
        received += read(first, 100)
        assert as_tuples(read(incoming, 100)) == as_tuples(received[4:])


def test_a_turn_that_nobody_follows_is_stored_and_can_be_told_later(stream: Streams, chat: ChatServer, api: Api):
    received, _ = leave_after_two_words(stream)
    chat.may_go_on.set()
    deadline = time.monotonic() + 10
    while len(messages(api)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert events(stream.follow(received[0].data["streamId"]))[-1].data["fullResponse"] == REPLY


def test_an_unknown_stream_is_404_and_so_is_that_of_another_tenant_or_space(stream: Streams):
    stream_id = events(stream())[0].data["streamId"]
    strangers = [
        stream.limited(tenant="somebody-else"),
        stream.limited(spaces=frozenset({"another"})),
    ]
    refused = [each.follow(stream_id) for each in strangers]
    refused += [stream.follow(name) for name in ("stream-0123456789abcdef01234567", "x", "stream-x%23C%23y")]
    assert {(each.status, each.json()["code"]) for each in refused} == {(404, "STREAM_NOT_FOUND")}
    assert stream.follow("%2e%2e").json()["code"] == "INVALID_ID_FORMAT"


def test_a_key_without_the_scope_read_may_not_follow(stream: Streams):
    refused = stream.limited(scopes=frozenset({"write"})).follow("stream-0123456789abcdef01234567")
    assert (refused.status, refused.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "1" * 13])
def test_a_last_event_id_that_is_no_number_is_422(stream: Streams, after: str):
    refused = stream.follow("stream-0123456789abcdef01234567", after)
    problem = refused.json()
    assert (refused.status, problem["code"], problem["field"]) == (422, "INVALID_FORMAT", "Last-Event-ID")


def test_a_stream_whose_reply_was_redacted_is_not_told_again(stream: Streams, api: Api):
    stream_id = events(stream())[0].data["streamId"]
    assert api.post("/v1/conversations/c/messages/msg-002/redact", {"reason": "asked for"}).status == 200
    refused = stream.follow(stream_id)
    assert (refused.status, refused.json()["code"]) == (404, "STREAM_NOT_FOUND")


def test_every_item_of_a_draft_is_small_and_goes_when_its_time_is_over(stream: Streams, api: Api):
    received = events(stream(model="huge"))
    items = draft_items(api.caller.tenant, received[0].data["streamId"])
    now = time.time()
    assert all(0 < int(item["expiresAt"]["N"]) - now <= settings().draft_retention_s for item in items)
    batches = [from_item(item) for item in items if item["sk"]["S"].startswith("B#")]
    assert max(len(batch["text"]) for batch in batches) <= 4096
    assert len(batches) < 200


def test_after_a_kill_in_the_middle_a_request_sent_again_is_told_what_came_and_keeps_it_as_incomplete(
    stream: Streams, chat: ChatServer, api: Api
):
    key = {"headers": {"Idempotency-Key": "k"}}
    with app_in_a_process() as (process, port):
        received, _ = leave_after_two_words(stream.at(port), **key)
        wait_until_kept(api, received)
        process.kill()
    request_count = len(chat.requests)
    again = events(stream(model="hold", **key))
    assert [event.name for event in again] == ["start", "context", "delta", "delta", "error"]
    assert as_tuples(again[:4]) == as_tuples(received)
    assert (again[-1].data["code"], again[-1].data["stored"]["messageIds"]) == ("STREAM_FAILED", ["msg-001", "msg-002"])
    assert [(message["content"], message.get("status")) for message in messages(api)] == [
        ("Where is my cat?", None),
        (TWO_WORDS, "incomplete"),
    ]
    assert as_tuples(events(stream(model="hold", **key))) == as_tuples(again)
    assert len(chat.requests) == request_count


def test_after_a_kill_before_the_first_word_a_request_sent_again_asks_the_model_again(
    stream: Streams, chat: ChatServer, api: Api
):
    key = {"headers": {"Idempotency-Key": "k"}}
    with app_in_a_process() as (process, port):
        first = stream.at(port)(model="mute", **key).events()
        received = read(first, 2)
        assert [event.name for event in received] == ["start", "context"]
        process.kill()
    chat.may_go_on.set()
    started = time.monotonic()
    again = events(stream(model="mute", **key))
    assert time.monotonic() - started < LEASE_S + 5
    assert (again[0].data, text_of(again)) == (received[0].data, REPLY)
    assert [event.name for event in again].count("start") == 1
    assert [message["content"] for message in messages(api)] == ["Where is my cat?", REPLY]


def test_after_a_kill_a_reply_that_is_not_wanted_in_part_is_asked_for_again_and_begins_anew(
    stream: Streams, chat: ChatServer, api: Api
):
    turn = {"headers": {"Idempotency-Key": "k"}, "onFailure": "discard"}
    with app_in_a_process() as (process, port):
        received, _ = leave_after_two_words(stream.at(port), **turn)
        wait_until_kept(api, received)
        process.kill()
    chat.may_go_on.set()
    again = events(stream(model="hold", **turn))
    beginnings = [place for place, event in enumerate(again) if event.name == "start"]
    assert len(beginnings) == 2
    assert text_of(again[beginnings[1] :]) == REPLY == again[-1].data["fullResponse"]
    numbers = [int(event.id) for event in again if event.id]
    assert numbers == sorted(set(numbers))
    stream_id = received[0].data["streamId"]
    late = events(stream.follow(stream_id, received[-1].id))
    assert (late[0].name, text_of(late)) == ("start", REPLY)
    assert [message["content"] for message in messages(api)] == ["Where is my cat?", REPLY]


def test_after_a_kill_a_follower_keeps_what_came_even_without_a_key(stream: Streams, api: Api):
    with app_in_a_process() as (process, port):
        received, _ = leave_after_two_words(stream.at(port))
        wait_until_kept(api, received)
        process.kill()
    rest = events(stream.follow(received[0].data["streamId"], received[-1].id))
    assert [event.name for event in rest] == ["error"]
    assert messages(api)[1]["status"] == "incomplete"
