"""A reply that the caller's own model streams, stored on its way: against the development server."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest

from annals_client import (
    Annals,
    AsyncAnnals,
    Conflict,
    Forbidden,
    InvalidArgument,
    NewFact,
    NotFound,
    Progress,
    ReplyNotStored,
    Result,
    StreamEmpty,
    StreamFailed,
    ValidationFailed,
)
from annals_client.models import Remembered, Usage
from tests.client.asking import QUICK, Ask
from tests.e2e.asking import unique
from tests.e2e.client.faults import harmed
from tests.e2e.servers import Server
from tests.fakes.chat_server import REPLY, ChatServer
from tests.fakes.servers import serving

WORDS = ("To be, ", "or not ", "to be")
BEDROCK_END: dict[str, Any] = {"messageStop": {"stopReason": "end_turn"}}


class Overloaded(Exception):
    """What a model's own library raises."""


def _breaking(*chunks: Any) -> Iterator[Any]:
    yield from chunks
    raise Overloaded("too many tokens")


class Story:
    """A conversation that does not exist yet, and what is in it afterwards."""

    def __init__(self, server: Server, annals: Annals) -> None:
        self.url = server.url
        self.key = server.key
        self.name = unique("story")
        self.annals = annals
        self.turn: dict[str, Any] = {
            "memory_space_id": "stage",
            "conversation_id": self.name,
            "user_id": "ada",
            "user_message": "What does he say?",
        }

    def relay(self, ask: Ask, chunks: Any, *, url: str | None = None, **more: Any) -> list[Any]:
        """What a client hands on of these chunks."""
        turn = {**self.turn, **more}
        return list(
            ask(
                url or self.url,
                lambda client: client.memory.remember_stream(response_stream=chunks, **turn),
                key=self.key,
            )
        )

    @property
    def told(self) -> list[tuple[str | None, str, str | None]]:
        """Role, content and status of what is stored."""
        return [(each.role, each.content, each.status) for each in self.annals.messages.list(self.name)]


ASKED = ("user", "What does he say?", None)


@pytest.fixture
def story(server: Server) -> Iterator[Story]:
    with Annals(server.url, server.key, retries=QUICK) as client:
        yield Story(server, client)


def test_the_chunks_come_through_unchanged_and_the_turn_is_stored(ask: Ask, story: Story) -> None:
    chunks = [*({"contentBlockDelta": {"delta": {"text": word}}} for word in WORDS), BEDROCK_END]
    found = story.relay(ask, iter(chunks), thread_id="t", run_id="r", participant_id="hamlet", metadata={"a_b": 1})
    assert [id(chunk) for chunk in found] == [id(chunk) for chunk in chunks]
    assert story.told == [ASKED, ("assistant", "To be, or not to be", None)]
    for message in story.annals.messages.list(story.name):
        assert (message.thread_id, message.run_id, message.metadata) == ("t", "r", {"a_b": 1})
        assert message.participant_id == ("hamlet" if message.role == "assistant" else None)
    assert story.annals.conversations.get(story.name).participants["memorySpaceId"] == "stage"


def test_what_was_streamed_is_a_memory(ask: Ask, story: Story) -> None:
    story.relay(ask, WORDS)
    hits = story.annals.memory.search("to be or not", conversation_id=story.name, consistent=True)
    assert hits[0].conversation_ref
    assert hits[0].conversation_ref.message_ids == ["msg-002"]


def test_what_a_relayed_turn_is_as_a_memory_and_its_facts_are_stored_with_it(ask: Ask, story: Story) -> None:
    turns: list[Result] = []
    fact = {"fact": "Hamlet hesitates.", "subject": "Hamlet", "predicate": "does", "object": "hesitate"}
    marks = {"importance": 80, "tags": ["play"], "metadata": {"act": 3}}

    story.relay(ask, WORDS, on_complete=turns.append, facts=[fact], extract_facts=True, **marks)

    [turn] = turns
    for memory in turn.memories:
        assert (memory.importance, memory.tags, memory.metadata) == (80, ["play"], {"act": 3})
    [kept] = turn.facts
    assert story.annals.facts.get(kept.fact_id) == kept
    assert kept.source_ref
    assert kept.source_ref.message_ids == turn.conversation.message_ids == ["msg-001", "msg-002"]
    assert (turn.facts_extracted, bool(turn.facts_problem)) == (False, True)


def test_a_relayed_reply_that_breaks_off_leaves_facts_where_it_is_kept(ask: Ask, story: Story) -> None:
    fact = {"fact": "Hamlet hesitates.", "subject": story.name, "predicate": "does", "object": "hesitate"}
    for on_failure in ("discard", "keep"):
        with pytest.raises(StreamFailed):
            story.relay(ask, _breaking(*WORDS), facts=[fact], extract_facts=True, on_failure=on_failure)
        found = story.annals.conversations.get(story.name, include=["facts"]).facts or []
        assert len(found) == (on_failure == "keep")


def test_the_users_message_is_stored_before_the_first_chunk_is_passed_on(ask: Ask, story: Story) -> None:
    seen = []
    story.relay(ask, ["Words."], on_chunk=lambda _: seen.append(story.told))
    assert seen == [[ASKED]]


def test_with_a_function_that_reads_any_chunk_it_is_stored_before_the_first_one_is_asked_for(
    ask: Ask, story: Story
) -> None:
    seen = []

    def source() -> Iterator[Any]:
        seen.append(story.told)
        yield {"surprise": "Words."}

    story.relay(ask, source(), text_of=lambda chunk: chunk["surprise"])
    assert seen == [[ASKED]]


@pytest.mark.parametrize("first", [3, {"surprise": "To be"}, {"type": "surprise", "text": "To be"}])
def test_a_first_chunk_of_nobodys_is_a_type_error_before_anything_is_stored(ask: Ask, story: Story, first: Any) -> None:
    source = Source(first)
    with pytest.raises(TypeError, match="text_of"):
        story.relay(ask, source)
    assert source.closed
    with pytest.raises(NotFound):
        story.annals.conversations.get(story.name)


def test_a_chunk_that_nobody_knows_is_read_by_the_callers_function(ask: Ask, story: Story) -> None:
    story.relay(ask, [{"surprise": "To be"}], text_of=lambda chunk: chunk["surprise"])
    assert story.told == [ASKED, ("assistant", "To be", None)]


def _openai(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}

CUT_REPLIES: dict[str, tuple[list[Any], str | None]] = {
    "length": ([_openai({"content": "To be"}, "length")], "length"),
    "content_filter": ([_openai({"content": "To be"}, "content_filter")], "content_filter"),
    "no end": ([_openai({"content": "To be"})], None),
    "bedrock": (
        [{"contentBlockDelta": {"delta": {"text": "To be"}}}, {"messageStop": {"stopReason": "content_filtered"}}],
        "content_filtered",
    ),
    "responses": (
        [
            {"type": "response.output_text.delta", "delta": "To be"},
            {
                "type": "response.incomplete",
                "response": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            },
        ],
        "max_output_tokens",
    ),
    "anthropic": (
        [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "To be"}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
        ],
        "max_tokens",
    ),
}


@pytest.mark.parametrize(("chunks", "reason"), CUT_REPLIES.values(), ids=CUT_REPLIES)
def test_a_reply_that_the_model_cut_off_is_kept_as_incomplete_with_the_reason(
    ask: Ask, story: Story, chunks: list[Any], reason: str | None
) -> None:
    turns: list[Result] = []
    assert story.relay(ask, chunks, on_complete=turns.append) == chunks
    assert story.told == [ASKED, ("assistant", "To be", "incomplete")]
    [turn] = turns
    assert (turn.full_response, turn.finish_reason) == ("To be", reason)
    assert story.annals.messages.get(story.name, "msg-002").finish_reason == reason


def test_calls_reasoning_and_usage_are_kept_in_the_replys_parts(ask: Ask, story: Story) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 3}
    chunks = [
        _openai({"reasoning_content": "Hm."}),
        _openai({"content": "<think>Aha.</think>I look."}),
        _openai({"tool_calls": [{"index": 0, **CALL}]}, "tool_calls"),
        {"choices": [], "usage": usage},
    ]
    assert story.relay(ask, chunks) == chunks
    reply = story.annals.messages.get(story.name, "msg-002")
    assert (reply.content, reply.status, reply.finish_reason) == ("I look.", None, "tool_calls")
    assert reply.parts == {"reasoning_content": "Hm.\nAha.", "tool_calls": [CALL], "usage": usage}
    assert not story.annals.memory.search("Aha", conversation_id=story.name, consistent=True, memory_space_id="stage")


def test_a_reply_of_calls_alone_is_a_reply(ask: Ask, story: Story) -> None:
    story.relay(ask, [_openai({"tool_calls": [{"index": 0, **CALL}]}, "tool_calls")])
    reply = story.annals.messages.get(story.name, "msg-002")
    assert (reply.content, reply.parts, reply.status) == ("", {"tool_calls": [CALL], "content": None}, None)


def test_think_tags_are_text_where_the_caller_wants_that(ask: Ask, story: Story) -> None:
    story.relay(ask, ["<think>Hm.</think>", "To be"], think_tags=False)
    assert story.told[1][1] == "<think>Hm.</think>To be"


def test_what_came_of_calls_is_kept_where_the_reply_breaks_off(ask: Ask, story: Story) -> None:
    with pytest.raises(StreamFailed):
        story.relay(ask, _breaking(_openai({"content": "I look.", "tool_calls": [{"index": 0, **CALL}]})))
    reply = story.annals.messages.get(story.name, "msg-002")
    assert (reply.status, reply.parts) == ("incomplete", {"tool_calls": [CALL]})


def test_of_a_reply_whose_parts_no_entry_holds_all_is_kept(ask: Ask, story: Story) -> None:
    chunks = [_openai({"reasoning_content": "Hm. " * 25_000}) for _ in range(5)]
    story.relay(ask, [*chunks, _openai({"content": "To be"}, "stop")])
    reply = story.annals.messages.get(story.name, "msg-002")
    assert (reply.content, reply.status) == ("To be", None)
    assert "size" in json.dumps(reply.parts["reasoning_content"])


def test_of_a_reply_whose_parts_no_request_holds_the_text_is_kept(ask: Ask, story: Story) -> None:
    chunks = [_openai({"reasoning_content": "Hm. " * 250_000}) for _ in range(7)]
    story.relay(ask, [*chunks, _openai({"content": "To be"}, "stop")])
    reply = story.annals.messages.get(story.name, "msg-002")
    assert (reply.content, reply.status) == ("To be", None)
    assert reply.parts["omitted"]["bytes"] > 7_000_000


def test_bytes_may_be_cut_inside_a_character(ask: Ask, story: Story) -> None:
    said = "Naïve 👩‍🚀"
    story.relay(ask, [bytes([byte]) for byte in said.encode()])
    assert story.told[1][1] == said


@pytest.mark.parametrize(
    ("chunks", "more", "reply"),
    [
        (WORDS[:2], {}, [("assistant", "To be, or not ", "incomplete")]),
        (WORDS[:2], {"on_failure": "discard"}, []),
        ((" ", "\n"), {}, []),
        ((), {}, []),
    ],
)
def test_of_a_reply_that_breaks_off_what_came_is_kept_if_wanted(
    ask: Ask, story: Story, chunks: tuple[str, ...], more: dict[str, Any], reply: list[Any]
) -> None:
    with pytest.raises(StreamFailed, match="too many tokens") as failed:
        story.relay(ask, _breaking(*chunks), **more)
    assert story.told == [ASKED, *reply]
    error = failed.value
    assert isinstance(error.__cause__, Overloaded)
    assert (error.code, error.text) == ("STREAM_FAILED", "".join(chunks))
    assert error.stored
    assert error.stored.message_ids == ("msg-001", "msg-002")[: 1 + len(reply)]


@pytest.mark.parametrize("bad", [{"type": "error", "error": {"message": "no"}}, 3, b"\xff"])
def test_a_chunk_that_says_that_it_failed_or_is_none_breaks_the_reply_off(ask: Ask, story: Story, bad: Any) -> None:
    with pytest.raises(StreamFailed):
        story.relay(ask, ["To be", bad, "!"])
    assert story.told == [ASKED, ("assistant", "To be", "incomplete")]


@pytest.mark.parametrize("chunks", [[], ["", " \n"]])
def test_an_empty_reply_is_an_error_and_the_users_message_stays(ask: Ask, story: Story, chunks: list[str]) -> None:
    with pytest.raises(StreamEmpty) as failed:
        story.relay(ask, chunks)
    assert story.told == [ASKED]
    assert failed.value.stored
    assert failed.value.stored.message_ids == ("msg-001",)


@pytest.mark.parametrize("source", ["text", None, b"bytes", {"a": 1}, 3, ...])
@pytest.mark.parametrize("client", [Annals, AsyncAnnals])
def test_what_is_no_stream_is_refused_when_it_is_handed_over(client: Any, source: Any, server: Server) -> None:
    with pytest.raises(TypeError, match="response_stream"):
        client(server.url, "k").memory.remember_stream(
            response_stream=source, memory_space_id="s", user_id="u", user_message="m"
        )


def test_a_client_that_waits_takes_nothing_that_has_to_be_awaited(story: Story) -> None:
    async def source() -> AsyncIterator[str]:
        yield "x"

    async def hook(_: Any) -> None: ...

    remember: Any = story.annals.memory.remember_stream
    with pytest.raises(TypeError, match="response_stream"):
        remember(response_stream=source(), **story.turn)
    with pytest.raises(TypeError, match="AsyncAnnals"):
        remember(response_stream=["x"], on_chunk=hook, **story.turn)
    for turn in ({**story.turn, "typo": 1}, {"user_message": "no space"}):
        with pytest.raises(TypeError):
            remember(response_stream=["x"], **turn)


def test_hooks_are_told_in_order_and_what_they_raise_changes_nothing(
    ask: Ask, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []

    def hook(news: Any) -> None:
        told.append(news)
        raise RuntimeError("the hook fell over")

    hooks = dict.fromkeys(("on_chunk", "on_progress", "on_error", "on_complete"), hook)
    assert story.relay(ask, ["ab", "c"], **hooks) == ["ab", "c"]
    assert told[:4] == ["ab", Progress(1, 2), "c", Progress(2, 3)]
    assert isinstance(told[4], Result)
    assert (told[4].full_response, told[4].conversation.message_ids) == ("abc", ["msg-001", "msg-002"])
    assert [record.exc_text is not None for record in caplog.records] == [True] * 5
    told.clear()
    with pytest.raises(StreamFailed) as failed:
        story.relay(ask, _breaking(), **hooks)
    assert told == [failed.value]


def test_with_asyncio_a_hook_may_be_a_coroutine(story: Story) -> None:
    told = []

    async def hook(chunk: str) -> None:
        await asyncio.sleep(0)
        told.append(chunk)

    async def main() -> Result:
        async with AsyncAnnals(story.url, story.key) as client:
            relay = client.memory.remember_stream(response_stream=WORDS, on_chunk=hook, **story.turn)
            assert [chunk async for chunk in relay] == told
            return await relay.result()

    result = asyncio.run(main())
    assert (tuple(told), result.full_response) == (WORDS, "".join(WORDS))


def test_asyncio_takes_asynchronous_sources(story: Story) -> None:
    async def source() -> AsyncIterator[str]:
        for word in WORDS:
            await asyncio.sleep(0)
            yield word

    async def main() -> list[str]:
        async with AsyncAnnals(story.url, story.key) as client:
            return await _all(client.memory.remember_stream(response_stream=source(), **story.turn))

    assert asyncio.run(main()) == list(WORDS)
    assert story.told[1][1] == "".join(WORDS)


def test_asyncio_waits_in_a_thread_for_sources_that_block(story: Story) -> None:
    def source() -> Iterator[str]:
        time.sleep(0.5)
        yield "Slow."

    async def main() -> int:
        async with AsyncAnnals(story.url, story.key) as client:
            relay = client.memory.remember_stream(response_stream=source(), **story.turn)
            waiting = asyncio.ensure_future(_all(relay))
            ticks = 0
            while not waiting.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert waiting.result() == ["Slow."]
            return ticks

    assert asyncio.run(main()) > 20
    assert story.told[1][1] == "Slow."


async def _all(chunks: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in chunks]


class Source(Iterator[Any]):
    """An endless source of one chunk that knows whether it was closed."""

    closed = False

    def __init__(self, chunk: Any = "on and ") -> None:
        self.chunk = chunk

    def __next__(self) -> Any:
        return self.chunk

    def close(self) -> None:
        self.closed = True


def test_who_leaves_in_the_middle_leaves_what_came(story: Story) -> None:
    source = Source()
    with story.annals.memory.remember_stream(response_stream=source, **story.turn) as relay:
        assert (next(relay), next(relay)) == ("on and ", "on and ")
    assert source.closed
    assert story.told == [ASKED, ("assistant", "on and on and ", "incomplete")]
    with pytest.raises(RuntimeError, match="left before its end"):
        relay.result()


def test_a_task_that_is_cancelled_leaves_what_came(story: Story) -> None:
    async def source() -> AsyncIterator[str]:
        yield "Half"
        await asyncio.sleep(60)

    async def main() -> None:
        async with AsyncAnnals(story.url, story.key) as client:
            relay = client.memory.remember_stream(response_stream=source(), **story.turn)
            task = asyncio.ensure_future(_all(relay))
            while not relay.text:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert story.told == [ASKED, ("assistant", "Half", "incomplete")]


def test_a_turn_in_anothers_space_is_refused_before_a_word_is_passed_on(ask: Ask, story: Story) -> None:
    story.relay(ask, WORDS)
    source, told = Source(), []
    with pytest.raises(Conflict) as failed:
        story.relay(ask, source, memory_space_id="elsewhere", on_chunk=told.append)
    assert (source.closed, told) == (True, [])
    assert (failed.value.code, failed.value.field) == ("MEMORY_SPACE_MISMATCH", "memorySpaceId")
    assert len(story.told) == 2


def test_a_turn_of_another_user_is_refused_before_a_word_is_passed_on(ask: Ask, story: Story) -> None:
    story.relay(ask, WORDS)
    with pytest.raises(Conflict) as failed:
        story.relay(ask, Source(), user_id="somebody-else")
    assert (failed.value.code, failed.value.field) == ("PARTICIPANT_MISMATCH", "userId")
    assert len(story.told) == 2


def test_to_who_may_not_write_no_word_is_passed_on(ask: Ask, story: Story) -> None:
    reader = story.annals.keys.create("reader", ["read"]).key
    story.key = reader
    with pytest.raises(Forbidden):
        story.relay(ask, Source())


def test_a_reply_that_cannot_be_stored_is_not_lost(ask: Ask, story: Story) -> None:
    def source() -> Iterator[str]:
        yield "Too late."
        story.annals.conversations.seal(story.name)

    with pytest.raises(ReplyNotStored) as failed:
        story.relay(ask, source())
    assert failed.value.stored.message_ids == ("msg-001",)
    assert (failed.value.code, failed.value.text) == ("CONVERSATION_SEALED", "Too late.")
    assert isinstance(failed.value.__cause__, Conflict)
    assert story.told == [ASKED]


@pytest.mark.parametrize("faults", [(0,), (None, 0), (0, None, 0), (None, 0, 0)])
def test_lost_answers_store_nothing_twice(ask: Ask, story: Story, faults: tuple[int | None, ...]) -> None:
    with harmed(story.url, *faults) as proxy:
        story.relay(ask, WORDS, url=proxy.url)
    assert story.told == [ASKED, ("assistant", "".join(WORDS), None)]
    assert story.annals.conversations.verify(story.name).valid


def test_a_turn_that_is_sent_again_under_its_key_is_stored_once(ask: Ask, story: Story) -> None:
    without_id = {"conversation_id": None, "idempotency_key": unique("turn")}
    found: list[Result] = []
    for _ in range(2):
        story.relay(ask, WORDS, on_complete=found.append, **without_id)
    assert found[0] == found[1]
    assert story.annals.conversations.get(found[0].conversation.conversation_id).message_count == 2


@pytest.mark.parametrize("model", ["words", "break"])
def test_the_stream_of_a_real_sdk_is_handed_on(story: Story, model: str) -> None:
    asked: Any = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}

    def answer(url: str) -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            chunks = client.chat.completions.create(**asked)
            for chunk in story.annals.memory.remember_stream(response_stream=chunks, **story.turn):
                assert type(chunk).__name__ == "ChatCompletionChunk"

    with serving(ChatServer()) as server:
        _outcome(lambda: answer(server.url), model)
    expected = {"words": (REPLY, None), "break": ("Memory is", "incomplete")}[model]
    assert story.told == [ASKED, ("assistant", *expected)]


def _outcome(answer: Callable[[], None], model: str) -> None:
    if model == "words":
        answer()
    else:
        with pytest.raises(StreamFailed):
            answer()


def test_a_turn_takes_two_requests_whatever_belongs_to_it(story: Story) -> None:
    fact = {"fact": "Hamlet hesitates.", "subject": "Hamlet", "predicate": "does", "object": "hesitate"}
    with harmed(story.url) as proxy, Annals(proxy.url, story.key) as client:
        client.memory.remember_stream(response_stream=WORDS, facts=[fact], extract_facts=True, **story.turn).result()
        assert proxy.asked == ["POST /v1/memory/remember"] * 2
    assert len(story.told) == 2


def test_the_result_is_waited_for_and_is_that_of_a_turn_that_is_remembered(story: Story) -> None:
    relay = story.annals.memory.remember_stream(response_stream=[*WORDS], **story.turn)
    result = relay.result()
    assert isinstance(result, Remembered)
    assert (result.full_response, result.conversation.message_ids) == ("".join(WORDS), ["msg-001", "msg-002"])
    assert [memory.content for memory in result.memories] == [story.turn["user_message"], "".join(WORDS)]
    assert relay.result() is result
    chunks = [_openai({"content": "x"}, "stop"), {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}]
    second = story.annals.memory.remember_stream(response_stream=chunks, **story.turn).result()
    assert second.usage == Usage(input_tokens=5, output_tokens=3)
    assert second.finish_reason == "stop"


def test_with_asyncio_it_is_awaited(story: Story) -> None:
    async def main() -> Result:
        async with AsyncAnnals(story.url, story.key) as client:
            return await client.memory.remember_stream(response_stream=WORDS, **story.turn)

    assert asyncio.run(main()).full_response == "".join(WORDS)
    assert story.told == [ASKED, ("assistant", "".join(WORDS), None)]


def test_a_result_that_failed_says_so_each_time(story: Story) -> None:
    relay = story.annals.memory.remember_stream(response_stream=_breaking("To"), **story.turn)
    for _ in range(2):
        with pytest.raises(StreamFailed, match="Overloaded"):
            relay.result()
    assert len(story.told) == 2


def test_what_is_never_used_warns_that_nothing_is_stored(story: Story) -> None:
    with pytest.warns(RuntimeWarning, match="nothing is stored: iterate it"):
        _forget(lambda: story.annals.memory.remember_stream(response_stream=WORDS, **story.turn))
    with pytest.raises(NotFound):
        story.annals.conversations.get(story.name)


def _forget(make: Callable[[], object]) -> None:
    make()
    gc.collect()


HESITATES: NewFact = {"fact": "Hamlet hesitates.", "subject": "Hamlet", "predicate": "does", "object": "hesitate"}


def test_a_function_finds_the_facts_and_is_called_once(ask: Ask, story: Story) -> None:
    calls: list[tuple[str, str]] = []

    def find(said: str, answered: str) -> list[NewFact]:
        calls.append((said, answered))
        return [HESITATES]

    results: list[Result] = []
    with harmed(story.url, None, 0) as proxy:
        story.relay(ask, WORDS, url=proxy.url, extract_facts=find, on_complete=results.append)
    assert calls == [(story.turn["user_message"], "".join(WORDS))]
    [result] = results
    assert ([fact.object for fact in result.facts], result.facts_extracted) == (["hesitate"], True)


def test_with_asyncio_the_function_may_be_a_coroutine_function(story: Story) -> None:
    async def find(said: str, answered: str) -> list[NewFact]:
        await asyncio.sleep(0)
        return [HESITATES]

    async def main() -> Result:
        async with AsyncAnnals(story.url, story.key) as client:
            return await client.memory.remember_stream(response_stream=WORDS, extract_facts=find, **story.turn)

    assert [fact.subject for fact in asyncio.run(main()).facts] == ["Hamlet"]
    with pytest.raises(TypeError, match="AsyncAnnals"):
        story.annals.memory.remember_stream(response_stream=WORDS, extract_facts=find, **story.turn)


def test_a_function_that_fails_leaves_the_turn_and_says_why_there_are_no_facts(ask: Ask, story: Story) -> None:
    def find(said: str, answered: str) -> list[NewFact]:
        raise Overloaded("too many facts")

    results: list[Result] = []
    story.relay(ask, WORDS, extract_facts=find, facts=[HESITATES], on_complete=results.append)
    [result] = results
    assert len(result.facts) == 1
    assert (result.facts_extracted, result.facts_problem) == (False, "extract_facts raised Overloaded: too many facts")
    assert len(story.told) == 2


@pytest.mark.parametrize(
    ("wrong", "kind", "name"),
    [
        ({"facts": [{"fact": "x"}]}, InvalidArgument, "facts"),
        ({"facts": [{**HESITATES, "confidence": "high"}]}, InvalidArgument, "facts"),
        ({"metadata": {"a": object()}}, InvalidArgument, "metadata"),
        ({"tags": [object()]}, InvalidArgument, "tags"),
        ({"user_message": object()}, InvalidArgument, "message"),
        ({"colour": "red"}, TypeError, "colour"),
        ({"memory_space_id": None}, None, "memorySpaceId"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_stored(
    ask: Ask, story: Story, wrong: dict[str, Any], kind: type[Exception] | None, name: str
) -> None:
    asked: list[str] = []

    def source() -> Iterator[str]:
        asked.append("x")
        yield "x"

    with pytest.raises(kind or ValidationFailed, match=name):
        story.relay(ask, source(), **wrong)
    with pytest.raises(NotFound):
        story.annals.conversations.get(story.name)
