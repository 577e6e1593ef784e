"""How candidates are ranked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annals.search.dates import NamedDate
from annals.search.fusion import HYBRID, LEXICAL, NEAREST, rank, scale_scores
from annals.search.protocol import Candidates
from annals.search.queries import ParsedQuery
from tests.fakes.search import NOON, memory

QUERY = ParsedQuery(terms=("dog",), text="dog")


def _candidates(*names: str, **lists: dict[str, float]) -> Candidates:
    return Candidates(documents={name: memory(name, "a dog barks") for name in names}, **lists)


def _order(candidates: Candidates, query: ParsedQuery = QUERY) -> list[str]:
    return [each.document.memory_id for each in rank(candidates, query, HYBRID)]


def test_a_list_is_scaled_over_itself() -> None:
    assert scale_scores({"a": 4.0, "b": 2.0, "c": 3.0}) == {"a": 1.0, "b": 0.0, "c": 0.5}
    assert scale_scores({"a": 4.0, "b": 2.0}, floor=0.0) == {"a": 1.0, "b": 0.5}
    assert scale_scores({"a": 4.0}) == {"a": 1.0}
    assert scale_scores({}) == {}


def test_a_list_longer_than_a_hundred_is_scaled_as_its_best_hundred_are() -> None:
    scores = {str(number): float(number) for number in range(300)}
    long, short = scale_scores(scores), scale_scores({str(number): float(number) for number in range(200, 300)})
    assert {name: long[name] for name in short} == short
    assert long["0"] == 0


def test_what_several_lists_hold_comes_before_what_one_holds() -> None:
    candidates = _candidates(
        "a", "b", lexical={"a": 2.0, "b": 1.9}, own={"b": 0.9, "a": 0.1}, window={"b": 0.9, "a": 0.1}
    )
    assert _order(candidates) == ["b", "a"]


def test_a_message_gains_by_the_next_one() -> None:
    candidates = _candidates("c:1", "d:5", "c:2", lexical={"c:1": 1.0, "d:5": 1.0, "c:2": 2.0})
    ranked = {each.document.memory_id: each for each in rank(candidates, QUERY, HYBRID)}
    assert ranked["c:1"].parts["next"] == pytest.approx(0.25 * HYBRID.lexical)
    assert ranked["d:5"].parts["next"] == 0
    assert ranked["c:1"].score > ranked["d:5"].score


def test_the_speaker_whom_the_question_is_about_is_preferred() -> None:
    candidates = _candidates("a", "b", lexical={"a": 1.0, "b": 1.0})
    documents = {"a": candidates.documents["a"], "b": replace(candidates.documents["b"], speaker="Ann")}
    candidates = replace(candidates, documents=documents)
    assert _order(candidates, replace(QUERY, speaker="Ann")) == ["b", "a"]


def test_a_named_date_decides_between_equals() -> None:
    then, later = memory("a", "a dog", at=NOON), memory("b", "a dog", at=NOON + 90 * 86_400_000)
    candidates = Candidates(documents={"a": then, "b": later}, lexical={"a": 1.0, "b": 1.0})
    assert _order(candidates, replace(QUERY, date=NamedDate(6))) == ["a", "b"]
    assert _order(candidates) == ["b", "a"]  # of equals, the newer


def test_when_is_answered_by_messages_that_say_a_time() -> None:
    documents = {"a": memory("a", "The dog ran two weeks ago."), "b": memory("b", "The dog ran in the green park.")}
    candidates = Candidates(documents=documents, lexical={"a": 1.0, "b": 1.0})
    assert _order(candidates, replace(QUERY, is_when_question=True)) == ["a", "b"]


def test_long_answers_come_before_short_ones_and_questions() -> None:
    documents = {
        "short": memory("short", "A dog."),
        "question": memory("question", "And what does your dog like?"),
        "long": memory("long", "My dog likes walks in the rain."),
    }
    candidates = Candidates(documents=documents, lexical=dict.fromkeys(documents, 1.0))
    assert _order(candidates) == ["long", "question", "short"] or _order(candidates) == ["long", "short", "question"]
    parts = {each.document.memory_id: each.parts for each in rank(candidates, QUERY, HYBRID)}
    assert parts["question"]["question"] < 0 == parts["short"]["question"]


def test_length_counts_no_more_beyond_a_hundred_words() -> None:
    documents = {"a": memory("a", "dog " * 100), "b": memory("b", "dog " * 5_000)}
    ranked = rank(Candidates(documents=documents), QUERY, HYBRID)
    assert ranked[0].score == ranked[1].score


@pytest.mark.parametrize("weights", [HYBRID, LEXICAL, NEAREST])
def test_scores_lie_between_nothing_and_one_and_fall(weights: object) -> None:
    names = [f"c:{number}" for number in range(1, 50)]
    scores = {name: float(index) for index, name in enumerate(names)}
    candidates = Candidates(
        documents={name: memory(name, "dog " * index + "?") for index, name in enumerate(names)},
        lexical=scores,
        own=scores,
        window=scores,
    )
    totals = [each.score for each in rank(candidates, QUERY, weights)]  # type: ignore[arg-type]
    assert totals == sorted(totals, reverse=True)
    assert all(0 <= score <= 1 for score in totals)


def test_the_parts_decide_the_order() -> None:
    candidates = _candidates("c:1", "c:2", lexical={"c:1": 1.0, "c:2": 0.4}, own={"c:1": 0.3, "c:2": 0.2})
    totals = [sum(each.parts.values()) for each in rank(candidates, QUERY, HYBRID)]
    assert totals == sorted(totals, reverse=True)
    assert set(rank(candidates, QUERY, HYBRID)[0].parts) == {
        "lexical", "own", "window", "next", "speaker", "length", "question", "date", "time",
    }  # fmt: skip
