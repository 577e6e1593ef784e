"""A streamed reply, whoever's it is: thinking between tags, characters that are cut, failures, chunks of nobody's."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import openai.types.responses as responses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.formats.streams.failures import SourceFailed, UnknownChunk
from annals.formats.streams.reply import ReplyReader


def read(*chunks: Any, **how: Any) -> ReplyReader:
    """A reply of these chunks, read to its end; what was passed on piece by piece is its text."""
    reader = ReplyReader(**how)
    said = [reader.take(chunk) for chunk in chunks]
    said.append(reader.end())
    assert "".join(said) == reader.text
    return reader


def delta(content: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}}]}


def cut(text: str | bytes, places: list[int]) -> list[Any]:
    """A text in pieces, cut at these places."""
    places = [min(place, len(text)) for place in places]
    return [text[start:end] for start, end in pairwise(sorted([0, *places, len(text)]))]


PLACES = st.lists(st.integers(0, 60), max_size=8)

THOUGHTS = [
    ("<think>Hm.</think>\n\nTo be", "To be", "Hm."),
    ("\n<think>\nHm.\n</think>\nTo be", "\nTo be", "Hm."),
    ("To <think>Hm.</think>be", "To be", "Hm."),
    ("<think>a</think>To <THINKING>b</THINKING>be", "To be", "a\nb"),
    ("To be<think>and so on", "To be", "and so on"),
    ("To be</think> or <b> or <", "To be</think> or <b> or <", ""),
    ("Write `<think>` before it", "Write `<think>` before it", ""),
    ("<think></think>To be", "To be", ""),
]


@pytest.mark.parametrize(("said", "text", "thought"), THOUGHTS)
@given(places=PLACES)
def test_what_stands_between_think_tags_is_no_text_however_it_is_cut(
    said: str, text: str, thought: str, places: list[int]
) -> None:
    reader = read(*cut(said, places))
    assert (reader.text, reader.parts) == (text, {"reasoning_content": thought} if thought else None)


@pytest.mark.parametrize(("said", "text", "thought"), THOUGHTS)
def test_think_tags_are_text_where_that_is_wanted(said: str, text: str, thought: str) -> None:
    reader = read(said, think_tags=False)
    assert (reader.text, reader.parts) == (said, None)


def test_thoughts_between_tags_are_kept_beside_those_of_the_provider_and_taken_out_of_its_blocks() -> None:
    chunks = [
        {"contentBlockDelta": {"delta": {"text": "<think>Hm.</think>I look."}, "contentBlockIndex": 0}},
        {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "t", "name": "f"}}, "contentBlockIndex": 1}},
        {"messageStop": {"stopReason": "tool_use"}},
    ]
    assert read(*chunks).parts == {
        "content": [{"text": "I look."}, {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}],
        "reasoning_content": "Hm.",
    }
    assert read(delta("<think>b</think>c", reasoning_content="a")).parts == {"reasoning_content": "a\nb"}


def test_thinking_alone_is_no_reply_and_a_call_alone_is_one() -> None:
    assert not read("<think>Hm.").is_reply
    assert not read({"choices": [{"delta": {"reasoning_content": "Hm."}}], "usage": {"prompt_tokens": 1}}).is_reply
    assert read({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a"}]}}]}).is_reply
    assert read({"choices": [{"delta": {"audio": {"data": "AAAA"}}}]}).is_reply
    assert not read({"choices": [{"delta": {"content": []}}]}).is_reply
    assert not read("  ", "\n").is_reply
    assert not read({"choices": [{"delta": {"content": "", "token_ids": [1]}}]}).is_reply


@given(st.text(), PLACES)
def test_bytes_may_be_cut_inside_a_character(text: str, places: list[int]) -> None:
    pieces = cut(text.encode(), places)
    assert read(*pieces, think_tags=False).text == text
    assert read(*map(bytearray, pieces), think_tags=False).text == text


@given(st.text(), PLACES)
def test_a_text_is_the_same_however_its_chunks_are_cut(text: str, places: list[int]) -> None:
    halves = text.encode("utf-16-be", "surrogatepass")
    units = [halves[start : start + 2].decode("utf-16-be", "surrogatepass") for start in range(0, len(halves), 2)]
    pieces = ["".join(units[start:end]) for start, end in pairwise(sorted([0, *places, len(units)]))]
    assert read(*map(delta, pieces), think_tags=False).text == text


@pytest.mark.parametrize("chunks", [[b"caf\xe9!"], [b"caf\xc3"]])
def test_bytes_that_are_no_utf_8_are_a_failure(chunks: list[bytes]) -> None:
    with pytest.raises(UnicodeDecodeError):
        read(*chunks)


def test_a_lone_half_of_a_character_is_replaced_in_text_and_parts() -> None:
    reader = read("a\ud83d", "\ude00", "b\ud83d")
    assert reader.text == "a😀b\ufffd"
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":"\ud83d'}}
    reader = read({"choices": [{"delta": {"tool_calls": [call]}}]})
    json.dumps(reader.parts, ensure_ascii=False).encode()


@pytest.mark.parametrize(("last", "text"), [("be <thi", "To be <thi"), ("be\ud83d", "To be\ufffd")])
def test_what_waited_for_its_rest_is_text_at_the_end_even_within_a_character(last: str, text: str) -> None:
    reader = ReplyReader()
    for chunk in ("To ", last, b"\xe2"):
        reader.take(chunk)
    with pytest.raises(UnicodeDecodeError):
        reader.end()
    assert reader.text == text


USAGES = [
    ([{"prompt_tokens": 5}, None], {"prompt_tokens": 5}),
    ([{"prompt_tokens": 5, "completion_tokens": None}], {"prompt_tokens": 5}),
    ([{"input_tokens": 5, "output_tokens": 3}], {"input_tokens": 5, "output_tokens": 3}),
    ([{"prompt_tokens": 5, "completion_tokens": 0}, {"completion_tokens": 3}, None],
     {"prompt_tokens": 5, "completion_tokens": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("usages", "kept"), USAGES)
def test_tokens_are_kept_as_they_are_known_wherever_they_are_said(usages: list[Any], kept: dict[str, Any]) -> None:
    chunks = [{**delta("To be"), "usage": usage} for usage in usages]
    assert read(*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}).parts == {"usage": kept}


def test_content_in_a_list_is_text_and_thinking() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    reader = read(delta([thinking, {"type": "text", "text": "To "}]), delta([{"type": "text", "text": "be"}]))
    assert (reader.text, reader.parts) == ("To be", [thinking, {"type": "text", "text": "To be"}])


def test_what_nobody_knows_of_a_delta_is_kept() -> None:
    images = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    reader = read(delta("To be", images=images, surprise="a"), delta("", surprise="b"))
    assert reader.parts == {"images": images, "surprise": "ab"}


def test_what_a_model_writes_names_no_part_that_is_stored_beside_a_message() -> None:
    forged = {"$annalsPart": {"sha256": "0" * 64, "size": 1, "upload": "x"}}
    delta = {"toolUse": {"input": json.dumps({"file": forged})}}
    chunks = [{"contentBlockDelta": {"delta": delta, "contentBlockIndex": 0}}, {"messageStop": {"stopReason": "x"}}]
    [block] = read(*chunks).parts
    assert block["toolUse"]["input"] == {"file": json.dumps(forged)}


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "error", "message": "overloaded", "code": "x", "param": None, "sequence_number": 1},
        responses.ResponseErrorEvent(type="error", message="overloaded", code="x", param=None, sequence_number=1),
        {"type": "response.failed", "response": {"error": {"message": "overloaded"}}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}},
        {"type": "error", "errorText": "overloaded"},
        {"type": "conversation.response.error", "message": "overloaded", "code": 1},
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}},
        {"choices": [], "error": {"message": "overloaded"}},
        {"error": {"message": "overloaded"}},
        {"error": "overloaded"},
        {"object": "error", "message": "overloaded"},
        {"modelStreamErrorException": {"message": "overloaded"}},
        {"candidates": [], "error": {"message": "overloaded"}},
    ],
)
def test_a_chunk_that_says_that_the_reply_failed_is_a_failure(chunk: Any) -> None:
    with pytest.raises(SourceFailed, match="overloaded"):
        read(chunk)


@pytest.mark.parametrize(
    "chunk",
    [
        *(3, None, object(), {}, {"a": 1, "b": 2}, {"surprise": {}}, ["a"], ("a", "b"), {"type": "surprise"}),
        *({"choices": [1]}, {"choices": [{"delta": 3}]}, {"choices": [{"delta": {"content": {"no": "text"}}}]}),
        *({"choices": [{"delta": {"tool_calls": 3}}]}, {"contentBlockDelta": 3}, {"chunk": {"bytes": b"{"}}),
    ],
)
def test_what_is_no_chunk_is_a_type_error_that_names_text_of(chunk: Any) -> None:
    with pytest.raises(UnknownChunk, match="text_of"):
        read(chunk)


def test_an_event_that_a_known_provider_has_added_is_passed_over() -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "To be"}}
    assert read(start, {"type": "surprise"}).text == "To be"


def test_what_the_caller_knows_of_its_chunks_is_all_that_is_known() -> None:
    reader = read({"said": "To be, "}, "or not", text_of=lambda chunk: chunk["said"])
    assert (reader.text, reader.parts, reader.finish_reason, reader.is_cut) == ("To be, or not", None, None, False)


@pytest.mark.parametrize(
    ("reason", "is_cut"),
    [
        *(("stop", False), ("tool_calls", False), ("eos", False), ("length", True), ("content_filter", True)),
        *(("max_tokens", True), ("error", True), ("MAX_TOKENS", True), ("insufficient_system_resource", True)),
    ],
)
def test_the_reason_of_the_end_is_the_models_word_and_says_whether_the_reply_is_whole(
    reason: str, is_cut: bool
) -> None:
    reader = read({"choices": [{"delta": {"content": "To be"}, "finish_reason": reason}]})
    assert (reader.finish_reason, reader.is_cut) == (reason, is_cut)


def test_what_a_model_says_aloud_is_text() -> None:
    reader = read(*({"choices": [{"delta": {"audio": {"id": "a", "transcript": word}}}]} for word in ("To ", "be")))
    assert (reader.text, reader.parts) == ("To be", {"audio": {"id": "a", "transcript": "To be"}})


def test_a_part_in_a_place_where_no_part_is_is_refused() -> None:
    with pytest.raises(UnknownChunk):
        read({"type": "response.output_text.delta", "delta": "x", "content_index": 10**9})


@pytest.mark.parametrize(
    ("reason", "kept"), [(" ", None), ("x" * 200, "x" * 128), (" stop\n", "stop"), ("\ud83d", "\ufffd")]
)
def test_a_reason_is_kept_as_a_message_can_have_it(reason: str, kept: str | None) -> None:
    assert read({"choices": [{"delta": {"content": "To be"}, "finish_reason": reason}]}).finish_reason == kept


def test_a_reply_of_many_pieces_takes_time_linear_in_its_length() -> None:
    def seconds(count: int) -> float:
        chunks = [delta("abcd", reasoning_content="efgh", token_ids=[1, 2])] * count
        started = time.process_time()
        assert len(read(*chunks).text) == 4 * count
        return time.process_time() - started

    assert min(seconds(20_000) for _ in range(2)) < 8 * min(seconds(5_000) for _ in range(3)) + 0.2
