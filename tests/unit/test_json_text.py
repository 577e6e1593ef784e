"""JSON in: what is no JSON, or could not be given back exactly, is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
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


@pytest.mark.parametrize(
    "number",
    ["1e-400", "-1e-400", "0.1000000000000000055", "9007199254740993.0", "1e999", "1e" + "9" * 30, "1e-" + "9" * 30,
     "0." + "0" * 400 + "1", "9" * (MAX_DIGITS + 1)],
)  # fmt: skip
def test_a_number_that_would_come_back_as_another_is_refused_by_the_name_of_its_field(number: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(f'{{"messages": [{{"metadata": {{"n": [0, {number}]}}}}]}}')
    assert (refused.value.code, refused.value.field) == ("INVALID_FORMAT", "messages[0].metadata.n[1]")


@pytest.mark.parametrize("number", ["0.10", "1E2", "1.50e3", "-0.0", "0e999999999999999999999", "0.0e-5", "100e-2"])
def test_a_number_that_is_written_otherwise_comes_back_equal(number: str) -> None:
    assert Decimal(dump(parse(number))) == (Decimal(number) if "999" not in number else 0)


def test_a_measure_is_the_nearest_double() -> None:
    assert parse('{"embedding": [0.1000000000000000055, 1e-400]}') == {"embedding": [0.1, 0.0]}


@pytest.mark.parametrize("number", ["1e400", "9" * (MAX_DIGITS + 1)])
def test_half_of_a_surrogate_pair_is_refused_beside_a_measure_beyond_all_doubles(number: str) -> None:
    with pytest.raises(InvalidJson):
        parse(f'{{"embedding": [{number}], "query": "\\ud800"}}')


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
def test_every_number_comes_back_equal_or_is_refused(number: Decimal) -> None:
    digits = f"{number:e}"
    with suppress(InvalidInput):
        assert Decimal(dump(parse(digits))) == Decimal(digits)


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
