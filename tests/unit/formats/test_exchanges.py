"""Exchanges: which messages stand together, in every provider's shape."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.formats.exchanges import group_exchanges, without_torn_exchanges
from annals.formats.messages import to_annals
from tests.support.exchanges import (
    ASKED,
    FUNCTION_CALL,
    FUNCTION_RESULT,
    REDACTED,
    REPLIED,
    Provided,
    anthropic_call,
    anthropic_result,
    bedrock_call,
    bedrock_result,
    gemini_call,
    gemini_result,
    histories,
    item_call,
    item_result,
    openai_call,
    openai_result,
    to_stored,
    ui_tool,
    unpaired,
)


def groups(messages: Sequence[Provided]) -> list[tuple[tuple[int, ...], bool]]:
    """The positions of each group, and whether it is whole."""
    return [(group.positions, group.is_whole) for group in group_exchanges([to_annals(each) for each in messages])]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (openai_call("a"), openai_result("a")),
        (anthropic_call("a"), anthropic_result("a")),
        (bedrock_call("a"), bedrock_result("a")),
        (gemini_call("look"), gemini_result("look")),
        (item_call("a"), item_result("a")),
        (FUNCTION_CALL, FUNCTION_RESULT),
        ({"role": "assistant", "content": "I look."}, {"role": "tool", "content": "seen"}),
    ],
    ids=["OpenAI", "Anthropic", "Bedrock", "Gemini", "Responses", "functions", "words alone"],
)
def test_a_call_and_its_result_are_one_group_in_every_shape(call: Provided, result: Provided) -> None:
    assert groups([ASKED, call, result, REPLIED]) == [((0,), True), ((1, 2), True), ((3,), True)]


@pytest.mark.parametrize(
    ("call", "results"),
    [
        (openai_call("a", "b"), [openai_result("a"), openai_result("b")]),
        (anthropic_call("a", "b"), [anthropic_result("a"), anthropic_result("b")]),
        (anthropic_call("a", "b"), [anthropic_result("b", "a")]),
        (bedrock_call("a", "b"), [bedrock_result("a", "b")]),
        (gemini_call("look", "look"), [gemini_result("look"), gemini_result("look")]),
        (gemini_call("look", "listen"), [gemini_result("listen", "look")]),
    ],
)
def test_parallel_calls_stand_with_all_of_their_results(call: Provided, results: list[Provided]) -> None:
    whole = tuple(range(1, len(results) + 2))
    assert groups([ASKED, call, *results, REPLIED]) == [((0,), True), (whole, True), ((whole[-1] + 1,), True)]


@pytest.mark.parametrize(
    "messages",
    [
        [openai_call("a", "b"), openai_result("a")],
        [anthropic_call("a", "b"), anthropic_result("a")],
        [gemini_call("look", "listen"), gemini_result("look")],
        [item_call("a"), item_result("a"), item_result("b")][1:],
        [openai_result("a"), openai_call("a")],
        [ui_tool("input-available")],
        [FUNCTION_RESULT],
        [openai_call("a"), REDACTED],
        [REDACTED, {"role": "tool", "content": "seen"}],
        [openai_call("a", "b"), openai_result("a"), REDACTED],
    ],
)
def test_what_lacks_its_call_or_a_result_is_left_out(messages: list[Provided]) -> None:
    left = without_torn_exchanges(to_stored(messages))
    assert all(message == REDACTED for message in left)


def test_a_result_much_later_stands_with_its_call() -> None:
    between = [ASKED, REPLIED] * 20
    assert groups([openai_call("a"), *between, openai_result("a")])[-1] == ((0, 41), True)


def test_an_id_that_comes_again_belongs_to_the_turn_that_it_is_in() -> None:
    turn = [ASKED, openai_call("call_0"), openai_result("call_0"), REPLIED]
    assert [group for group, _ in groups(turn * 3) if len(group) > 1] == [(1, 2), (5, 6), (9, 10)]


def test_a_call_and_its_result_within_one_message_are_whole() -> None:
    assert groups([ASKED, ui_tool("output-available")]) == [((0,), True), ((1,), True)]


def test_messages_without_tools_stand_alone() -> None:
    assert [group.is_exchange for group in group_exchanges([ASKED, REPLIED, ASKED])] == [False] * 3


@given(histories)
def test_nothing_that_is_left_is_torn(messages: list[Provided]) -> None:
    history = to_stored(messages)
    left = without_torn_exchanges(history)
    assert unpaired(left) == []
    assert without_torn_exchanges(left) == left
    assert [message for message in history if any(message is each for each in left)] == left


@given(histories)
def test_every_message_is_in_one_group(history: list[Provided]) -> None:
    positions = [position for group in group_exchanges(to_stored(history)) for position in group.positions]
    assert sorted(positions) == list(range(len(history)))


@given(histories, st.integers(0, 20))
def test_groups_do_not_change_with_what_was_said_before_them(messages: list[Provided], start: int) -> None:
    history = to_stored(messages)
    later = history[start:]
    if any(group.unmatched for group in group_exchanges(later)):
        return
    shown = [json.dumps([history[position] for position in group.positions]) for group in group_exchanges(history)]
    own = [json.dumps([later[position] for position in group.positions]) for group in group_exchanges(later)]
    assert shown[len(shown) - len(own) :] == own
