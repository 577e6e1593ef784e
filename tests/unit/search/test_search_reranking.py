"""The second look at the best hits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from annals.search.fusion import Ranked, order_by_parts
from annals.search.reranking import MAX_RERANKED, WEIGHT, rerank_hits
from tests.fakes.search import FakeReranker, memory


def ranking(*contents: str) -> list[Ranked]:
    """Hits in this order, each a bit worse than the one before."""
    documents = {f"c:{place}": memory(f"c:{place}", content) for place, content in enumerate(contents, 1)}
    parts = {name: {"lexical": 1 - place / 1000} for place, name in enumerate(documents)}
    return order_by_parts(documents, parts, best_total=2.0)


def contents(ranked: Sequence[Ranked]) -> list[str]:
    return [each.document.content for each in ranked]


def test_the_model_decides_between_the_best() -> None:
    model = FakeReranker({"bees": 0.9, "dogs": 0.5})
    hits = rerank_hits(ranking("cats", "dogs", "bees"), "What hums?", model, best_total=2.0)
    assert contents(hits) == ["bees", "dogs", "cats"]
    assert [each.parts.get("rerank") for each in hits] == [WEIGHT, pytest.approx(WEIGHT * 0.5 / 0.9), 0]
    assert model.requests == [("What hums?", ["cats", "dogs", "bees"])]


def test_parts_add_up_to_scores_between_nothing_and_one() -> None:
    hits = rerank_hits(ranking("cats", "bees"), "What hums?", FakeReranker({"bees": 1.0}), best_total=2.0)
    assert [each.score for each in hits] == [sum(each.parts.values()) / (2 + WEIGHT) for each in hits]
    assert all(0 <= each.score <= 1 for each in hits)


def test_hits_after_those_it_reads_stay_after_them() -> None:
    names = [f"text {number}" for number in range(MAX_RERANKED + 5)]
    hits = rerank_hits(ranking(*names), "?", FakeReranker({names[MAX_RERANKED - 1]: 1.0}), best_total=2.0)
    assert contents(hits) == [names[MAX_RERANKED - 1], *names[: MAX_RERANKED - 1], *names[MAX_RERANKED:]]
    assert ["rerank" in each.parts for each in hits] == [True] * MAX_RERANKED + [False] * 5


def test_a_model_that_sees_no_difference_changes_nothing() -> None:
    before = ranking("cats", "dogs", "bees")
    assert contents(rerank_hits(before, "?", FakeReranker({}), best_total=2.0)) == contents(before)


def test_without_an_answer_the_ranking_stays_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    before = ranking("a secret", "dogs")
    assert rerank_hits(before, "a secret question", FakeReranker(None), best_total=2.0) == before
    assert "not reranked" in caplog.text
    assert "secret" not in caplog.text


def test_texts_without_a_word_are_not_shown() -> None:
    model = FakeReranker({"dogs": 1.0})
    assert contents(rerank_hits(ranking("🎉", "cats", "dogs"), "?", model, best_total=2.0)) == ["dogs", "🎉", "cats"]
    assert model.requests == [("?", ["cats", "dogs"])]
    assert rerank_hits(ranking("🎉"), "?", model, best_total=2.0) == ranking("🎉")


def test_a_model_is_shown_who_speaks() -> None:
    model = FakeReranker({})
    documents = {"c:1": memory("c:1", "I keep bees.", speaker="Ada")}
    rerank_hits(order_by_parts(documents, {"c:1": {}}, 1.0), "?", model, best_total=1.0)
    assert model.requests == [("?", ["Ada: I keep bees."])]


def test_a_failure_that_is_not_the_models_is_not_hidden() -> None:
    class Broken(FakeReranker):
        def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
            raise KeyError(query)

    with pytest.raises(KeyError):
        rerank_hits(ranking("cats"), "?", Broken({}), best_total=2.0)
