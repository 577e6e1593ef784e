"""What is moved out of messages for which an entry has no room: enough, not too much, and nothing that people said."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from annals.formats.references import Reference, restore
from annals.json_text import dump
from annals.ledger.part_fields import WHOLE_CONTENT, has_same_parts, references_of, with_references_of
from annals.ledger.part_selection import LARGE_BYTES, MAX_PARTS, MovedPart, move_out

SIZES = st.sampled_from([0, 10, 3_000, 5_000, 20_000, 70_000, 200_000])
LETTERS = st.sampled_from(["a", "ü", "🦓", '"', "\n", "QUJD"])
TEXTS = st.builds(lambda letter, size: letter * size, LETTERS, SIZES)
PARTS = st.recursive(
    TEXTS | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"]), "content": TEXTS}, optional={"parts": PARTS})


def size_of(bodies: list[dict[str, Any]]) -> int:
    return sum(len(dump(body).encode()) for body in bodies)


def put_back(body: dict[str, Any], moved: list[MovedPart]) -> dict[str, Any]:
    data = {each.reference.sha256: each.data for each in moved}

    def value(reference: Reference) -> Any:
        return restore(reference, data[reference.sha256])

    whole = with_references_of(body, value)
    if WHOLE_CONTENT in whole:
        whole["content"] = whole.pop(WHOLE_CONTENT)
    return whole


@given(st.lists(BODIES, min_size=1, max_size=3), st.integers(1, 1_000_000))
def test_what_is_moved_is_enough_and_can_be_put_back(given_bodies: list[dict[str, Any]], excess: int) -> None:
    bodies = copy.deepcopy(given_bodies)
    before = size_of(bodies)
    moved = move_out(bodies, excess)
    if moved is None:
        assert bodies == given_bodies
        return
    assert before - size_of(bodies) >= excess
    assert 0 < len(moved) <= MAX_PARTS
    for index, (body, original) in enumerate(zip(bodies, given_bodies, strict=True)):
        own = [each for each in moved if each.body == index]
        assert put_back(body, own) == original
        assert has_same_parts(body, original)
        assert {each.reference for each in own} == set(references_of(body))
        if original["role"] == "user" and original.get("parts") is None:
            assert body == original


def test_a_large_text_goes_and_small_ones_beside_it_stay() -> None:
    body = {"role": "user", "content": "x", "parts": [{"text": "a " * 200_000}, {"text": "b " * 15_000}]}
    moved = move_out([body], 10_000)
    assert moved is not None
    assert [each.reference.size for each in moved] == [400_000]
    assert body["parts"][1] == {"text": "b " * 15_000}  # type: ignore[index]


def test_all_large_texts_of_an_entry_go_together() -> None:
    body = {"role": "user", "content": "x", "parts": ["a" * (LARGE_BYTES + 1_000), "b" * 300_000, "c" * 100_000]}
    moved = move_out([body], 1)
    assert moved is not None
    assert len(moved) == 3


def test_parts_that_hold_references_are_not_moved_as_a_whole() -> None:
    reference = Reference.of_text("x").to_json()
    body = {"role": "user", "content": "x", "parts": [reference, *["y" * 3_000 for _ in range(200)]]}
    before = copy.deepcopy(body)
    assert move_out([body], 300_000) is None
    assert body == before
