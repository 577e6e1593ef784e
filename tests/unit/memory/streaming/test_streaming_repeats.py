"""Following streams, repeating requests and taking over from the dead, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from annals.errors import ConversationErased, ConversationSealed, StreamNotFound
from annals.memory.streaming import reply_streams
from annals.memory.streaming.drafts import DeltaBatch, DraftEnd
from annals.memory.streaming.events import ReplyEvent, ReplyStream
from annals.memory.streaming.streamed_turns import StreamedTurns
from annals.memory.streaming.turns import NewReply
from annals.providers.chat import Finished
from tests.fakes.turns import BROKEN, CALLER, END, MemoryDrafts, MemoryTurnStore, ScriptedModel, request

QUICK_S = 0.01


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_streams, "POLL_S", QUICK_S)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


async def events(stream: ReplyStream) -> list[ReplyEvent]:
    return [event async for event in stream.events(idle_s=9) if event]


def names(received: list[ReplyEvent]) -> str:
    return " ".join(event.name for event in received)


def text_of(received: list[ReplyEvent]) -> str:
    return "".join(event.data["text"] for event in received if event.name == "delta")


def dead(store: MemoryTurnStore, drafts: MemoryDrafts, *texts: str, **more: object) -> str:
    """A stream with key ``k`` whose process died after these deltas; its id."""
    started = store.begin(request(key="k", **more))
    drafts.claim(started.draft)
    drafts.heartbeat(started.draft, {"memoryIds": ["mem:1"]})
    for number, text in enumerate(texts, 1):
        drafts.add(started.draft, DeltaBatch(number, [text]))
    drafts.stored[started.draft.stream_id].alive_until = 0
    return started.draft.stream_id


def test_of_ten_at_once_one_asks_the_model_and_all_are_told_the_same():
    async def test() -> None:
        store, model = MemoryTurnStore(), ScriptedModel("On ", 0.3, "the ", 0.3, "roof", END)
        turns = StreamedTurns(store, MemoryDrafts(), model)
        streams = await asyncio.gather(*(turns.begin(request(key="k")) for _ in range(10)))
        received = await asyncio.gather(*map(events, streams))
        assert all(each == received[0] for each in received)
        assert (len(model.requests), len(store.contents())) == (1, 2)
        assert sum(not each.is_repeated for each in streams) == 1

    run(test)


def test_ten_at_once_whose_model_fails_are_all_told_so_and_nobody_asks_again():
    async def test() -> None:
        model = ScriptedModel(0.3, BROKEN)
        turns = StreamedTurns(MemoryTurnStore(), MemoryDrafts(), model)
        streams = await asyncio.gather(*(turns.begin(request(key="k")) for _ in range(10)))
        received = await asyncio.gather(*map(events, streams))
        assert {names(each) for each in received} == {"start context error"}
        assert len(model.requests) == 1

    run(test)


@pytest.mark.parametrize(
    ("script", "again"),
    [(["a", END], 1), (["a", BROKEN], 1), ([BROKEN], 2), ([END], 2), (["a", Finished("content_filter")], 1)],
)
def test_a_request_sent_again_asks_the_model_again_only_where_no_reply_is_stored(script: list, again: int):
    async def test() -> None:
        store, model = MemoryTurnStore(), ScriptedModel(*script)
        turns = StreamedTurns(store, MemoryDrafts(), model)
        first = await events(await turns.begin(request(key="k")))
        second = await events(await turns.begin(request(key="k")))
        assert len(model.requests) == again
        assert names(second) == names(first)
        assert [content for role, content in store.contents() if role == "user"] == ["Where is my cat?"]

    run(test)


def test_a_request_sent_again_later_is_told_the_reply_in_one_piece():
    async def test() -> None:
        drafts, model = MemoryDrafts(), ScriptedModel("On ", "the roof", END)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        await events(await turns.begin(request(key="k")))
        drafts.stored.clear()
        stream = await turns.begin(request(key="k"))
        received = await events(stream)
        assert (names(received), text_of(received), stream.is_repeated) == (
            "start context delta result",
            "On the roof",
            True,
        )
        assert len(model.requests) == 1

    run(test)


def test_a_request_sent_again_later_whose_reply_came_to_a_limit_is_told_it_as_it_was():
    async def test() -> None:
        end = Finished("length", parts={"usage": {"prompt_tokens": 5, "completion_tokens": 2}})
        drafts, model = MemoryDrafts(), ScriptedModel("On ", end)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        first = await events(await turns.begin(request(key="k")))
        drafts.stored.clear()
        again = await events(await turns.begin(request(key="k")))
        assert len(model.requests) == 1
        assert names(again) == "start context delta result"
        for field in ("fullResponse", "finishReason", "reply", "conversation"):
            assert again[-1].data[field] == first[-1].data[field]
        assert again[-1].data["usage"] == {"inputTokens": 5, "outputTokens": 2}

    run(test)


def test_a_request_sent_again_later_whose_reply_broke_off_is_told_so():
    async def test() -> None:
        drafts, model = MemoryDrafts(), ScriptedModel("On ", BROKEN)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        await events(await turns.begin(request(key="k")))
        drafts.stored.clear()
        received = await events(await turns.begin(request(key="k")))
        assert names(received) == "start context delta error"
        assert received[-1].data["stored"]["messageIds"] == ["msg-001", "msg-002"]

    run(test)


def test_a_follower_is_told_what_it_does_not_have():
    async def test() -> None:
        drafts = MemoryDrafts()
        turns = StreamedTurns(MemoryTurnStore(), drafts, ScriptedModel("a", "b", "c", END))
        first = await events(await turns.begin(request(key="k")))
        stream_id = first[0].data["streamId"]
        for after in range(4):
            assert await events(await turns.follow(CALLER, stream_id, after, "r")) == first[2 + after :]
        assert await events(await turns.follow(CALLER, stream_id, None, "r")) == first

    run(test)


@pytest.mark.parametrize("other", [replace(CALLER, tenant="u"), replace(CALLER, spaces=frozenset({"x"}))])
def test_a_stranger_finds_no_stream(other):
    async def test() -> None:
        turns = StreamedTurns(MemoryTurnStore(), MemoryDrafts(), ScriptedModel("a", END))
        received = await events(await turns.begin(request(key="k")))
        with pytest.raises(StreamNotFound):
            await turns.follow(other, received[0].data["streamId"], None, "r")

    run(test)


def test_a_follower_that_waits_is_told_none():
    async def test() -> None:
        turns = StreamedTurns(MemoryTurnStore(), MemoryDrafts(), ScriptedModel(0.3, "a", END))
        stream = await turns.begin(request(key="k"))
        again = await turns.begin(request(key="k"))
        received = [event async for event in again.events(idle_s=0.05)]
        assert received.count(None) >= 3
        await events(stream)

    run(test)


@pytest.mark.parametrize(("on_failure", "asked"), [("keep", 0), ("discard", 1)])
def test_what_the_dead_said_is_kept_as_incomplete_or_said_anew(on_failure: str, asked: int):
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel("On the roof", END)
        dead(store, drafts, "On ", onFailure=on_failure)
        received = await events(await StreamedTurns(store, drafts, model).begin(request(key="k", onFailure=on_failure)))
        assert len(model.requests) == asked
        if asked:
            assert names(received) == "start context delta start context delta result"
            assert [event.number for event in received if event.number] == [1, 2]
            assert store.contents()[1] == ("assistant", "On the roof")
        else:
            assert names(received) == "start context delta error"
            assert received[-1].data["stored"]["messageIds"] == ["msg-001", "msg-002"]
            assert store.conversations["c"][1]["status"] == "incomplete"

    run(test)


def test_where_the_dead_said_nothing_the_model_is_asked_once_however_many_come():
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel("On ", 0.3, "the roof", END)
        dead(store, drafts)
        turns = StreamedTurns(store, drafts, model)
        streams = await asyncio.gather(*(turns.begin(request(key="k")) for _ in range(5)))
        received = await asyncio.gather(*map(events, streams))
        assert len(model.requests) == 1
        assert {(each[0].name, text_of(each), each[-1].name) for each in received} == {
            ("start", "On the roof", "result")
        }

    run(test)


def test_a_reply_that_the_dead_stored_with_their_last_breath_is_told_whole():
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel()
        stream_id = dead(store, drafts, "On ")
        store.commit(drafts.stored[stream_id].draft, NewReply("On the roof"))
        received = await events(await StreamedTurns(store, drafts, model).follow(CALLER, stream_id, None, "r"))
        assert (names(received), text_of(received)) == ("start context delta delta result", "On the roof")
        assert received[-1].data["fullResponse"] == "On the roof"

    run(test)


def test_a_reply_of_calls_that_the_dead_stored_with_their_last_breath_is_told_with_its_parts():
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel()
        stream_id = dead(store, drafts)
        parts = {"tool_calls": [{"id": "a"}], "usage": {"prompt_tokens": 5}}
        store.commit(drafts.stored[stream_id].draft, NewReply("", parts, "tool_calls"))
        received = await events(await StreamedTurns(store, drafts, model).follow(CALLER, stream_id, None, "r"))
        assert names(received) == "start context result"
        result = received[-1].data
        assert (result["reply"]["parts"], result["finishReason"]) == (parts, "tool_calls")
        assert result["usage"] == {"inputTokens": 5, "outputTokens": None}

    run(test)


def test_who_follows_a_dead_stream_of_which_nothing_came_is_told_so():
    async def test() -> None:
        store, drafts = MemoryTurnStore(), MemoryDrafts()
        stream_id = dead(store, drafts, " ")
        received = await events(
            await StreamedTurns(store, drafts, ScriptedModel()).follow(CALLER, stream_id, None, "r")
        )
        assert (names(received), received[-1].data["code"]) == ("start context delta error", "STREAM_FAILED")
        assert received[-1].data["stored"]["messageIds"] == ["msg-001"]
        assert len(store.contents()) == 1

    run(test)


@pytest.mark.parametrize(("refusal", "ids"), [(ConversationSealed("c"), ["msg-001"]), (ConversationErased("c"), [])])
def test_what_the_dead_said_of_a_conversation_that_takes_no_more_is_not_kept(refusal: Exception, ids: list[str]):
    async def test() -> None:
        store, drafts = MemoryTurnStore(refuse={"commit": refusal}), MemoryDrafts()
        stream_id = dead(store, drafts, "On ")
        received = await events(
            await StreamedTurns(store, drafts, ScriptedModel()).follow(CALLER, stream_id, None, "r")
        )
        assert (received[-1].data["status"], received[-1].data["stored"]["messageIds"]) == (refusal.status, ids)

    run(test)


def test_who_was_held_for_dead_stores_no_second_reply():
    async def test() -> None:
        store, drafts, may_end = MemoryTurnStore(), MemoryDrafts(), asyncio.Event()
        turns = StreamedTurns(store, drafts, ScriptedModel("On ", may_end, "the roof", END))
        stream = await turns.begin(request(key="k"))
        start = await anext(stream.events(idle_s=9))
        await asyncio.sleep(0.4)
        drafts.stored[start.data["streamId"]].alive_until = 0
        other = StreamedTurns(store, drafts, ScriptedModel("never said", END))
        assert names(await events(await other.begin(request(key="k")))) == "start context delta error"
        may_end.set()
        received = await events(stream)
        assert (received[-1].name, "another request ended it" in received[-1].data["detail"]) == ("error", True)
        assert store.contents() == [("user", "Where is my cat?"), ("assistant", "On ")]

    run(test)


def test_a_long_silence_is_no_death():
    async def test() -> None:
        drafts, model = MemoryDrafts(lease_s=0.6), ScriptedModel("On ", 1.5, "the roof", END)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        stream = await turns.begin(request(key="k"))
        again = await events(await turns.begin(request(key="k")))
        assert (text_of(again), again[-1].name) == ("On the roof", "result")
        assert again == await events(stream)

    run(test)


def test_a_draft_that_cannot_be_written_does_not_harm_the_turn(caplog: pytest.LogCaptureFixture):
    async def test() -> None:
        store = MemoryTurnStore()
        turns = StreamedTurns(store, MemoryDrafts(fails=True), ScriptedModel("On ", 0.6, "the roof", END))
        received = await events(await turns.begin(request(key="k")))
        assert (text_of(received), received[-1].name) == ("On the roof", "result")
        assert store.contents()[1] == ("assistant", "On the roof")

    run(test)
    assert "is behind" in caplog.text


def test_many_deltas_of_a_moment_are_written_together():
    async def test() -> None:
        drafts = MemoryDrafts()
        turns = StreamedTurns(MemoryTurnStore(), drafts, ScriptedModel(*["abcd"] * 25_000, END))
        received = await events(await turns.begin(request(key="k")))
        kept = drafts.stored[received[0].data["streamId"]]
        assert "".join(text for batch in kept.batches for text in batch.texts) == "abcd" * 25_000
        assert len(kept.batches) < 60
        assert kept.end == DraftEnd(25_000, usage={"inputTokens": 5, "outputTokens": 2}, reason="stop")

    run(test)
