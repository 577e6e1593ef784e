"""A streamed turn is followed to its end, over as many connections as that takes, and nothing is told twice."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

from annals_client import (
    Annals,
    AnnalsError,
    AsyncAnnals,
    Context,
    Delta,
    Forbidden,
    ReplyNotStored,
    Result,
    Start,
    StreamEmpty,
    StreamFailed,
    Unavailable,
)
from tests.client.asking import QUICK, Ask
from tests.client.scripted import DROPPED, Answer, ScriptedServer, refused, scripted

MESSAGE = {"messageId": "msg-001", "seq": 1, "role": "user", "content": "hi", "timestamp": "2026-01-01T00:00:00.000Z"}


def _frame(name: str, data: Any, number: int | None = None) -> bytes:
    identified = f"id: {number}\n" if number else ""
    return f"{identified}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


START = _frame("start", {"streamId": "stream-1", "conversationId": "c", "message": MESSAGE})
CONTEXT = _frame("context", {"memoryIds": [], "historyCount": 0, "tokenEstimate": 0})
KEEP_ALIVE = b": keep-alive\n\n"
WORDS = ("Naïve ", "👩‍🚀 ", "end\n\nid: 9")
DELTAS = [_frame("delta", {"text": text}, number) for number, text in enumerate(WORDS, 1)]
RESULT = _frame(
    "result",
    {
        "conversation": {"conversationId": "c", "messageIds": ["msg-001", "msg-002"], "messageCount": 2},
        "memories": [],
        "facts": [],
        "fullResponse": "".join(WORDS),
        "usage": {"inputTokens": 3, "outputTokens": 4},
        "finishReason": "stop",
    },
)
WHOLE = [START, KEEP_ALIVE, CONTEXT, *DELTAS, RESULT]


def _streamed(*chunks: bytes, cut: bool = False) -> Answer:
    return Answer(chunks=chunks, cut=cut)


def _remember(client: Any) -> Any:
    return client.memory.remember_stream(memory_space_id="demo", user_id="ada", user_message="hi", history=3)


def _kinds(events: list[Any]) -> list[type]:
    return [type(event) for event in events]


def _resumed(server: ScriptedServer) -> list[tuple[str, str | None]]:
    return [
        (f"{request.method} {request.path}", request.headers.get("last-event-id")) for request in server.requests[1:]
    ]


def test_the_result_has_the_reply_and_what_the_model_did_not_report_is_none(ask: Ask) -> None:
    parts = {"tool_calls": [{"id": "a"}]}
    reply = {**MESSAGE, "messageId": "msg-002", "seq": 2, "role": "assistant", "content": "", "parts": parts}
    result = {
        "conversation": {"conversationId": "c", "messageIds": ["msg-001", "msg-002"], "messageCount": 2},
        "memories": [],
        "facts": [],
        "fullResponse": "",
        "reply": {**reply, "status": "incomplete", "finishReason": "length"},
        "usage": {"inputTokens": 3, "outputTokens": None},
        "finishReason": None,
    }
    with scripted(_streamed(START, CONTEXT, _frame("result", result))) as server:
        [*_, last] = ask(server.url, _remember)
    assert isinstance(last, Result)
    assert last.reply
    assert (last.reply.parts, last.reply.status, last.reply.finish_reason) == (parts, "incomplete", "length")
    assert last.usage
    assert (last.usage.input_tokens, last.usage.output_tokens, last.finish_reason) == (3, None, None)


def test_a_stream_is_typed_events_with_the_result_last(ask: Ask) -> None:
    with scripted(_streamed(*WHOLE)) as server:
        events = ask(server.url, _remember)
    assert _kinds(events) == [Start, Context, Delta, Delta, Delta, Result]
    assert [event.text for event in events[2:5]] == list(WORDS)
    result = events[-1]
    assert (result.full_response, result.usage.output_tokens) == ("".join(WORDS), 4)
    request = server.requests[0]
    body = {"memorySpaceId": "demo", "userId": "ada", "userMessage": "hi", "history": 3}
    assert (request.json, request.path) == (body, "/v1/memory/remember-stream")
    assert request.headers["idempotency-key"]


def test_a_turn_may_bring_facts(ask: Ask) -> None:
    fact = {"fact": "Ada likes tea.", "subject": "Ada", "predicate": "likes", "object": "tea", "fact_type": "taste"}
    with scripted(_streamed(*WHOLE)) as server:
        ask(
            server.url,
            lambda client: client.memory.remember_stream(
                memory_space_id="demo", user_id="ada", user_message="hi", facts=[fact], extract_facts=True
            ),
        )
    body = server.requests[0].json
    assert (body["facts"][0]["factType"], body["extractFacts"]) == ("taste", True)


def test_bytes_may_be_cut_anywhere(ask: Ask) -> None:
    whole = b"".join(WHOLE).replace(b"\n", b"\r\n").replace(b"\\n", b"\\n")
    with scripted(_streamed(*(whole[at : at + 1] for at in range(len(whole))))) as server:
        assert len(ask(server.url, _remember)) == 6


@pytest.mark.parametrize("events", range(3, 6))
def test_a_broken_connection_is_taken_up_after_the_last_piece(ask: Ask, events: int) -> None:
    number = events - 2
    with scripted(
        _streamed(*[START, CONTEXT, *DELTAS][:events], cut=True),
        DROPPED,
        refused(503, "UNAVAILABLE"),
        _streamed(*DELTAS[number:], RESULT),
    ) as server:
        events = ask(server.url, _remember)
    assert _kinds(events) == [Start, Context, Delta, Delta, Delta, Result]
    assert _resumed(server) == [("GET /v1/memory/remember-stream/stream-1", str(number))] * 3


@pytest.mark.parametrize("events", [1, 2])
def test_before_the_first_piece_everything_is_requested_again_and_given_once(ask: Ask, events: int) -> None:
    with scripted(_streamed(*[START, CONTEXT][:events], cut=True), _streamed(*WHOLE)) as server:
        events = ask(server.url, _remember)
    assert _kinds(events) == [Start, Context, Delta, Delta, Delta, Result]
    assert _resumed(server) == [("GET /v1/memory/remember-stream/stream-1", None)]


def test_before_the_start_the_turn_is_sent_again_under_its_key(ask: Ask) -> None:
    with scripted(DROPPED, _streamed(KEEP_ALIVE, cut=True), _streamed(*WHOLE)) as server:
        assert len(ask(server.url, _remember)) == 6
    assert len({(request.path, request.headers["idempotency-key"], request.body) for request in server.requests}) == 1


def test_pieces_that_are_told_again_are_passed_over(ask: Ask) -> None:
    with scripted(_streamed(START, CONTEXT, *DELTAS[:2], cut=True), _streamed(*WHOLE[2:])) as server:
        events = ask(server.url, _remember)
    assert [event.text for event in events if isinstance(event, Delta)] == list(WORDS)


def test_a_stream_that_ends_without_an_end_is_taken_up_too(ask: Ask) -> None:
    with scripted(_streamed(START, CONTEXT, DELTAS[0]), _streamed(*DELTAS[1:], RESULT)) as server:
        assert len(ask(server.url, _remember)) == 6


def test_a_reply_that_begins_anew_says_so() -> None:
    anew = [_frame("delta", {"text": text}, number) for number, text in enumerate(WORDS, 2)]
    with (
        scripted(
            _streamed(START, CONTEXT, DELTAS[0], cut=True),
            _streamed(START, CONTEXT, anew[0], cut=True),
            _streamed(*anew[1:], RESULT),
        ) as server,
        Annals(server.url, "k", retries=QUICK) as client,
    ):
        stream = _remember(client)
        events = list(stream)
    assert _kinds(events) == [Start, Context, Delta, Start, Context, Delta, Delta, Delta, Result]
    assert stream.text == stream.result().full_response


def test_progress_renews_the_tries(ask: Ask) -> None:
    pieces = [_frame("delta", {"text": "x"}, number) for number in range(1, 10)]
    answers = [_streamed(piece, cut=True) for piece in pieces]
    with scripted(_streamed(START, cut=True), *answers, _streamed(RESULT)) as server:
        events = ask(server.url, _remember)
    assert len(events) == 11


def test_when_there_is_no_going_on_what_is_stored_is_said(ask: Ask) -> None:
    busy = [refused(503, "UNAVAILABLE")] * (QUICK.tries - 1)
    broken = _streamed(START, CONTEXT, DELTAS[0], cut=True)
    with scripted(broken, *busy) as server, pytest.raises(StreamFailed) as failed:
        ask(server.url, _remember)
    error = failed.value
    assert error.stored
    assert (error.status, error.stored.conversation_id, error.stored.message_ids) == (503, "c", ("msg-001",))
    assert error.text == WORDS[0]
    assert isinstance(error.__cause__, Unavailable)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("STREAM_FAILED", StreamFailed), ("STREAM_EMPTY", StreamEmpty), ("CONVERSATION_SEALED", ReplyNotStored)],
)
def test_an_error_in_the_stream_is_raised_with_what_is_stored(ask: Ask, code: str, kind: type[StreamFailed]) -> None:
    stored = {"conversationId": "c", "messageIds": ["msg-001", "msg-002"]}
    status = 409 if code == "CONVERSATION_SEALED" else 502
    error = _frame("error", {"status": status, "code": code, "title": "T", "detail": "D.", "stored": stored})
    with scripted(_streamed(START, CONTEXT, *DELTAS[:2], error)) as server, pytest.raises(kind) as failed:
        ask(server.url, _remember)
    assert failed.value.stored
    assert (failed.value.code, failed.value.stored.message_ids) == (code, ("msg-001", "msg-002"))
    assert failed.value.text == WORDS[0] + WORDS[1]


def test_a_refusal_before_the_stream_is_a_refusal(ask: Ask) -> None:
    with scripted(refused(403, "FORBIDDEN")) as server, pytest.raises(Forbidden):
        ask(server.url, _remember)


@pytest.mark.parametrize("chunk", [b"event: delta\ndata: {\n\n", b"event: delta\ndata: {}\n\n", b"data: \xff\n\n"])
def test_another_servers_stream_is_named_as_one(ask: Ask, chunk: bytes) -> None:
    with scripted(_streamed(chunk)) as server, pytest.raises(AnnalsError) as failed:
        ask(server.url, _remember)
    assert failed.value.code == "UNEXPECTED_ANSWER"


def test_texts_are_the_pieces(ask: Ask) -> None:
    with scripted(_streamed(*WHOLE)) as server:
        assert ask(server.url, lambda client: _remember(client).texts()) == list(WORDS)


def test_the_result_is_waited_for() -> None:
    with scripted(_streamed(*WHOLE)) as server, Annals(server.url, "k") as client:
        stream = _remember(client)
        assert stream.result().full_response == stream.text == "".join(WORDS)


def test_with_asyncio_a_turn_is_awaited() -> None:
    async def main(url: str) -> Result:
        async with AsyncAnnals(url, "k") as client:
            return await _remember(client)

    with scripted(_streamed(*WHOLE)) as server:
        assert asyncio.run(main(server.url)).full_response == "".join(WORDS)


def _forget(make: Callable[[], object]) -> None:
    make()
    gc.collect()


def test_a_turn_that_is_never_followed_warns() -> None:
    with (
        scripted() as server,
        Annals(server.url, "k") as client,
        pytest.warns(RuntimeWarning, match="nothing was sent"),
    ):
        _forget(lambda: _remember(client))
    assert server.requests == []


def test_nobody_is_asked_before_the_first_step() -> None:
    with scripted() as server, Annals(server.url, "k") as client, _remember(client):
        pass
    assert server.requests == []


def test_who_leaves_closes_the_connection() -> None:
    with scripted(_streamed(*WHOLE)) as server, Annals(server.url, "k") as client:
        with _remember(client) as stream:
            assert isinstance(next(iter(stream)), Start)
        assert list(stream) == []
