"""Following streams, repeating requests and taking over from the dead, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from annals.errors import ConversationErased, ConversationSealed, StreamNotFound
from annals.memory.streaming import reply_streams
from annals.memory.streaming.drafts import DeltaBatch, DraftEnd
from annals.memory.streaming.streamed_turns import StreamedTurns
from annals.memory.streaming.turns import Event
from annals.providers.chat import Finished
from tests.fakes.turns import BROKEN, CALLER, END, MemoryDrafts, MemoryTurnStore, ScriptedModel, request

QUICK_S = 0.01


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_streams, "POLL_S", QUICK_S)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


async def events(told: reply_streams.ReplyStream) -> list[Event]:
    return [event async for event in told.events(idle_s=9) if event]


def names(told: list[Event]) -> str:
    return " ".join(event.name for event in told)


def text_of(told: list[Event]) -> str:
    return "".join(event.data["text"] for event in told if event.name == "delta")


def dead(store: MemoryTurnStore, drafts: MemoryDrafts, *texts: str, **more: object) -> str:
    """A stream with key ``k`` whose process died after these deltas; its id."""
    begun = store.begin(request(key="k", **more))
    drafts.claim(begun.draft)
    drafts.pulse(begun.draft, {"memoryIds": ["mem:1"]})
    for number, text in enumerate(texts, 1):
        drafts.add(begun.draft, DeltaBatch(number, [text]))
    drafts.kept[begun.draft.stream_id].until = 0
    return begun.draft.stream_id


def test_of_ten_at_once_one_asks_the_model_and_all_are_told_the_same():
    async def test() -> None:
        store, model = MemoryTurnStore(), ScriptedModel("On ", 0.3, "the ", 0.3, "roof", END)
        turns = StreamedTurns(store, MemoryDrafts(), model)
        told = await asyncio.gather(*(turns.begin(request(key="k")) for _ in range(10)))
        heard = await asyncio.gather(*map(events, told))
        assert all(each == heard[0] for each in heard)
        assert (len(model.asked), len(store.said())) == (1, 2)
        assert sum(not each.is_repeated for each in told) == 1

    run(test)


def test_ten_at_once_whose_model_fails_are_all_told_so_and_nobody_asks_again():
    async def test() -> None:
        model = ScriptedModel(0.3, BROKEN)
        turns = StreamedTurns(MemoryTurnStore(), MemoryDrafts(), model)
        told = await asyncio.gather(*(turns.begin(request(key="k")) for _ in range(10)))
        heard = await asyncio.gather(*map(events, told))
        assert {names(each) for each in heard} == {"start context error"}
        assert len(model.asked) == 1

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
        assert len(model.asked) == again
        assert names(second) == names(first)
        assert [content for role, content in store.said() if role == "user"] == ["Where is my cat?"]

    run(test)


def test_a_request_sent_again_later_is_told_the_reply_in_one_piece():
    async def test() -> None:
        drafts, model = MemoryDrafts(), ScriptedModel("On ", "the roof", END)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        await events(await turns.begin(request(key="k")))
        drafts.kept.clear()
        told = await turns.begin(request(key="k"))
        heard = await events(told)
        assert (names(heard), text_of(heard), told.is_repeated) == ("start context delta result", "On the roof", True)
        assert len(model.asked) == 1

    run(test)


def test_a_request_sent_again_later_whose_reply_broke_off_is_told_so():
    async def test() -> None:
        drafts, model = MemoryDrafts(), ScriptedModel("On ", BROKEN)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        await events(await turns.begin(request(key="k")))
        drafts.kept.clear()
        heard = await events(await turns.begin(request(key="k")))
        assert names(heard) == "start context delta error"
        assert heard[-1].data["stored"]["messageIds"] == ["msg-001", "msg-002"]

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
        told = await events(await turns.begin(request(key="k")))
        with pytest.raises(StreamNotFound):
            await turns.follow(other, told[0].data["streamId"], None, "r")

    run(test)


def test_a_follower_that_waits_is_told_none():
    async def test() -> None:
        turns = StreamedTurns(MemoryTurnStore(), MemoryDrafts(), ScriptedModel(0.3, "a", END))
        told = await turns.begin(request(key="k"))
        again = await turns.begin(request(key="k"))
        heard = [event async for event in again.events(idle_s=0.05)]
        assert heard.count(None) >= 3
        await events(told)

    run(test)


@pytest.mark.parametrize(("on_failure", "asked"), [("keep", 0), ("discard", 1)])
def test_what_the_dead_said_is_kept_as_incomplete_or_said_anew(on_failure: str, asked: int):
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel("On the roof", END)
        dead(store, drafts, "On ", onFailure=on_failure)
        heard = await events(await StreamedTurns(store, drafts, model).begin(request(key="k", onFailure=on_failure)))
        assert len(model.asked) == asked
        if asked:
            assert names(heard) == "start context delta start context delta result"
            assert [event.number for event in heard if event.number] == [1, 2]
            assert store.said()[1] == ("assistant", "On the roof")
        else:
            assert names(heard) == "start context delta error"
            assert heard[-1].data["stored"]["messageIds"] == ["msg-001", "msg-002"]
            assert store.conversations["c"][1]["status"] == "incomplete"

    run(test)


def test_where_the_dead_said_nothing_the_model_is_asked_once_however_many_come():
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel("On ", 0.3, "the roof", END)
        dead(store, drafts)
        turns = StreamedTurns(store, drafts, model)
        told = await asyncio.gather(*(turns.begin(request(key="k")) for _ in range(5)))
        heard = await asyncio.gather(*map(events, told))
        assert len(model.asked) == 1
        assert {(each[0].name, text_of(each), each[-1].name) for each in heard} == {("start", "On the roof", "result")}

    run(test)


def test_a_reply_that_the_dead_stored_with_their_last_breath_is_told_whole():
    async def test() -> None:
        store, drafts, model = MemoryTurnStore(), MemoryDrafts(), ScriptedModel()
        stream_id = dead(store, drafts, "On ")
        store.commit(drafts.kept[stream_id].draft, "On the roof", incomplete=False)
        heard = await events(await StreamedTurns(store, drafts, model).follow(CALLER, stream_id, None, "r"))
        assert (names(heard), text_of(heard)) == ("start context delta delta result", "On the roof")
        assert heard[-1].data["fullResponse"] == "On the roof"

    run(test)


def test_who_follows_a_dead_stream_of_which_nothing_came_is_told_so():
    async def test() -> None:
        store, drafts = MemoryTurnStore(), MemoryDrafts()
        stream_id = dead(store, drafts, " ")
        heard = await events(await StreamedTurns(store, drafts, ScriptedModel()).follow(CALLER, stream_id, None, "r"))
        assert (names(heard), heard[-1].data["code"]) == ("start context delta error", "STREAM_FAILED")
        assert heard[-1].data["stored"]["messageIds"] == ["msg-001"]
        assert len(store.said()) == 1

    run(test)


@pytest.mark.parametrize(("refusal", "ids"), [(ConversationSealed("c"), ["msg-001"]), (ConversationErased("c"), [])])
def test_what_the_dead_said_of_a_conversation_that_takes_no_more_is_not_kept(refusal: Exception, ids: list[str]):
    async def test() -> None:
        store, drafts = MemoryTurnStore(refuse={"commit": refusal}), MemoryDrafts()
        stream_id = dead(store, drafts, "On ")
        heard = await events(await StreamedTurns(store, drafts, ScriptedModel()).follow(CALLER, stream_id, None, "r"))
        assert (heard[-1].data["status"], heard[-1].data["stored"]["messageIds"]) == (refusal.status, ids)

    run(test)


def test_who_was_held_for_dead_stores_no_second_reply():
    async def test() -> None:
        store, drafts, may_end = MemoryTurnStore(), MemoryDrafts(), asyncio.Event()
        turns = StreamedTurns(store, drafts, ScriptedModel("On ", may_end, "the roof", END))
        told = await turns.begin(request(key="k"))
        start = await anext(told.events(idle_s=9))
        await asyncio.sleep(0.4)
        drafts.kept[start.data["streamId"]].until = 0
        other = StreamedTurns(store, drafts, ScriptedModel("never said", END))
        assert names(await events(await other.begin(request(key="k")))) == "start context delta error"
        may_end.set()
        heard = await events(told)
        assert (heard[-1].name, "another request ended it" in heard[-1].data["detail"]) == ("error", True)
        assert store.said() == [("user", "Where is my cat?"), ("assistant", "On ")]

    run(test)


def test_a_long_silence_is_no_death():
    async def test() -> None:
        drafts, model = MemoryDrafts(lease_s=0.6), ScriptedModel("On ", 1.5, "the roof", END)
        turns = StreamedTurns(MemoryTurnStore(), drafts, model)
        told = await turns.begin(request(key="k"))
        again = await events(await turns.begin(request(key="k")))
        assert (text_of(again), again[-1].name) == ("On the roof", "result")
        assert again == await events(told)

    run(test)


def test_a_draft_that_cannot_be_written_does_not_harm_the_turn(caplog: pytest.LogCaptureFixture):
    async def test() -> None:
        store = MemoryTurnStore()
        turns = StreamedTurns(store, MemoryDrafts(fails=True), ScriptedModel("On ", 0.6, "the roof", END))
        heard = await events(await turns.begin(request(key="k")))
        assert (text_of(heard), heard[-1].name) == ("On the roof", "result")
        assert store.said()[1] == ("assistant", "On the roof")

    run(test)
    assert "is behind" in caplog.text


def test_many_deltas_of_a_moment_are_written_together():
    async def test() -> None:
        drafts = MemoryDrafts()
        turns = StreamedTurns(MemoryTurnStore(), drafts, ScriptedModel(*["abcd"] * 25_000, END))
        told = await events(await turns.begin(request(key="k")))
        kept = drafts.kept[told[0].data["streamId"]]
        assert "".join(text for batch in kept.batches for text in batch.texts) == "abcd" * 25_000
        assert len(kept.batches) < 60
        assert kept.end == DraftEnd(25_000, usage={"inputTokens": 5, "outputTokens": 2}, reason="stop")

    run(test)
