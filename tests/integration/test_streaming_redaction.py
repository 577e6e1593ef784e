"""What is redacted or erased while a reply streams takes its own turn's draft along, and no other."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

import pytest

from annals.database.state import read_partition
from annals.ledger.keys import conversation_pk
from tests.fakes.chat_server import REPLY, ChatServer
from tests.fakes.uvicorn_server import ReceivedEvent
from tests.support import faults
from tests.support.api import Api
from tests.support.streaming import Streams, as_tuples, draft_items, events, text_of

KEY = {"Idempotency-Key": "once"}
SECRET = "My password is xylophone."


def begin(stream: Streams, message: str = "Where is my cat?") -> tuple[list[ReceivedEvent], Any]:
    """A turn of which the model has said two words, and what comes of it then."""
    incoming = stream(message, model="hold", headers=KEY).events()
    return read(incoming, 4), incoming


def read(incoming: Any, count: int) -> list[ReceivedEvent]:
    return list(islice((each for each in incoming if isinstance(each, ReceivedEvent)), count))


def say(api: Api, content: str) -> str:
    """A message in front of the turn."""
    made = {"type": "user-agent", "participants": {"userId": "u", "memorySpaceId": "s"}, "conversationId": "c"}
    assert api.post("/v1/conversations", made).status == 201
    sent = api.post("/v1/conversations/c/messages", {"role": "user", "content": content}).json
    return str(sent["messages"][0]["messageId"])


def redact(api: Api, message_id: str) -> None:
    answer = api.post(f"/v1/conversations/c/messages/{message_id}/redact", {"reason": "asked for"})
    assert answer.status == 200, answer.body


def contents(api: Api) -> list[str | None]:
    return [message.get("content") for message in api.get("/v1/conversations/c/messages").json["items"]]


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def signposts(tenant: str) -> list[Any]:
    return list(read_partition(conversation_pk(tenant, "c"), "D#"))


def test_redacting_an_older_message_leaves_the_reply_that_streams_to_its_followers(
    stream: Streams, api: Api, chat: ChatServer
) -> None:
    older = say(api, SECRET)
    received, rest = begin(stream)
    incoming = stream.follow(received[0].data["streamId"]).events()
    followed = read(incoming, 4)

    redact(api, older)

    request_count = len(chat.requests)
    chat.may_go_on.set()
    followed += read(incoming, 100)
    assert text_of(followed) == REPLY == followed[-1].data["fullResponse"]
    assert as_tuples(events(stream(model="hold", headers=KEY))) == as_tuples(followed)
    assert len(chat.requests) == request_count
    assert contents(api) == [None, "Where is my cat?", REPLY]
    assert text_of(received) + text_of(read(rest, 100)) == REPLY


def test_redacting_the_message_that_is_answered_ends_its_stream_and_nothing_of_the_reply_is_kept(
    stream: Streams, api: Api, chat: ChatServer, tenant: str
) -> None:
    older = say(api, "Hello.")
    received, rest = begin(stream, SECRET)
    stream_id, message_id = received[0].data["streamId"], received[0].data["message"]["messageId"]
    incoming = stream.follow(stream_id).events()
    read(incoming, 4)

    redact(api, message_id)

    assert stream.follow(stream_id).status == 404
    assert read(incoming, 100)[-1].data["code"] == "STREAM_NOT_FOUND"
    chat.may_go_on.set()
    ended = read(rest, 100)[-1]
    assert (ended.name, ended.data["code"], ended.data["stored"]["messageIds"]) == (
        "error",
        "MESSAGE_REDACTED",
        [message_id],
    )
    assert contents(api) == ["Hello.", None]
    wait_until(lambda: draft_items(tenant, stream_id) == [])
    assert signposts(tenant) == []
    request_count = len(chat.requests)
    again = stream(SECRET, model="hold", headers=KEY)
    assert (again.status, again.json()["code"], len(chat.requests)) == (410, "MESSAGE_REDACTED", request_count)
    assert older == "msg-001"


def test_redacting_a_reply_takes_its_draft_along_and_leaves_that_of_another_turn(
    stream: Streams, api: Api, tenant: str
) -> None:
    first = events(stream("One?", headers={"Idempotency-Key": "one"}))
    second = events(stream("Two?", headers={"Idempotency-Key": "two"}))

    redact(api, first[-1].data["conversation"]["messageIds"][1])

    assert stream.follow(first[0].data["streamId"]).status == 404
    assert draft_items(tenant, first[0].data["streamId"]) == []
    assert as_tuples(events(stream.follow(second[0].data["streamId"]))) == as_tuples(second)


@pytest.mark.parametrize("path", ["/v1/conversations/c", "/v1/users/u"])
def test_erasing_while_a_reply_streams_leaves_nothing_of_it(
    stream: Streams, api: Api, chat: ChatServer, tenant: str, path: str
) -> None:
    received, rest = begin(stream, SECRET)
    stream_id = received[0].data["streamId"]

    assert api.delete(path).status == 200

    assert stream.follow(stream_id).status in (404, 410)
    chat.may_go_on.set()
    assert read(rest, 100)[-1].data["code"] == "CONVERSATION_ERASED"
    wait_until(lambda: draft_items(tenant, stream_id) == [])
    assert signposts(tenant) == []


def test_a_turn_is_stored_whole_though_no_item_of_its_draft_can_be_written(stream: Streams, api: Api) -> None:
    lost = [faults.lose_request] * 400
    with faults.on("PutItem", *lost) as left:
        received = events(stream(headers=KEY))
    assert len(left) < len(lost)
    assert (received[-1].name, contents(api)) == ("result", ["Where is my cat?", REPLY])
