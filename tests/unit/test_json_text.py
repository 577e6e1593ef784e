"""JSON in: what is no JSON, or could not be given back exactly, is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.errors import InvalidInput, InvalidJson
from annals.json_text import MAX_DEPTH, MAX_DIGITS, dump, parse
from tests.support.strategies import json_values


@given(json_values)
def test_any_json_value_survives_being_written_and_read(value: Any) -> None:
    assert dump(parse(dump(value))) == dump(value)
    assert parse(json.dumps(value)) == value  # with every other character escaped


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", "[1,]", "nul", "'a'", "\ufeff1"])
def test_what_rfc_8259_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        parse(text)


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\uDC00x"', '{"\\ud83d": 1}', '["\\ude00\\ud83d"]', '"\ud800"'])
def test_half_of_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        parse(text)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("text", [b'"\xff"', '{"a": 1}'.encode("utf-16")])
def test_bytes_that_are_no_utf_8_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse(text)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400 + ".0", "9" * (MAX_DIGITS + 1), "9" * 5000])
def test_a_number_that_could_not_be_given_back_is_refused(number: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(f'{{"n": [{number}]}}')
    assert refused.value.code == "INVALID_FORMAT"


@pytest.mark.parametrize("number", ["9" * MAX_DIGITS, "-" + "9" * 20, "9007199254740993", "0.1", "5e-324", "1.5e300"])
def test_a_number_that_can_be_given_back_is_given_back(number: str) -> None:
    assert dump(parse(number)) == str(json.loads(number))


def _nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_allowed_to_its_limit_and_not_beyond(opening: str, closing: str) -> None:
    assert parse(_nested(MAX_DEPTH, opening, closing))
    assert parse(f"[{_nested(MAX_DEPTH - 1, opening, closing)}, [], []]")
    for depth in (MAX_DEPTH + 1, 1_000, 100_000):
        with pytest.raises(InvalidInput) as refused:
            parse(_nested(depth, opening, closing))
        assert refused.value.code == "INVALID_FORMAT"


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(parse("[" + ",".join(["[]"] * 1_000) + "]")) == 1_000
    assert parse(dump("[" * 1_000)) == "[" * 1_000


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_whatever_comes_is_parsed_or_refused_by_name(text: str | bytes) -> None:
    with suppress(InvalidJson, InvalidInput):
        parse(text)
