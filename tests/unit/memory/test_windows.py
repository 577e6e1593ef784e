"""Whoever shows a part of a conversation shows exchanges whole: for any history, any budget, whatever was redacted."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from annals.answers import Room
from annals.conversations.genesis import get_genesis
from annals.conversations.read import get_tail
from annals.formats.tokens import estimate_message
from annals.formats.tools import results_of
from annals.formats.turns import is_question, is_reply
from annals.ledger.append import append
from annals.ledger.exchanges import MAX_CALL_DISTANCE, last_seq_outside_exchanges, split_torn, walk_groups
from annals.ledger.history import MessageRange, read_page
from annals.ledger.keys import conversation_pk
from annals.ledger.marks import archive
from annals.ledger.messages import Message, new_message
from annals.ledger.redact import redact
from annals.ledger.runs import last_runs
from annals.memory.recall.context_window import context_window
from annals.memory.recall.recent_messages import recent_messages
from annals.memory.recall.windows import Budget, fit_newest, tokens_of_messages
from annals.memory.streaming.prompt import RecalledContext, build_prompt, tokens_of_history
from tests.support import stack
from tests.support.exchanges import (
    ASKED,
    REPLIED,
    Provided,
    anthropic_call,
    anthropic_result,
    histories,
    openai_call,
    openai_result,
    say_all,
    to_stored,
    ui_tool,
    unpaired,
)
from tests.support.ledgers import new_conversation

TENANT = "windows"
numbers = count()

pytestmark = pytest.mark.usefixtures("module_moto")

few = settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Without making a failing example smaller, which takes minutes on a database."""


def new_history(messages: list[Provided], redacted: Collection[int] = ()) -> str:
    """A conversation of these messages, of which some are redacted; its id."""
    stack.empty_moto()
    conversation_id = f"conv-{next(numbers)}"
    new_conversation(TENANT, conversation_id)
    say_all(TENANT, messages, conversation_id)
    for position in redacted:
        if position < len(messages):
            redact(TENANT, conversation_id, [position + 1], "asked for", "key-1")
    return conversation_id


def all_of(conversation_id: str) -> list[Message]:
    pk, tail = conversation_pk(TENANT, conversation_id), get_tail(TENANT, conversation_id)
    return read_page(pk, tail, MessageRange(forward=True, after=0), 1000).messages


def context(conversation_id: str, tokens: int, **how: Any) -> Any:
    return context_window(TENANT, conversation_id, get_tail(TENANT, conversation_id), tokens, **how)


def recent(conversation_id: str, budget: Budget, **how: Any) -> Any:
    genesis = get_genesis(TENANT, conversation_id)
    return recent_messages(genesis, get_tail(TENANT, conversation_id), budget, **how)


def seqs(messages: Any) -> list[int]:
    return [message["seq"] for message in messages]


redactions = st.sets(st.integers(0, 25), max_size=3)
tool_calls = st.sampled_from(["all", "unfinished"])


@few
@given(histories, st.integers(1, 400), redactions, tool_calls)
def test_a_context_is_whole_chronological_within_its_budget_and_says_what_it_leaves_out(
    history: list[Provided], budget: int, redacted: set[int], shown_calls: Any
) -> None:
    conversation_id = new_history(history, redacted)
    window = context(conversation_id, budget, tool_calls=shown_calls)
    messages, omitted = window["messages"], window["omitted"]
    assert unpaired(messages) == []
    assert seqs(messages) == sorted(seqs(messages))
    assert window["tokens"] == sum(map(estimate_message, messages)) <= budget
    assert (window["total"], window["included"]) == (len(history), len(messages))
    assert omitted["count"] == window["total"] - window["included"]
    named = {*omitted["tooLarge"], *omitted.get("unpaired", ())}
    assert named.isdisjoint(message["messageId"] for message in messages)


@few
@given(histories, st.integers(1, 12), redactions, tool_calls)
def test_recalled_history_is_whole_and_no_longer_than_asked_for(
    history: list[Provided], limit: int, redacted: set[int], shown_calls: Any
) -> None:
    conversation_id = new_history(history, redacted)
    window = recent(conversation_id, Budget(10**7, tokens_of_messages, limit), tool_calls=shown_calls)
    assert unpaired(window.messages) == []
    assert len(window.messages) <= limit
    assert seqs(window.messages) == sorted(seqs(window.messages))


@few
@given(histories, st.integers(1, 12), redactions, tool_calls)
def test_a_prompt_has_whole_exchanges_and_takes_the_tokens_that_are_counted(
    history: list[Provided], limit: int, redacted: set[int], shown_calls: Any
) -> None:
    conversation_id = new_history(history, redacted)
    window = recent(conversation_id, Budget(150, tokens_of_history, limit), tool_calls=shown_calls)
    assert unpaired(window.messages) == []
    assert window.size == tokens_of_history(window.messages) <= 150
    prompt = build_prompt(None, RecalledContext(history=window.messages), "And now?")
    shown = sum(message.content.startswith(("[Call", "[Result")) for message in prompt.messages)
    assert shown == sum(len(results_of(message)) for message in window.messages)


@few
@given(histories, st.integers(1, 4), redactions)
def test_the_last_runs_have_whole_exchanges(history: list[Provided], runs: int, redacted: set[int]) -> None:
    conversation_id = new_history(history, redacted)
    pk, tail = conversation_pk(TENANT, conversation_id), get_tail(TENANT, conversation_id)
    found, _ = last_runs(pk, tail, runs)
    whole, left_out = split_torn(found)
    assert unpaired(whole) == []
    assert len(whole) + len(left_out) == len(found)


@few
@given(histories.filter(bool), st.integers(1, 20), st.integers(1, 300))
def test_what_is_archived_cuts_no_exchange(history: list[Provided], up_to: int, budget: int) -> None:
    conversation_id = new_history(history)
    pk, tail = conversation_pk(TENANT, conversation_id), get_tail(TENANT, conversation_id)
    before = {each["messageId"] for each in split_torn(all_of(conversation_id))[0]}
    point = last_seq_outside_exchanges(pk, tail, min(up_to, tail.seq))
    assert point <= up_to
    if point:
        archive(TENANT, conversation_id, point, "key-1")
    after = split_torn([each for each in all_of(conversation_id) if each["seq"] > point])[0]
    assert {each["messageId"] for each in after} == {each for each in before if int(each[4:]) > point}
    assert unpaired(context(conversation_id, budget)["messages"]) == []


BIG = "seen " * 400


def test_an_exchange_over_the_whole_budget_is_left_out_and_older_messages_still_come() -> None:
    turn = [openai_call("a", "b"), openai_result("a"), openai_result("b", BIG)]
    window = context(new_history([ASKED, *turn, REPLIED]), 100)
    assert seqs(window["messages"]) == [1, 5]
    assert window["omitted"] == {"count": 3, "tooLarge": ["msg-004"]}


def test_parallel_calls_that_fit_only_in_part_end_the_window() -> None:
    turn = [openai_call("a", "b"), openai_result("a"), openai_result("b", "seen " * 50)]
    conversation_id = new_history([ASKED, *turn, REPLIED])
    exchange = sum(map(estimate_message, all_of(conversation_id)[1:4]))
    for budget in range(exchange, exchange + 10):
        shown = seqs(context(conversation_id, budget)["messages"])
        assert shown in ([5], [2, 3, 4, 5])


@pytest.mark.parametrize("position", [1, 2, 3])
def test_an_exchange_of_which_something_is_redacted_goes_as_a_whole_and_is_named(position: int) -> None:
    history = [ASKED, openai_call("a", "b"), openai_result("a"), openai_result("b"), REPLIED]
    window = context(new_history(history, {position}), 1000)
    assert seqs(window["messages"]) == [1, 5]
    rest = [f"msg-{seq:03d}" for seq in (2, 3, 4) if seq != position + 1]
    assert sorted(window["omitted"]["unpaired"]) == rest


def test_a_result_far_behind_its_call_is_shown_with_it_as_far_as_it_is_looked_for() -> None:
    for distance, shown in [(250, True), (MAX_CALL_DISTANCE + 250, False)]:
        conversation_id = f"conv-{next(numbers)}"
        new_conversation(TENANT, conversation_id)
        say_all(TENANT, [ASKED, openai_call("a")], conversation_id)
        append(TENANT, conversation_id, [new_message(REPLIED) for _ in range(distance)])
        say_all(TENANT, [openai_result("a")], conversation_id)
        window = context(conversation_id, 10**6)
        assert unpaired(window["messages"]) == []
        assert ({2, distance + 3} <= set(seqs(window["messages"]))) is shown
        assert len(window["messages"]) == distance + (3 if shown else 1)


def test_orphans_all_along_a_conversation_cost_no_other_exchange() -> None:
    turn = [ASKED, openai_call("a"), openai_result("a"), openai_result("none"), REPLIED]
    conversation_id = f"conv-{next(numbers)}"
    new_conversation(TENANT, conversation_id)
    append(TENANT, conversation_id, [new_message(body) for body in to_stored(turn * 250)])
    window = context(conversation_id, 10**6)
    assert window["included"] == 4 * 250
    assert len(window["omitted"]["unpaired"]) == 250


def test_groups_come_once_and_newest_first() -> None:
    history = [openai_call("a"), openai_call("b"), ASKED, openai_result("b"), openai_result("a"), REPLIED] * 3
    conversation_id = new_history(history)
    pk, tail = conversation_pk(TENANT, conversation_id), get_tail(TENANT, conversation_id)
    for page_size in (1, 2, 5, 100):
        groups = [seqs(group.messages) for group in walk_groups(pk, tail, page_size=page_size)]
        assert sorted(seq for group in groups for seq in group) == list(range(1, 19))
        assert [group[-1] for group in groups] == sorted((group[-1] for group in groups), reverse=True)


def window_without_calls(history: list[Provided], budget: int = 10**6) -> Any:
    return context(new_history(history), budget, tool_calls="unfinished")


def test_calls_of_finished_turns_are_left_out_on_request_and_what_that_saves_is_said() -> None:
    turn = [ASKED, openai_call("a"), openai_result("a", BIG), REPLIED]
    conversation_id = new_history([*turn, ASKED, openai_call("b"), openai_result("b")])
    everything, window = context(conversation_id, 10**6), context(conversation_id, 10**6, tool_calls="unfinished")
    assert seqs(everything["messages"]) == [1, 2, 3, 4, 5, 6, 7]
    assert seqs(window["messages"]) == [1, 4, 5, 6, 7]
    assert window["toolTokensSaved"] == everything["tokens"] - window["tokens"] > 400
    assert "toolTokensSaved" not in everything


@pytest.mark.parametrize(
    "turn",
    [
        [ASKED, anthropic_call("a"), anthropic_result("a"), REPLIED],
        [
            ASKED,
            openai_call("a", "b"),
            openai_result("a"),
            openai_result("b"),
            openai_call("c"),
            openai_result("c"),
            REPLIED,
        ],
        [{**ASKED, "runId": "r"}, {**openai_call("a"), "runId": "r"}, openai_result("a"), {**REPLIED, "runId": "r"}],
        [ASKED, {**openai_call("a"), "runId": "r"}, {**openai_result("a"), "runId": "r"}, {**REPLIED, "runId": "r"}],
    ],
)
def test_a_finished_turn_is_its_question_and_its_reply(turn: list[Provided]) -> None:
    window = window_without_calls(turn * 2)
    assert [is_question(message) or is_reply(message) for message in window["messages"]] == [True] * 4
    assert window["toolTokensSaved"] > 0


def test_a_reply_with_its_calls_in_one_message_is_shown_without_them() -> None:
    window = window_without_calls([ASKED, ui_tool("output-available", "A river.")])
    assert window["messages"][1]["parts"] == [{"type": "text", "text": "I look."}, {"type": "text", "text": "A river."}]
    assert window["messages"][1]["content"] == "I look.\nA river."
    assert window["toolTokensSaved"] > 0
    unfinished = window_without_calls([ASKED, ui_tool("output-available")])
    assert len(unfinished["messages"][1]["parts"]) == 2


def test_without_calls_a_reply_never_stands_without_its_question() -> None:
    history = [ASKED, openai_call("a"), openai_result("a"), REPLIED] * 5
    conversation_id = new_history(history)
    for budget in range(1, 120, 5):
        roles = [each["role"] for each in context(conversation_id, budget, tool_calls="unfinished")["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_greeting_without_a_question_is_shown() -> None:
    assert seqs(window_without_calls([REPLIED, ASKED, REPLIED])["messages"]) == [1, 2, 3]


def test_turns_of_runs_that_interleave_are_told_apart() -> None:
    def of(run: str, message: Provided) -> Provided:
        return {**message, "runId": run}

    history = [
        of("r", ASKED), of("s", ASKED), of("r", openai_call("a")), of("s", openai_call("b")),
        of("s", openai_result("b")), of("s", REPLIED), of("r", openai_result("a")),
    ]  # fmt: skip
    assert seqs(window_without_calls(history)["messages"]) == [1, 2, 3, 6, 7]


def test_what_is_being_answered_is_left_out_and_named() -> None:
    conversation_id = new_history([ASKED, REPLIED, ASKED])
    pk, tail = conversation_pk(TENANT, conversation_id), get_tail(TENANT, conversation_id)
    window = fit_newest(walk_groups(pk, tail), Budget(10**6, tokens_of_messages), Room(), in_answer=[3])
    assert (seqs(window.messages), window.being_answered) == ([1, 2], ["msg-003"])


def test_agents_among_themselves_ask_no_question_and_are_shown_one_by_one() -> None:
    history = [REPLIED, openai_call("a"), openai_result("a")] + [REPLIED] * 60
    conversation_id = new_history(history)
    window = context(conversation_id, 100, tool_calls="unfinished")
    assert seqs(window["messages"]) == list(range(64 - 100 // 6, 64))
    window = context(conversation_id, 10**6, tool_calls="unfinished")
    assert seqs(window["messages"]) == [1, *range(4, 64)]
    assert window["toolTokensSaved"] > 0
