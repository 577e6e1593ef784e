"""Reranked searches, over the functions' real events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from annals.memory import adapters
from tests.fakes.search import FakeReranker
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

TURN = {
    "memorySpaceId": "home",
    "userId": "ada",
    "conversationId": "garden",
    "userMessage": "The bees in the garden are humming.",
    "agentResponse": "So the garden has bees.",
}
ASKED = {"query": "Which bees are in the garden?", "explain": True}

Rerank = Callable[[Mapping[str, float] | None], FakeReranker]


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as found:
        yield found


@pytest.fixture
def filled(api: Api, stream: Stream) -> Api:
    """A client of a tenant in which two turns were said."""
    assert api.post("/v1/memory/remember", TURN).status == 201
    stream.deliver_ledger()
    return api


@pytest.fixture
def rerank(monkeypatch: pytest.MonkeyPatch) -> Rerank:
    """Has a model score texts."""

    def begin(scores: Mapping[str, float] | None) -> FakeReranker:
        model = FakeReranker(scores)
        monkeypatch.setattr(adapters, "reranker", lambda: model)
        return model

    return begin


def test_nobody_reranks_unless_it_is_set(filled: Api) -> None:
    hits = filled.post("/v1/memory/search", ASKED).json["items"]
    assert len(hits) == 2
    assert not any("rerank" in hit["explanation"] for hit in hits)


@pytest.mark.parametrize("place", [0, 1])
def test_the_model_decides_and_the_explanation_shows_by_how_much(filled: Api, rerank: Rerank, place: int) -> None:
    model = rerank({})
    filled.post("/v1/memory/search", ASKED)
    ((query, texts),) = model.requests
    rerank({texts[place]: 1.0})

    hits = filled.post("/v1/memory/search", ASKED).json["items"]

    assert query == ASKED["query"]
    assert texts[place].endswith(hits[0]["content"])
    assert hits[0]["explanation"]["rerank"] > hits[1]["explanation"]["rerank"] == 0
    assert 1 >= hits[0]["score"] >= hits[1]["score"] >= 0


def test_a_search_goes_on_without_a_model_that_does_not_answer(
    filled: Api, rerank: Rerank, caplog: pytest.LogCaptureFixture
) -> None:
    before = filled.post("/v1/memory/search", ASKED).json
    rerank(None)
    assert filled.post("/v1/memory/search", ASKED).json == before
    assert "not reranked" in caplog.text
