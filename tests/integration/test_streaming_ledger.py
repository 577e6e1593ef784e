"""Streamed turns in the ledger: what is stored of a reply that ends well, badly, or not at all."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from annals.formats.tokens import estimate
from annals.memory import adapters
from annals.search.documents import NOBODY, Document
from annals.search.pipeline import index_documents
from tests.fakes.chat_server import EMOJI, ODD_PARTS, REPLY, ChatServer
from tests.support.api import Api
from tests.support.exchanges import ASKED, REPLIED, openai_call, openai_result, say_all
from tests.support.streaming import Streams, as_tuples, events, forget_draft, text_of


def messages(api: Api) -> list[dict]:
    return api.get("/v1/conversations/c/messages").json["items"]


def contents(api: Api) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages(api)]


def is_valid(api: Api) -> bool:
    return api.get("/v1/conversations/c/verify").json["valid"]


def test_a_turn_is_in_the_ledger_with_both_messages(stream: Streams, api: Api):
    received = events(stream())
    result = received[-1].data
    assert received[0].data["message"]["content"] == "Where is my cat?"
    assert result["fullResponse"] == REPLY
    assert result["conversation"] == {"conversationId": "c", "messageIds": ["msg-001", "msg-002"], "messageCount": 2}
    assert [memory["content"] for memory in result["memories"]] == ["Where is my cat?", REPLY]
    assert [memory["createdAt"] for memory in result["memories"]] == [
        received["timestamp"] for received in messages(api)
    ]
    assert result["usage"]["outputTokens"] == 9
    assert contents(api) == [("user", "Where is my cat?"), ("assistant", REPLY)]
    assert is_valid(api)


@pytest.mark.parametrize("model", ["bytes", "halves"])
def test_an_emoji_that_the_model_splits_is_stored_whole(stream: Streams, api: Api, model: str):
    assert events(stream(model=model))[-1].data["fullResponse"] == EMOJI
    assert contents(api)[1] == ("assistant", EMOJI)


def test_the_users_message_is_in_the_ledger_before_the_first_delta(stream: Streams, api: Api):
    coming = stream(model="slow").events()
    assert next(coming).name == "start"
    assert contents(api) == [("user", "Where is my cat?")]
    assert [event.name for event in coming][-1] == "result"


def test_the_model_gets_the_history_and_last_the_users_message(stream: Streams):
    events(stream("First?"))
    as_tuples = json.loads(events(stream("Second? ", model="echo", instructions="Be brief."))[-1].data["fullResponse"])
    assert as_tuples[0] == {"role": "system", "content": "Be brief."}
    assert [message["content"] for message in as_tuples[1:]] == ["First?", REPLY, "Second? "]


def test_the_model_gets_facts_and_memories_of_the_space_within_a_budget_and_the_caller_is_told_which(
    stream: Streams, api: Api
):
    about = {"tenant": api.caller.tenant, "memory_space_id": "s", "at": 1_750_000_000_000, "owner": NOBODY}
    cited = [
        Document(**about, memory_id="fact-1", content="My cat is called Byron.", content_type="fact"),
        Document(**about, memory_id="mem:x:1", content="The cat sleeps on the roof.", role="user"),
        Document(**about, memory_id="mem:x:2", content="cat " * 3000, role="user"),
        Document(**{**about, "memory_space_id": "other"}, memory_id="mem:y:1", content="Where is my cat?"),
    ]
    assert not index_documents(adapters.index(), adapters.embedder(), cited)
    received = events(stream(model="echo"))
    assert set(received[1].data["memoryIds"]) == {"fact-1", "mem:x:1"}
    assert (received[1].data["historyCount"], 30 < received[1].data["tokenEstimate"] < 60) == (0, True)
    assert json.loads(received[-1].data["fullResponse"])[0] == {
        "role": "system",
        "content": (
            "What is known:\n- [2025-06-15] My cat is called Byron.\n\n"
            "What is remembered from earlier, oldest first:\n- [2025-06-15] user: The cat sleeps on the roof."
        ),
    }


def test_of_the_history_the_newest_are_shown_as_many_as_are_asked_for_and_fit(stream: Streams, api: Api):
    for number in range(4):
        events(stream(f"Message {number}"))
    received = events(stream(model="echo", history=3))
    shown_to_model = [message["content"] for message in json.loads(received[-1].data["fullResponse"])]
    assert (received[1].data["historyCount"], shown_to_model) == (3, [REPLY, "Message 3", REPLY, "Where is my cat?"])
    assert events(stream(model="echo", history=0))[1].data["historyCount"] == 0
    events(stream("long " * 5000))
    assert events(stream(model="echo", history=3))[1].data["historyCount"] == 1


def test_a_call_is_shown_to_the_model_with_its_result_and_both_count(stream: Streams, api: Api):
    events(stream("First?"))
    say_all(api.caller.tenant, [openai_call("a", arguments={"at": "the door"}), openai_result("a")], "c")
    say_all(api.caller.tenant, [openai_call("b"), ASKED], "c")
    received = events(stream(model="echo"))
    shown_to_model = [message["content"] for message in json.loads(received[-1].data["fullResponse"])]
    call = '[Call of look]\n{"at":"the door"}\n[Result of look]\nseen'
    assert shown_to_model == ["First?", REPLY, call, "What is there?", "Where is my cat?"]
    context = received[1].data
    assert (context["historyCount"], context["historyOmitted"]) == (5, 1)
    assert context["tokenEstimate"] == sum(estimate(text) + 4 for text in shown_to_model[:-1])


def test_the_calls_of_finished_turns_are_not_shown_to_the_model_on_request(stream: Streams, api: Api):
    events(stream("First?"))
    say_all(api.caller.tenant, [ASKED, openai_call("a"), openai_result("a", "seen " * 50), REPLIED], "c")
    received = events(stream(model="echo", toolCalls="unfinished"))
    shown_to_model = [message["content"] for message in json.loads(received[-1].data["fullResponse"])]
    assert shown_to_model == ["First?", REPLY, "What is there?", "A river.", "Where is my cat?"]
    assert received[1].data["toolTokensSaved"] > 50


def test_a_question_that_another_stream_answers_is_not_shown_until_its_reply_is_there(
    stream: Streams, api: Api, chat: ChatServer
):
    coming = stream("First?", model="hold").events()
    assert next(coming).name == "start"
    received = events(stream("Second?", model="echo"))
    assert received[1].data["historyCount"] == 0
    window = api.get("/v1/conversations/c/context?maxTokens=1000").json
    assert window["omitted"]["beingAnswered"] == ["msg-001"]
    assert [message["messageId"] for message in window["messages"]] == ["msg-002", "msg-003"]
    recalled = {"memorySpaceId": "s", "userId": "u", "query": "cat", "conversationId": "c"}
    history = api.post("/v1/memory/recall", recalled).json["history"]
    assert [message["messageId"] for message in history] == ["msg-002", "msg-003"]
    chat.may_go_on.set()
    assert [event.name for event in coming][-1] == "result"
    window = api.get("/v1/conversations/c/context?maxTokens=1000").json
    assert [message["messageId"] for message in window["messages"]] == ["msg-001", "msg-004", "msg-002", "msg-003"]


@pytest.mark.parametrize("model", ["calls", "calls alone", "content in lists", "usage with null", "reasoning"])
def test_what_a_reply_has_beside_its_text_is_in_its_parts_for_whoever_follows(stream: Streams, api: Api, model: str):
    received = events(stream(model=model))
    result = received[-1].data
    reply = messages(api)[1]
    assert reply["parts"] == ODD_PARTS[model]
    assert (reply["content"], result["fullResponse"]) == (("", "") if model == "calls alone" else (REPLY, REPLY))
    assert (reply["finishReason"], "status" in reply) == (result["finishReason"], False)
    assert result["reply"] == reply
    again = events(stream.follow(received[0].data["streamId"]))
    assert again[-1].data == result
    assert is_valid(api)


def test_a_reply_of_calls_alone_is_told_to_a_request_sent_again_when_its_draft_is_gone(stream: Streams, api: Api):
    first = events(stream(model="calls alone", headers={"Idempotency-Key": "k"}))
    forget_draft(api.caller.tenant, first[0].data["streamId"])
    again = events(stream(model="calls alone", headers={"Idempotency-Key": "k"}))
    assert [event.name for event in again] == ["start", "context", "result"]
    assert again[-1].data["reply"] == first[-1].data["reply"]
    assert again[-1].data["finishReason"] == "tool_calls"


def test_a_reply_that_comes_to_a_limit_is_stored_as_incomplete_with_the_reason(stream: Streams, api: Api):
    result = events(stream(model="length", onFailure="discard"))[-1]
    assert (result.name, result.data["finishReason"]) == ("result", "length")
    reply = messages(api)[1]
    assert (reply["content"], reply["status"], reply["finishReason"]) == (REPLY, "incomplete", "length")


def test_what_a_model_thinks_between_tags_is_neither_streamed_nor_found_nor_in_the_next_prompt(
    stream: Streams, api: Api
):
    received = events(stream(model="thinking between tags"))
    assert text_of(received) == REPLY == messages(api)[1]["content"]
    assert messages(api)[1]["parts"] == {"reasoning_content": "Hm."}
    prompt = events(stream(model="echo"))[-1].data["fullResponse"]
    assert REPLY in prompt
    assert "Hm." not in prompt


def test_calls_that_came_before_a_stream_broke_off_are_kept_with_it(stream: Streams, api: Api):
    problem = events(stream(model="calls, then cut"))[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("STREAM_FAILED", ["msg-001", "msg-002"])
    reply = messages(api)[1]
    assert (reply["content"], reply["status"]) == (REPLY, "incomplete")
    assert reply["parts"]["tool_calls"][0]["function"]["arguments"] == '{"city":'


def test_of_a_reply_whose_parts_no_entry_holds_the_text_is_kept(stream: Streams, api: Api):
    result = events(stream(model="much thought"))[-1]
    reply = messages(api)[1]
    assert (result.name, result.data["fullResponse"], reply["content"]) == ("result", REPLY, REPLY)
    assert reply["parts"]["omitted"]["bytes"] > 500_000
    assert "status" not in reply


@pytest.mark.parametrize("model", ["empty", "blank"])
def test_an_empty_reply_keeps_the_users_message(stream: Streams, api: Api, model: str):
    assert events(stream(model=model))[-1].data["code"] == "STREAM_EMPTY"
    assert contents(api) == [("user", "Where is my cat?")]


@pytest.mark.parametrize("model", ["break", "error", "malformed", "list", "shape", "latin-1", "stall", "cut", "filter"])
def test_a_reply_that_breaks_off_is_kept_marked_incomplete(stream: Streams, api: Api, model: str):
    problem = events(stream(model=model))[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("STREAM_FAILED", ["msg-001", "msg-002"])
    assert contents(api)[1] == ("assistant", "Memory is")
    assert messages(api)[1]["status"] == "incomplete"


def test_a_reply_that_breaks_off_is_discarded_where_the_caller_says_so(stream: Streams, api: Api):
    problem = events(stream(model="break", onFailure="discard"))[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("STREAM_FAILED", ["msg-001"])
    assert contents(api) == [("user", "Where is my cat?")]


def test_of_a_reply_beyond_what_an_entry_holds_what_fits_is_kept(stream: Streams, api: Api):
    problem = events(stream(model="huge", metadata={"quoted": '"' * 1000}))[-1].data
    assert (problem["status"], problem["code"]) == (413, "ENTRY_TOO_LARGE")
    assert problem["stored"]["messageIds"] == ["msg-001", "msg-002"]
    stored = messages(api)[1]
    assert (stored["status"], len(stored["content"]) > 380_000) == ("incomplete", True)
    assert ("memory " * 71_500).startswith(stored["content"])
    assert is_valid(api)


def test_a_reply_beyond_what_an_entry_holds_is_discarded_where_the_caller_says_so(stream: Streams, api: Api):
    problem = events(stream(model="huge", onFailure="discard"))[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("ENTRY_TOO_LARGE", ["msg-001"])
    assert len(messages(api)) == 1


def test_of_a_turn_whose_conversation_is_sealed_meanwhile_the_users_message_is_kept(stream: Streams, api: Api):
    coming = stream(model="slow").events()
    assert next(coming).name == "start"
    assert api.post("/v1/conversations/c/seal").status == 200
    problem = list(coming)[-1].data
    assert (problem["status"], problem["code"]) == (409, "CONVERSATION_SEALED")
    assert problem["stored"]["messageIds"] == ["msg-001"]
    assert len(messages(api)) == 1


def test_of_a_turn_whose_conversation_is_erased_meanwhile_nothing_is_kept(stream: Streams, api: Api):
    coming = stream(model="slow").events()
    stream_id = next(coming).data["streamId"]
    assert api.delete("/v1/conversations/c").status == 200
    problem = list(coming)[-1].data
    assert (problem["status"], problem["code"]) == (410, "CONVERSATION_ERASED")
    assert problem["stored"]["messageIds"] == []
    refused = stream.follow(stream_id)
    assert (refused.status, refused.json()["code"]) == (404, "STREAM_NOT_FOUND")


def test_a_model_that_refuses_fails_the_stream(stream: Streams, api: Api):
    assert events(stream(model="status-500"))[-1].data["code"] == "STREAM_FAILED"
    assert contents(api) == [("user", "Where is my cat?")]


def test_a_client_gone_in_the_middle_leaves_a_whole_turn(stream: Streams, api: Api):
    connection = stream(model="slow")
    next(event for event in connection.events() if event.name == "delta")
    connection.leave()
    deadline = time.monotonic() + 10
    while len(messages(api)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert contents(api)[1] == ("assistant", REPLY)


def test_two_streams_into_one_conversation_leave_four_messages_and_a_chain_that_verifies(stream: Streams, api: Api):
    first, second = stream("one", model="slow"), stream("two", model="slow")
    assert [events(first)[-1].name, events(second)[-1].name] == ["result", "result"]
    assert sorted(contents(api)) == sorted(
        [("user", "one"), ("user", "two"), ("assistant", REPLY), ("assistant", REPLY)]
    )
    assert is_valid(api)


def test_a_request_sent_again_is_told_the_same_events_and_stores_nothing(stream: Streams, api: Api, chat: ChatServer):
    first = events(stream(headers={"Idempotency-Key": "k"}))
    request_count = len(chat.requests)
    again = stream(headers={"Idempotency-Key": "k"})
    received = events(again)
    assert again.headers["idempotent-replayed"] == "true"
    assert as_tuples(received) == as_tuples(first)
    assert (len(chat.requests), len(messages(api))) == (request_count, 2)


def test_a_request_sent_again_when_its_draft_is_gone_is_told_the_reply_of_the_ledger(
    stream: Streams, api: Api, chat: ChatServer
):
    first = events(stream(headers={"Idempotency-Key": "k"}))
    request_count = len(chat.requests)
    forget_draft(api.caller.tenant, first[0].data["streamId"])
    received = events(stream(headers={"Idempotency-Key": "k"}))
    assert [event.name for event in received] == ["start", "context", "delta", "result"]
    assert received[2].data["text"] == received[3].data["fullResponse"] == REPLY
    assert received[3].data["memories"] == first[-1].data["memories"]
    assert (len(chat.requests), len(messages(api))) == (request_count, 2)


def test_a_request_sent_again_whose_reply_broke_off_is_told_so_and_no_model_is_asked(
    stream: Streams, api: Api, chat: ChatServer
):
    turn = {"headers": {"Idempotency-Key": "k"}, "model": "break"}
    first = events(stream(**turn))
    request_count = len(chat.requests)
    assert as_tuples(events(stream(**turn))) == as_tuples(first)
    forget_draft(api.caller.tenant, first[0].data["streamId"])
    received = events(stream(**turn))
    assert (received[-1].data["code"], received[-1].data["stored"]["messageIds"]) == (
        "STREAM_FAILED",
        ["msg-001", "msg-002"],
    )
    assert (len(chat.requests), len(messages(api))) == (request_count, 2)


def test_the_same_key_with_another_body_is_refused_before_any_stream(stream: Streams, api: Api):
    events(stream("one", headers={"Idempotency-Key": "k"}))
    refused = stream("two", headers={"Idempotency-Key": "k"})
    assert (refused.status, refused.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert len(messages(api)) == 2


def test_ten_at_once_with_one_key_ask_the_model_once_and_are_told_the_same(stream: Streams, api: Api, chat: ChatServer):
    request_count = len(chat.requests)
    with ThreadPoolExecutor(10) as pool:
        turn = {"headers": {"Idempotency-Key": "k"}, "model": "slow"}
        received = list(pool.map(lambda _: as_tuples(events(stream(**turn))), range(10)))
    assert all(each == received[0] for each in received)
    assert (len(chat.requests), len(messages(api))) == (request_count + 1, 2)
    assert is_valid(api)


def test_a_request_whose_reply_was_discarded_is_answered_when_it_is_sent_again(stream: Streams, api: Api):
    turn = {"headers": {"Idempotency-Key": "k"}, "model": "broken-once", "onFailure": "discard"}
    assert events(stream(**turn))[-1].data["code"] == "STREAM_FAILED"
    assert events(stream(**turn))[-1].data["fullResponse"] == REPLY
    assert contents(api) == [("user", "Where is my cat?"), ("assistant", REPLY)]


def test_a_space_of_somebody_else_is_refused_before_any_stream(stream: Streams, api: Api):
    events(stream())
    refused = stream(memorySpaceId="other")
    assert (refused.status, refused.json()["code"]) == (409, "MEMORY_SPACE_MISMATCH")
    assert len(messages(api)) == 2


def test_a_turn_without_an_owner_is_refused_before_any_stream(stream: Streams):
    refused = stream(userId=None)
    assert (refused.status, refused.json()["code"]) == (422, "OWNER_REQUIRED")
