"""Server-sent events, read from bytes that are cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.formats.streams.openai_chat import OpenAIChatReply
from annals.formats.streams.reply import ReplyReader
from annals.formats.streams.sse import EventReader, ServerSentEvent
from tests.fakes.chat_server import ODD

STREAM = (
    "\ufeffdata: one\n\n: a comment\n\nevent: delta\nid: 7\ndata: two\ndata:three\ndata\n\n\n\nretry: 9\n\n"
    "data:  👩‍🚀\u2028\x0b\n\nid: 8\ndata: last"
)
EVENTS = [
    ServerSentEvent("one"),
    ServerSentEvent("two\nthree\n", "delta", "7"),
    ServerSentEvent(" 👩‍🚀\u2028\x0b"),
    ServerSentEvent("last", id="8"),
]
LINE_ENDS = ["\n", "\r", "\r\n"]


def read(*chunks: bytes) -> list[ServerSentEvent]:
    reader = EventReader()
    return [*(event for chunk in chunks for event in reader.read(chunk)), *reader.end()]


@pytest.mark.parametrize("line_end", LINE_ENDS)
@given(cuts=st.lists(st.integers(0, 160), max_size=12))
def test_events_are_the_same_however_their_bytes_are_cut(line_end: str, cuts: list[int]) -> None:
    raw = STREAM.replace("\n", line_end).encode()
    places = sorted(min(cut, len(raw)) for cut in cuts)
    assert read(*(raw[start:end] for start, end in pairwise([0, *places, len(raw)]))) == EVENTS


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_events_are_the_same_byte_by_byte(line_end: str) -> None:
    raw = STREAM.replace("\n", line_end).encode()
    assert read(*(bytes([byte]) for byte in raw)) == EVENTS


def test_an_event_is_there_as_soon_as_its_last_byte_is() -> None:
    reader = EventReader()
    assert [list(reader.read(chunk)) for chunk in (b"data: x\r", b"\r", b"\ndata: y\n\n")] == [
        [],
        [ServerSentEvent("x")],
        [ServerSentEvent("y")],
    ]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=4), st.data())
def test_any_data_comes_through_in_any_pieces(lines: list[str], data: st.DataObject) -> None:
    raw = "".join(f"data: {line}\n" for line in lines).encode() + b"\n"
    cut = data.draw(st.integers(0, len(raw)))
    assert read(raw[:cut], raw[cut:]) == ([ServerSentEvent("\n".join(lines))] if lines else [])


def test_a_line_that_is_no_utf_8_is_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        read("data: café\n\n".encode("latin-1"))


@pytest.mark.parametrize("name", [name for name in ODD if name != "much thought"])
@given(data=st.data())
def test_a_reply_is_the_same_however_the_bytes_of_its_stream_are_cut(name: str, data: st.DataObject) -> None:
    raw = b"".join(ODD[name])
    places = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    pieces = [raw[start:end] for start, end in pairwise([0, *places, len(raw)])]
    assert _reply(*pieces) == _reply(raw)


def _reply(*pieces: bytes) -> tuple[str, Any, str | None]:
    reader = ReplyReader(kind=OpenAIChatReply)
    for event in read(*pieces):
        if event.data.strip() not in ("", "null", "[DONE]"):
            reader.take(json.loads(event.data))
    reader.end()
    return reader.text, reader.parts, reader.finish_reason
