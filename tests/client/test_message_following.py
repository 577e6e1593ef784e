"""A message is upserted, and followed to its end, over as many connections as that takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annals_client import Erased, MessageDelta, MessageResult, MessageStart, NotFound
from annals_client.models import DraftMessage, Message
from annals_client.resources.messages import Messages
from tests.client.asking import Ask
from tests.client.scripted import DROPPED, Answer, refused, scripted

AT = "2026-01-01T00:00:00.000Z"
MESSAGE = {"messageId": "msg-001", "seq": 1, "role": "assistant", "content": "To be, or not", "timestamp": AT}
DRAFT = {
    "externalId": "a/1",
    "revision": 1,
    "role": "assistant",
    "length": 0,
    "status": "draft",
    "timestamp": AT,
    "expiresAt": AT,
}


def _frame(name: str, data: Any, position: str = "") -> bytes:
    identified = f"id: {position}\n" if position else ""
    return f"{identified}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


START = _frame("start", {"conversationId": "c", "message": DRAFT}, "1-0")
PIECES = [_frame("delta", {"text": "To be"}, "1-5"), _frame("delta", {"text": ", or"}, "1-9")]
RESULT = _frame("result", {"conversationId": "c", "message": MESSAGE})


def _follow(client: Any) -> Any:
    return client.messages.follow("c", "a/1")


def test_a_message_is_followed_to_its_end_over_broken_connections(ask: Ask) -> None:
    first, second = Answer(chunks=(START, PIECES[0]), cut=True), Answer(chunks=(PIECES[1],))
    with scripted(first, second, Answer(chunks=(b": keep-alive\n\n", RESULT))) as server:
        events = ask(server.url, _follow)
    assert [type(event) for event in events] == [MessageStart, MessageDelta, MessageDelta, MessageResult]
    assert events[-1].message.content == "To be, or not"
    asked = [(request.path, request.headers.get("last-event-id")) for request in server.requests]
    path = "/v1/conversations/c/messages/a%2F1/stream"
    assert asked == [(path, None), (path, "1-5"), (path, "1-9")]


def test_what_comes_of_no_message_is_raised(ask: Ask) -> None:
    problem = {"status": 410, "code": "CONVERSATION_ERASED", "title": "Gone", "detail": "It is gone."}
    with scripted(Answer(chunks=(START, _frame("error", problem)))) as server, pytest.raises(Erased):
        ask(server.url, _follow)
    assert len(server.requests) == 1


def test_a_message_that_is_not_there_is_not_followed(ask: Ask) -> None:
    with scripted(refused(404, "MESSAGE_NOT_FOUND")) as server, pytest.raises(NotFound):
        ask(server.url, _follow)
    assert len(server.requests) == 1


def test_an_upsert_says_what_is_new_of_a_message() -> None:
    call = Messages.upsert.call("c", "a/1", role="assistant", content="To be", revision=3, on_expiry="keep")
    assert (call.method, call.path) == ("PUT", "/v1/conversations/c/messages/a%2F1")
    assert call.body == {
        "role": "assistant",
        "content": "To be",
        "completed": False,
        "replace": False,
        "revision": 3,
        "onExpiry": "keep",
    }


def test_an_upsert_gives_the_draft_or_the_message(ask: Ask) -> None:
    answers = [Answer(body={"conversationId": "c", "message": each}) for each in (DRAFT, MESSAGE)]
    with scripted(*answers) as server:
        draft = ask(server.url, lambda client: client.messages.upsert("c", "a/1", role="assistant", content="x"))
        message = ask(server.url, lambda client: client.messages.upsert("c", "a/1", role="assistant", completed=True))
    assert isinstance(draft.message, DraftMessage)
    assert isinstance(message.message, Message)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_upsert_is_repeated_with_its_revision_or_its_key(ask: Ask, ordered: bool) -> None:
    fields = {"role": "assistant", "content": "x", **({"revision": 1} if ordered else {})}
    with scripted(DROPPED, Answer(body={"conversationId": "c", "message": DRAFT})) as server:
        ask(server.url, lambda client: client.messages.upsert("c", "a/1", **fields))
    first, second = (request.headers.get("idempotency-key") for request in server.requests)
    assert first == second
    assert (first is None) == ordered


def test_drafts_are_listed_without_the_messages(ask: Ask) -> None:
    with scripted(Answer(body={"items": [MESSAGE, DRAFT], "total": 1})) as server:
        drafts = ask(server.url, lambda client: client.messages.drafts("c"))
    assert [draft.external_id for draft in drafts] == ["a/1"]
    assert server.requests[0].path == "/v1/conversations/c/messages?drafts=true&limit=1"
