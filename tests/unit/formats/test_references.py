"""References: a value goes out as bytes and comes back as the very same value, and nothing else passes for one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.formats.references import (
    FIELD,
    NotAReference,
    Reference,
    find_reference,
    read_reference,
    refer_to,
    references_in,
    restore,
    stands_for,
    with_references,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BASE64 = st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
DATA_URLS = st.builds(lambda kind, text: f"data:{kind};base64,{text}", TEXTS, BASE64)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | BASE64 | DATA_URLS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    reference, data = refer_to(value)
    restored = restore(reference, data)
    assert json.dumps(restored) == json.dumps(value)
    assert (reference.size, stands_for(reference, value)) == (len(data), True)
    assert read_reference(reference.to_json(url="/v1")) == reference


@given(VALUES, VALUES)
def test_a_reference_stands_for_no_other_value(value: Any, other: Any) -> None:
    reference, _ = refer_to(value)
    assert stands_for(reference, other) == (json.dumps(value) == json.dumps(other))


@given(st.lists(VALUES, max_size=4))
def test_references_are_found_and_replaced_wherever_they_are(values: list[Any]) -> None:
    references = [refer_to(value)[0] for value in values]
    held = {"a": [each.to_json() for each in references], "b": {"c": "x"}}
    assert list(references_in(held)) == references
    by_sha256 = {reference.sha256: refer_to(value)[1] for reference, value in zip(references, values, strict=True)}
    assert json.dumps(with_references(held, lambda each: restore(each, by_sha256[each.sha256]))) == json.dumps(
        {"a": values, "b": {"c": "x"}}
    )


@pytest.mark.parametrize(
    ("value", "media_type", "encoding", "prefix"),
    [
        (base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode(), "image/png", "base64", ""),
        (base64.b64encode(b"\xff\xd8\xff.").decode(), "image/jpeg", "base64", ""),
        (base64.b64encode(b"RIFF....WEBP").decode(), "image/webp", "base64", ""),
        (base64.b64encode(b"%PDF-1.7").decode(), "application/pdf", "base64", ""),
        (base64.b64encode(b"\x00\x01\x02").decode(), "application/octet-stream", "base64", ""),
        ("data:image/gif;base64,R0lGODlh", "image/gif", "base64", "data:image/gif;base64,"),
        ("data:;base64,R0lGODlh", "image/gif", "base64", "data:;base64,"),
        ("data:text/html,<b>", "text/plain; charset=utf-8", "text", ""),
        ("words that are none", "text/plain; charset=utf-8", "text", ""),
        ("AB==", "text/plain; charset=utf-8", "text", ""),
        ({"rows": [1, 2.5]}, "application/json", "json", ""),
    ],
)
def test_a_reference_says_what_the_bytes_are(value: Any, media_type: str, encoding: str, prefix: str) -> None:
    reference, _ = refer_to(value)
    assert (reference.media_type, reference.encoding, reference.prefix) == (media_type, encoding, prefix)


@pytest.mark.parametrize("name", ["media_type", "mediaType", "mime_type", "mimeType"])
def test_what_is_stated_beside_the_base64_counts_if_it_is_a_media_type(name: str) -> None:
    text = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
    assert refer_to(text, {name: "image/x-mine", "data": text})[0].media_type == "image/x-mine"
    assert refer_to(text, {name: "not one\r\n", "data": text})[0].media_type == "image/png"
    assert refer_to(text, {name: {"a": 1}, "data": text})[0].media_type == "image/png"


def test_other_bytes_are_not_restored() -> None:
    reference, data = refer_to("x")
    with pytest.raises(ValueError, match="not the bytes"):
        restore(reference, data + b"y")


GOOD: dict[str, Any] = {"sha256": "0" * 64, "size": 1, "mediaType": "image/png", "encoding": "base64"}


@pytest.mark.parametrize(
    "value",
    [
        {FIELD: GOOD, "more": 1},
        {FIELD: [GOOD]},
        {FIELD: {**GOOD, "more": 1}},
        {FIELD: {**GOOD, "size": -1}},
        {FIELD: {**GOOD, "size": 1.0}},
        {FIELD: {**GOOD, "sha256": "0" * 63}},
        {FIELD: {**GOOD, "sha256": "A" * 64}},
        {FIELD: {**GOOD, "prefix": "x\n"}},
        {FIELD: {**GOOD, "upload": "a/../b"}},
        {FIELD: {**GOOD, "mediaType": "a/b" * 50}},
    ],
)
def test_what_only_looks_like_a_reference_is_none(value: Any) -> None:
    with pytest.raises(NotAReference):
        read_reference(value)
    assert find_reference(value) is None
    assert find_reference({FIELD: GOOD}) == Reference("0" * 64, 1, "image/png", "base64")
