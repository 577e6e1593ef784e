"""Cursors: opaque to callers, refused when damaged."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from annals.errors import InvalidInput
from annals.http.cursors import read_cursor, write_cursor
from tests.support.strategies import texts

places = st.lists(st.booleans() | st.integers() | st.none() | texts, max_size=5)


@given(places)
def test_a_cursor_names_the_place_it_was_written_for(place: list[object]) -> None:
    assert read_cursor("history", write_cursor("history", *place), *map(type, place)) == place


@pytest.mark.parametrize("place", [[], ["1"], [1, 2], [None], [1.5]])
def test_a_cursor_whose_parts_have_other_types_is_refused(place: list[object]) -> None:
    with pytest.raises(InvalidInput):
        read_cursor("history", write_cursor("history", *place), int)


@given(places)
def test_a_cursor_of_another_list_is_refused(place: list[object]) -> None:
    _demand_refusal("conversations", write_cursor("history", *place))


@given(places, st.data())
def test_a_cursor_with_one_character_changed_is_refused(place: list[object], data: st.DataObject) -> None:
    cursor = write_cursor("history", *place)
    at = data.draw(st.integers(0, len(cursor) - 1))
    changed = cursor[:at] + data.draw(st.characters(exclude_categories=["Cs"])) + cursor[at + 1 :]
    assume(changed != cursor)
    _demand_refusal("history", changed)


@given(places, st.data())
def test_a_cursor_cut_short_or_drawn_out_is_refused(place: list[object], data: st.DataObject) -> None:
    cursor = write_cursor("history", *place)
    _demand_refusal("history", cursor[: data.draw(st.integers(0, len(cursor) - 1))])
    _demand_refusal("history", cursor + data.draw(st.text("aA0-_=! ", min_size=1, max_size=4)))


@pytest.mark.parametrize("text", ["5", "null", "[]", "{}", "true", '"x"', "[" * 50_000, "[[]]", '{"history":1}'])
def test_json_that_is_no_cursor_is_refused(text: str) -> None:
    _demand_refusal("history", urlsafe_b64encode(b"\0\0\0\0" + text.encode()).decode().rstrip("="))


@given(st.text(max_size=40))
def test_any_other_text_is_refused(text: str) -> None:
    _demand_refusal("history", text)


def _demand_refusal(kind: str, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_cursor(kind, cursor)
    assert (refused.value.code, refused.value.field) == ("INVALID_CURSOR", "cursor")
