"""How the events of a stream are written on the wire."""

from __future__ import annotations

import json

from annals.http import sse


def test_a_frame_is_one_event_whatever_its_text_holds():
    text = "line\r\nline\n\ndata: x\u2028👩‍🚀\0"
    raw = sse.frame("delta", {"text": text}, 7)
    head, data, *end = raw.decode().rsplit("\n", 3)
    assert head == "id: 7\nevent: delta"
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
    assert end == ["", ""]
    assert raw.count(b"\n") == 4


def test_an_event_without_number_has_no_id():
    assert sse.frame("start", {}) == b"event: start\ndata: {}\n\n"


def test_keep_alive_is_a_comment():
    assert sse.KEEP_ALIVE == b": keep-alive\n\n"
