"""The streaming core: what is stored when, what is told in which order, and what the model gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from annals.errors import ConversationErased, ConversationSealed, EntryTooLarge, MemorySpaceMismatch
from annals.memory.streaming.events import ReplyEvent
from annals.memory.streaming.live_turn import ModelLimits
from annals.memory.streaming.prompt import RecalledContext, build_prompt
from annals.memory.streaming.streamed_turns import StreamedTurns
from annals.memory.streaming.turns import StreamRequest
from annals.providers.chat import ChatMessage, Finished, ReplyBrokeOff, Usage
from tests.fakes.turns import BROKEN, END, MemoryDrafts, MemoryTurnStore, ScriptedModel, request


def follow(
    store: MemoryTurnStore, model: ScriptedModel, stream_request: StreamRequest, **limits: float
) -> list[ReplyEvent]:
    """All events of a turn."""

    async def following() -> list[ReplyEvent]:
        turn = await StreamedTurns(store, MemoryDrafts(), model, ModelLimits(**limits)).begin(stream_request)
        return [event async for event in turn.events(idle_s=9) if event]

    return asyncio.run(following())


def names(events: list[ReplyEvent]) -> str:
    return " ".join(event.name for event in events)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


def test_a_turn_is_told_in_order_and_stored_whole():
    store = MemoryTurnStore(recalled=RecalledContext("Momo", ["mem:1"], [{"role": "user", "content": "Hi"}], 12))
    events = follow(store, ScriptedModel("On ", "", "the roof 👩‍🚀", END), request())
    assert names(events) == "start context delta delta result"
    start, context, first, second, result = (event.data for event in events)
    assert start["conversationId"] == "c"
    assert start["message"]["content"] == "Where is my cat?"
    assert context == {"memoryIds": ["mem:1"], "historyCount": 1, "tokenEstimate": 12}
    assert [first["text"], second["text"]] == ["On ", "the roof 👩‍🚀"]
    assert [event.number for event in events] == [None, None, 1, 2, None]
    assert result["fullResponse"] == "On the roof 👩‍🚀"
    assert result["conversation"]["messageIds"] == ["msg-001", "msg-002"]
    assert result["usage"] == {"inputTokens": 5, "outputTokens": 2}
    assert result["finishReason"] == "stop"
    assert store.contents() == [("user", "Where is my cat?"), ("assistant", "On the roof 👩‍🚀")]


def test_the_users_message_is_stored_before_the_model_is_asked_and_the_reply_after_its_end():
    async def test() -> None:
        store, may_end = MemoryTurnStore(), asyncio.Event()
        model = ScriptedModel("word", may_end, END)
        turn = await StreamedTurns(store, MemoryDrafts(), model).begin(request())
        assert store.contents() == [("user", "Where is my cat?")]
        assert model.requests == []
        events = turn.events(idle_s=9)
        received = [await anext(events) for _ in range(3)]
        assert names(received) == "start context delta"
        assert len(store.contents()) == 1
        may_end.set()
        assert names([event async for event in events]) == "result"
        assert len(store.contents()) == 2

    run(test)


def test_what_begin_refuses_reaches_the_caller_and_no_model_is_asked():
    model = ScriptedModel("word", END)
    with pytest.raises(MemorySpaceMismatch):
        follow(MemoryTurnStore(refuse={"begin": MemorySpaceMismatch("c")}), model, request())
    assert model.requests == []


def test_the_model_gets_instructions_then_context_then_history_and_last_the_users_message_unchanged():
    history = [
        {"role": "system", "content": "Summary: they met."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "tool", "name": "clock", "content": "noon"},
        {"role": "assistant", "content": " ", "parts": [{}]},
        {"messageId": "msg-9", "seq": 9, "role": "user", "status": "redacted"},
    ]
    model = ScriptedModel("x", END)
    store = MemoryTurnStore(recalled=RecalledContext("- Momo is a cat", history=history))
    follow(store, model, request(" Where?\n", instructions="Be brief.", model="big"))
    messages, instructions, name = model.requests[0]
    assert instructions == "Be brief.\n\n- Momo is a cat\n\nSummary: they met."
    assert [(message.role, message.content) for message in messages] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "[Result of clock]\nnoon"),
        ("user", " Where?\n"),
    ]
    assert name == "big"


def test_without_anything_to_say_first_there_are_no_instructions():
    assert build_prompt(" ", RecalledContext(), "hi").instructions is None
    assert build_prompt(None, RecalledContext(), "hi").messages == [ChatMessage("user", "hi")]


@pytest.mark.parametrize("script", [[END], ["", END], ["  ", "\n", END], [Finished("content_filter")], []])
def test_an_empty_reply_is_an_error_and_the_users_message_is_kept(script: list):
    store = MemoryTurnStore()
    events = follow(store, ScriptedModel(*script), request())
    problem = events[-1].data
    assert (events[-1].name, problem["status"], problem["code"]) == ("error", 502, "STREAM_EMPTY")
    assert problem["stored"] == {"conversationId": "c", "messageIds": ["msg-001"]}
    assert problem["requestId"] == "req-1"
    assert store.contents() == [("user", "Where is my cat?")]


def test_a_reply_that_breaks_off_is_kept_as_incomplete():
    store = MemoryTurnStore()
    events = follow(store, ScriptedModel("On the ", BROKEN), request())
    assert names(events) == "start context delta error"
    problem = events[-1].data
    assert problem["code"] == "STREAM_FAILED"
    assert problem["detail"].startswith("The chat model broke off.")
    assert problem["stored"]["messageIds"] == ["msg-001", "msg-002"]
    assert store.conversations["c"][1]["content"] == "On the "
    assert store.conversations["c"][1]["status"] == "incomplete"


@pytest.mark.parametrize(
    ("script", "on_failure"), [(["On ", BROKEN], "discard"), ([BROKEN], "keep"), ([" ", BROKEN], "keep")]
)
def test_a_reply_that_breaks_off_is_not_kept_where_nobody_wants_it_or_there_is_none(script: list, on_failure: str):
    store = MemoryTurnStore()
    events = follow(store, ScriptedModel(*script), request(onFailure=on_failure))
    assert events[-1].data["code"] == "STREAM_FAILED"
    assert events[-1].data["stored"]["messageIds"] == ["msg-001"]
    assert store.contents() == [("user", "Where is my cat?")]


@pytest.mark.parametrize(
    ("reason", "detail"),
    [("content_filter", "content filter"), ("content_filtered", "content filter"), ("error", "failed (error)")],
)
def test_a_reply_that_a_content_filter_or_a_failure_ends_is_kept_as_incomplete(reason: str, detail: str):
    store = MemoryTurnStore()
    events = follow(store, ScriptedModel("On ", Finished(reason)), request())
    assert (events[-1].data["code"], detail in events[-1].data["detail"]) == ("STREAM_FAILED", True)
    reply = store.conversations["c"][1]
    assert (reply["status"], reply["finishReason"]) == ("incomplete", reason)


@pytest.mark.parametrize("reason", ["length", "max_tokens"])
def test_a_reply_that_comes_to_the_models_limit_is_a_result_and_kept_as_incomplete(reason: str):
    store = MemoryTurnStore()
    result = follow(store, ScriptedModel("On ", Finished(reason)), request(onFailure="discard"))[-1]
    assert (result.name, result.data["finishReason"], result.data["fullResponse"]) == ("result", reason, "On ")
    reply = store.conversations["c"][1]
    assert (reply["status"], reply["finishReason"]) == ("incomplete", reason)
    assert result.data["reply"] == reply


CALLS = {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize("text", ["I look.", ""])
def test_what_a_reply_has_beside_its_text_is_kept_in_its_parts_and_calls_alone_are_a_reply(text: str):
    store = MemoryTurnStore()
    result = follow(store, ScriptedModel(text, Finished("tool_calls", parts=CALLS)), request())[-1]
    assert result.name == "result"
    reply = {"messageId": "msg-002", "seq": 2, "role": "assistant", "content": text, "parts": CALLS}
    assert store.conversations["c"][1] == result.data["reply"] == {**reply, "finishReason": "tool_calls"}


@pytest.mark.parametrize(
    "parts", [{"reasoning_content": "Hm."}, {"usage": {"prompt_tokens": 1}}, [{"text": " "}], None]
)
def test_thinking_and_tokens_alone_are_no_reply(parts: object):
    events = follow(MemoryTurnStore(), ScriptedModel(Finished("stop", parts=parts)), request())
    assert events[-1].data["code"] == "STREAM_EMPTY"


def test_what_came_beside_the_text_of_a_reply_that_breaks_off_is_kept_with_it():
    store = MemoryTurnStore()
    follow(store, ScriptedModel(ReplyBrokeOff("It broke off.", CALLS)), request())
    reply = store.conversations["c"][1]
    assert (reply["content"], reply["parts"], reply["status"]) == ("", CALLS, "incomplete")


def test_a_reason_and_tokens_that_are_not_known_are_null():
    result = follow(MemoryTurnStore(), ScriptedModel("On", Finished(None, Usage(5, None))), request())[-1]
    assert (result.name, result.data["finishReason"]) == ("result", None)
    assert result.data["usage"] == {"inputTokens": 5, "outputTokens": None}
    assert "status" not in result.data["reply"]


@pytest.mark.parametrize(("on_failure", "kept"), [("keep", ["msg-001", "msg-002"]), ("discard", ["msg-001"])])
def test_what_came_before_an_adapter_fails_in_an_unknown_way_is_kept_or_discarded(on_failure: str, kept: list[str]):
    events = follow(MemoryTurnStore(), ScriptedModel("On ", ZeroDivisionError()), request(onFailure=on_failure))
    assert (events[-1].data["code"], "ZeroDivisionError" in events[-1].data["detail"]) == ("STREAM_FAILED", True)
    assert events[-1].data["stored"]["messageIds"] == kept


def test_a_model_that_never_ends_is_cut_off_at_what_an_entry_holds():
    store, model = MemoryTurnStore(), ScriptedModel(*["x" * 50_000] * 20, END)
    problem = follow(store, model, request())[-1].data
    assert (problem["status"], problem["code"]) == (413, "ENTRY_TOO_LARGE")
    assert problem["stored"]["messageIds"] == ["msg-001", "msg-002"]
    assert store.conversations["c"][1]["status"] == "incomplete"
    assert len(model.sent) == 8


@pytest.mark.parametrize("reason", ["stop", "length", None])
def test_a_whole_reply_that_no_entry_holds_is_kept_as_incomplete(reason: str | None):
    class SmallStore(MemoryTurnStore):
        def commit(self, draft, reply):
            if not reply.broke_off:
                raise EntryTooLarge(len(reply.text), 3)
            return super().commit(draft, replace(reply, text=reply.text[:3]))

    store = SmallStore()
    problem = follow(store, ScriptedModel("On the roof", Finished(reason)), request())[-1].data
    assert (problem["code"], problem["stored"]["messageIds"]) == ("ENTRY_TOO_LARGE", ["msg-001", "msg-002"])
    assert store.contents()[1] == ("assistant", "On ")
    assert "finishReason" not in store.conversations["c"][1]


def test_personal_data_in_calls_and_reasoning_is_masked_with_the_text(setting: Callable[[str, str], None]):
    setting("PII_REDACTION", "patterns")
    store, address = MemoryTurnStore(), "ada@example.com"
    call = {"id": "a", "type": "function", "function": {"name": "mail", "arguments": f'{{"to":"{address}"}}'}}
    parts = {"reasoning_content": f"It is {address}.", "tool_calls": [call]}
    result = follow(store, ScriptedModel(f"To {address}.", Finished("stop", parts=parts)), request())[-1]
    reply = store.conversations["c"][1]
    assert reply["parts"]["reasoning_content"] == "It is [EMAIL]."
    assert reply["parts"]["tool_calls"][0]["function"]["arguments"] == '{"to":"[EMAIL]"}'
    assert address not in str(reply) + str(result.data)


def test_a_text_of_which_the_message_has_the_beginning_is_told_whole():
    class Beside(MemoryTurnStore):
        def commit(self, draft, reply):
            return super().commit(draft, replace(reply, text=reply.text[:2]))

    result = follow(Beside(), ScriptedModel("On the roof", END), request())[-1]
    assert (result.name, result.data["fullResponse"], result.data["reply"]["content"]) == (
        "result",
        "On the roof",
        "On",
    )


def test_a_piece_of_any_length_is_told_in_deltas_that_a_draft_can_hold():
    events = follow(MemoryTurnStore(), ScriptedModel("ä" * 100_000, END), request())
    deltas = [event.data["text"] for event in events if event.name == "delta"]
    assert "".join(deltas) == "ä" * 100_000
    assert max(map(len, deltas)) < 20_000


def test_of_a_turn_whose_conversation_is_erased_meanwhile_nothing_is_stored():
    store = MemoryTurnStore(refuse={"commit": ConversationErased("c")})
    problem = follow(store, ScriptedModel("x", END), request())[-1].data
    assert (problem["status"], problem["stored"]["messageIds"]) == (410, [])


def test_a_silent_model_fails_the_stream():
    events = follow(MemoryTurnStore(), ScriptedModel("On ", 9.0, END), request(), stall_s=0.05)
    assert events[-1].data["code"] == "STREAM_FAILED"
    assert "silent" in events[-1].data["detail"]


@pytest.mark.parametrize("method", ["recall", "commit"])
def test_what_the_store_refuses_later_is_told_with_what_is_stored(method: str):
    store = MemoryTurnStore(refuse={method: ConversationSealed("c")})
    problem = follow(store, ScriptedModel("x", END), request())[-1].data
    assert (problem["status"], problem["code"]) == (409, "CONVERSATION_SEALED")
    assert problem["stored"]["messageIds"] == ["msg-001"]


def test_a_fault_of_ours_is_told_and_logged(caplog: pytest.LogCaptureFixture):
    store = MemoryTurnStore(refuse={"commit": ZeroDivisionError()})
    problem = follow(store, ScriptedModel("x", END), request())[-1].data
    assert (problem["status"], problem["code"]) == (500, "INTERNAL_ERROR")
    assert "ZeroDivisionError" in caplog.text


def test_nobody_following_does_not_keep_a_turn_from_being_stored():
    async def test() -> None:
        store = MemoryTurnStore()
        turns = StreamedTurns(store, MemoryDrafts(), ScriptedModel("one ", 0.05, "two", END))
        turn = await turns.begin(request())
        events = turn.events(idle_s=9)
        await anext(events)
        await events.aclose()
        await turns.finish(patience_s=5)
        assert store.contents()[-1] == ("assistant", "one two")

    run(test)


@pytest.mark.parametrize(("on_failure", "kept"), [("keep", 2), ("discard", 1)])
def test_at_shutdown_a_model_that_takes_too_long_is_cut_short(on_failure: str, kept: int):
    async def test() -> None:
        store = MemoryTurnStore()
        turns = StreamedTurns(store, MemoryDrafts(), ScriptedModel("one ", 60.0, END))
        turn = await turns.begin(request(onFailure=on_failure))
        await turns.finish(patience_s=0.05)
        events = [event async for event in turn.events(idle_s=9)]
        assert "stopped" in events[-1].data["detail"]
        assert len(store.contents()) == kept

    run(test)


def test_a_turn_that_is_cut_short_before_the_model_was_asked_ends_too():
    async def test() -> None:
        turns = StreamedTurns(MemoryTurnStore(), MemoryDrafts(), ScriptedModel(60.0, END))
        turn = await turns.begin(request())
        await turns.finish(patience_s=0)
        assert names([event async for event in turn.events(idle_s=9)]) == "start context error"

    run(test)


def test_silence_is_told_as_none():
    async def test() -> None:
        turn = await StreamedTurns(MemoryTurnStore(), MemoryDrafts(), ScriptedModel(0.2, "x", END)).begin(request())
        events = [event async for event in turn.events(idle_s=0.03)]
        assert 3 <= events.count(None) <= 7
        assert names([event for event in events if event]) == "start context delta result"

    run(test)


def test_many_may_follow_a_turn_and_each_is_told_everything():
    async def test() -> None:
        turn = await StreamedTurns(
            MemoryTurnStore(), MemoryDrafts(), ScriptedModel("a", 0.01, "b", 0.01, "c", END)
        ).begin(request())

        async def received() -> list[ReplyEvent | None]:
            return [event async for event in turn.events(idle_s=9)]

        first, second = await asyncio.gather(received(), received())
        assert first == second == await received()
        assert len(first) == 6

    run(test)


def test_two_turns_into_one_conversation_leave_four_messages():
    async def test() -> None:
        store = MemoryTurnStore()
        turns = StreamedTurns(store, MemoryDrafts(), ScriptedModel("a", 0.01, "b", END))
        await asyncio.gather(turns.begin(request("one")), turns.begin(request("two")))
        await turns.finish(patience_s=5)
        assert sorted(content for _, content in store.contents()) == ["ab", "ab", "one", "two"]

    run(test)
