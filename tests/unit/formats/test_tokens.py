"""Estimates of tokens: what a message counts in a budget, and how far that is from what tokenizers count."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.formats.media import (
    AUDIO_PER_SECOND,
    LOW_DETAIL,
    MAX_IMAGE,
    MIN_IMAGE,
    TOKENS_PER_PAGE,
    UNKNOWN_IMAGE,
    image_size,
    image_tokens,
)
from annals.formats.messages import to_annals
from annals.formats.references import Reference
from annals.formats.tokens import TOKENS_AROUND_MESSAGE, estimate, estimate_message
from local.template import ROOT

SAMPLES = json.loads((ROOT / "tests/support/fixtures/tokens/samples.json").read_text())


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(width: int, height: int, size: int = 0) -> bytes:
    """A picture's header, with so many bytes after it."""
    header = struct.pack(">II", width, height) + b"\x08\x02\0\0\0"
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(size)


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 5000) + bytes(5000)
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + bytes(10)
    return b"\xff\xd8" + exif + frame


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def webp(kind: bytes, width: int, height: int) -> bytes:
    sizes = {
        b"VP8 ": bytes(6) + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + struct.pack("<I", (height - 1) << 14 | (width - 1)),
        b"VP8X": bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
    }
    return b"RIFF\0\0\0\0WEBP" + kind + bytes(4) + sizes[kind] + bytes(20)


PICTURES = [png, jpeg, gif, *(partial(webp, kind) for kind in (b"VP8 ", b"VP8L", b"VP8X"))]
MAGIC = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF1234WEBPVP8X", b""]
PDF = b"%PDF-1.4" + b"/Type /Page\n" * 3 + b"/Type /Pages\n" + bytes(500)


def document(media_type: str, content: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": encoded(content)}
    return {"type": "document", "source": source}


def in_every_shape(content: bytes, media_type: str = "image/png") -> list[dict[str, Any]]:
    """Messages of a user with a picture, as the providers have them."""
    data, url = encoded(content), f"data:{media_type};base64,{encoded(content)}"
    contents: list[Any] = [
        [{"type": "image_url", "image_url": {"url": url}}],
        [{"type": "input_image", "image_url": url}],
        [{"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}],
        [{"image": {"format": media_type.partition("/")[2], "source": {"bytes": data}}}],
        [{"type": "image", "mimeType": media_type, "data": data}],
    ]
    ours = [{"role": "user", "content": each} for each in contents]
    return [
        *map(to_annals, ours),
        to_annals({"role": "user", "parts": [{"inlineData": {"mimeType": media_type, "data": data}}]}),
        to_annals({"role": "user", "parts": [{"type": "file", "mediaType": media_type, "url": url}]}),
    ]


@pytest.mark.parametrize("make", PICTURES)
@given(st.integers(1, 16_000), st.integers(1, 16_000))
def test_the_size_of_a_picture_is_read_from_its_header(make: Any, width: int, height: int) -> None:
    assert image_size(make(width, height)) == (width, height)


@given(st.binary(max_size=60), st.sampled_from(MAGIC))
def test_a_picture_that_is_damaged_is_one_of_unknown_size(content: bytes, magic: bytes) -> None:
    size = image_size(magic + content)
    assert size is None or (size[0] >= 0 and size[1] >= 0)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_picture_counts_no_less_and_no_more_than_any_picture(width: int, height: int) -> None:
    assert MIN_IMAGE <= image_tokens(width, height) <= MAX_IMAGE


def test_a_picture_counts_by_its_pixels_in_every_shape() -> None:
    for message in in_every_shape(png(1000, 750, size=99_000)):
        assert 1000 <= estimate_message(message) <= 1100, message


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://home.test/cat.png"}}, UNKNOWN_IMAGE),
        ({"type": "image_url", "image_url": {"url": "https://home.test/cat.png", "detail": "low"}}, LOW_DETAIL),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, UNKNOWN_IMAGE),
        ({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/cat.png"}}}}, UNKNOWN_IMAGE),
        ({"fileData": {"mimeType": "audio/mp3", "fileUri": "https://home.test/a"}}, 60 * AUDIO_PER_SECOND),
        ({"type": "file", "file": {"file_id": "file_2"}}, TOKENS_PER_PAGE),
        ({"type": "input_audio", "input_audio": {"format": "mp3", "data": encoded(b"ID3" + bytes(160_000))}}, 340),
        (document("application/pdf", PDF), 3 * TOKENS_PER_PAGE),
        (document("text/plain", b"word " * 400), 500),
    ],
)
def test_media_count_by_what_is_known_of_them(part: dict[str, Any], tokens: int) -> None:
    message = {"role": "user", "content": "", "parts": [part]}
    assert tokens <= estimate_message(message) <= tokens + 60


def test_media_within_a_tool_result_count_as_media() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded(png(750, 750))}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "seen"}, image]}
    assert 750 < estimate_message(to_annals({"role": "user", "content": [result]})) < 850


def test_what_a_tool_was_given_is_text_whatever_its_names() -> None:
    given_urls = {"image": "https://home.test/cat.png", "url": "https://home.test/dog.png", "format": "png"}
    for part in (
        {"type": "tool_use", "id": "a", "name": "draw", "input": given_urls},
        {"functionCall": {"name": "draw", "args": given_urls}},
    ):
        assert estimate_message({"role": "assistant", "content": "", "parts": [part]}) < 100


def test_five_calls_with_large_arguments_count_as_many_tokens_as_they_take() -> None:
    arguments = json.dumps({"text": "Call the landlord about the heating. " * 220})
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": arguments}} for n in range(5)]
    for parts in (calls, {"tool_calls": calls}):
        tokens = estimate_message({"role": "assistant", "content": "", "parts": parts})
        assert len(arguments) * 5 / 4 < tokens < len(arguments) * 5 / 3


def test_what_content_is_derived_from_is_not_counted_twice() -> None:
    text = "Call the landlord about the heating. " * 20
    plain = estimate_message({"role": "user", "content": text})
    blocks = to_annals({"role": "user", "content": [{"type": "text", "text": text}]})
    result = to_annals({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": text}]})
    assert blocks["content"] == result["content"] == text
    assert plain <= estimate_message(blocks) <= plain + 3
    assert plain <= estimate_message(result) <= plain + 30


def test_own_content_beside_parts_counts_as_well() -> None:
    message = {"role": "user", "content": "word " * 100, "parts": {"mine": "other " * 100}}
    assert estimate_message(message) > estimate("word " * 100) + estimate("other " * 100)


def test_what_is_stored_beside_its_message_counts_by_its_size() -> None:
    text = {"role": "user", "content": "beginning", "contentPart": Reference.of_text("word " * 20_000).to_json()}
    image = Reference("0" * 64, 5_000_000, "image/png", "base64").to_json()
    calls = Reference("0" * 64, 100_000, "application/json", "json").to_json()
    assert estimate_message(text) == 25_000 + TOKENS_AROUND_MESSAGE
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}}
    assert UNKNOWN_IMAGE <= estimate_message({"role": "user", "content": "", "parts": [block]}) < UNKNOWN_IMAGE + 60
    assert estimate_message({"role": "assistant", "content": "", "parts": calls}) == 40_000 + TOKENS_AROUND_MESSAGE


@pytest.mark.parametrize(
    ("counted", "believed"),
    [
        (100, 100),
        (200, 200),
        (0, 63),
        (-5, 63),
        (10**9, 1004),
        (63, 63),
        (True, 254),
        ("7", 254),
        (None, 254),
        (1.5, 254),
    ],
)
def test_a_callers_own_count_is_believed_as_far_as_it_can_be(counted: Any, believed: int) -> None:
    assert estimate_message({"role": "user", "content": "x" * 1000, "metadata": {"tokens": counted}}) == believed


def test_a_callers_own_count_of_a_picture_is_believed_within_a_quarter_and_four_times() -> None:
    message = in_every_shape(png(1000, 750))[0]
    low, high = ({**message, "metadata": {"tokens": counted}} for counted in (0, 10**6))
    assert 250 <= estimate_message(low) <= 300
    assert 4000 <= estimate_message(high) <= 4200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@given(st.text(), json_values)
def test_any_message_counts_some_tokens_and_at_most_one_for_each_byte_and_medium(content: str, parts: Any) -> None:
    message = {"role": "user", "content": content, "parts": parts}
    assert estimate_message(message) >= TOKENS_AROUND_MESSAGE
    assert estimate_message({**message, "metadata": {"tokens": 0}}) <= estimate_message(message)


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample["name"] for sample in SAMPLES])
def test_estimates_are_near_what_tokenizers_count(sample: dict[str, Any]) -> None:
    message = {"role": "user", "content": sample.get("text", ""), "parts": sample.get("parts")}
    ratios = [(estimate_message(message) - TOKENS_AROUND_MESSAGE) / count for count in sample["tokens"].values()]
    is_latin = sample["name"] not in ("Russian", "Arabic", "Hindi", "Chinese", "Japanese")
    assert all(0.7 <= ratio <= 1.3 for ratio in ratios) if is_latin else all(0.5 <= ratio <= 2 for ratio in ratios)


def test_words_in_brackets_are_words() -> None:
    text = "[Ada] moved to Paris, and says that she likes it there [laughs]"
    assert estimate_message({"role": "user", "content": text}) == estimate(text) + TOKENS_AROUND_MESSAGE
    nested = "[" * 5000 + "]" * 5000
    assert estimate_message({"role": "user", "content": nested}) == 2500 + TOKENS_AROUND_MESSAGE
