"""What the resources promise of facts, on every search index: found by meaning and by filters, as of any time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from annals.access.caller import Caller
from annals.memory import adapters
from annals.memory.facts.fact_documents import filter_terms, to_fact_document
from annals.memory.facts.fact_items import DatedFact, StoredFact
from annals.memory.facts.fact_lists import FactFilter, list_facts
from annals.memory.index_pages import visible_scope, walk_pages
from annals.memory.memories.models import SearchFilter
from annals.memory.memories.search_filters import memory_scope
from annals.memory.recall.memory_search import search_memories
from annals.memory.recall.models import Recall, Search
from annals.memory.recall.recalling import recall
from annals.search import Filters, SearchRequest, index_documents, search
from annals.search.protocol import SearchIndex
from tests.fakes.search import NOON, SPACE, TENANT, FakeEmbedder, memory

CALLER = Caller(TENANT, "key", frozenset({"read"}))
DAY = 86_400_000
OLD, NEW, LATER = "An automobile of 1920.", "An automobile of 2020.", "A puppy."


def _fact(name: str, text: str, since: int, **more: Any) -> StoredFact:
    about = {"fact_type": "Thing", "confidence": 90, "subject": "Ada  L.", "predicate": "owns", "object": "it"}
    fields = {"tenant": TENANT, "memory_space_id": SPACE, "created_at": since, "valid_from": since, **about, **more}
    return StoredFact(fact_id=f"fact-{name}", fact=text, **fields)


@pytest.fixture(autouse=True)
def _facts(index: SearchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ada owned one automobile, owns another, and Bob a puppy; and there was talk of automobiles."""
    monkeypatch.setattr(adapters, "index", lambda: index)
    monkeypatch.setattr(adapters, "embedder", FakeEmbedder)
    old, new = _fact("old", OLD, NOON), _fact("new", NEW, NOON + DAY, tags=("first",), metadata={"deep": {"x": 1}})
    pet = _fact("pet", LATER, NOON + 2 * DAY, fact_type="animal", subject="Bob", user_id="bob")
    elsewhere = _fact("away", "An automobile elsewhere.", NOON, memory_space_id="away")
    dated = [DatedFact(old, new), DatedFact(new), DatedFact(pet), DatedFact(elsewhere)]
    talk = [memory(f"talk-{number}", "An automobile, said somebody.") for number in range(1, 31)]
    documents = [*map(to_fact_document, dated), *talk]
    assert index_documents(index, FakeEmbedder(), documents) == []
    index.refresh()


def _listed(**conditions: Any) -> list[str]:
    return [fact["fact"] for fact in list_facts(CALLER, FactFilter(memory_space_id=SPACE, **conditions), 50, None)[0]]


def _search(query: str, **conditions: Any) -> list[str]:
    request = Search(query=query, memorySpaceId=SPACE, filter=SearchFilter(contentType="fact", **conditions))
    return [hit["content"] for hit in search_memories(CALLER, request)]


def test_a_fact_is_found_by_its_meaning_and_what_is_superseded_is_not() -> None:
    assert _search("car")[0] == NEW
    assert OLD not in _search("car")
    assert _search("car", status="superseded") == [OLD]


def test_a_search_finds_a_fact_with_all_that_it_says() -> None:
    [hit] = search_memories(CALLER, Search(query="car", filter=SearchFilter(tags=["first"])))
    fact = hit["fact"]
    assert (fact["factId"], fact["subject"], fact["predicate"]) == ("fact-new", "Ada  L.", "owns")
    assert (hit["metadata"], fact["metadata"], fact["tags"]) == ({"deep": {"x": 1}}, {"deep": {"x": 1}}, ["first"])


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"fact_type": "THING"}, {NEW}),
        ({"fact_type": "animal"}, {LATER}),
        ({"subject": "ada l.", "predicate": "Owns"}, {NEW}),
        ({"subject": "bob", "fact_type": "thing"}, set()),
    ],
)
def test_a_search_is_narrowed_by_what_facts_name(index: SearchIndex, named: dict[str, str], expected: set[str]) -> None:
    filters = Filters(content_type="fact", metadata=filter_terms(named))
    request = SearchRequest(scope=visible_scope(CALLER, SPACE, filters), query="car puppy")
    assert {hit.document.content for hit in search(index, FakeEmbedder(), request)} == expected


def test_a_list_shows_the_facts_that_nothing_has_superseded_the_latest_first() -> None:
    assert _listed() == [LATER, NEW]
    assert _listed(include_superseded=True) == [LATER, NEW, OLD]
    assert _listed(terms={"fact_type": "Animal"}) == _listed(user_id="bob") == [LATER]


@pytest.mark.parametrize(
    ("at", "expected"), [(-1, []), (0, [OLD]), (DAY - 1, [OLD]), (DAY, [NEW]), (2 * DAY, [LATER, NEW])]
)
def test_a_list_shows_the_facts_that_held_at_a_time(at: int, expected: list[str]) -> None:
    assert _listed(at=NOON + at) == expected


def test_a_list_goes_on_after_the_position_that_it_returns() -> None:
    conditions = FactFilter(include_superseded=True)
    seen, position = [], None
    for _ in range(4):
        items, position = list_facts(CALLER, conditions, 1, position)
        seen += [fact["fact"] for fact in items]
    assert (seen[:2], set(seen[2:]), position) == ([LATER, NEW], {OLD, "An automobile elsewhere."}, None)


def test_recall_has_room_for_facts_among_many_messages() -> None:
    recalled = recall(CALLER, Recall(query="Which car?", memorySpaceId=SPACE, limit=5))
    assert len(recalled["items"]) == 5
    assert recalled["facts"][0]["fact"] == NEW
    assert OLD not in recalled["context"]


def test_a_fact_that_holds_again_is_found_again(index: SearchIndex) -> None:
    old = _fact("old", OLD, NOON)
    assert index_documents(index, FakeEmbedder(), [to_fact_document(DatedFact(old))]) == []
    index.delete(TENANT, ["fact-new"])
    index.refresh()
    assert _search("car")[0] == OLD
    assert _listed(terms={"subject": "ada l."}) == [OLD]


def test_pages_of_memories_hold_each_once_facts_among_them() -> None:
    scope = memory_scope(CALLER, SPACE, SearchFilter())
    everything = replace(scope, filters=replace(scope.filters, status=("active", "superseded")))
    ids = [document.memory_id for page in walk_pages(everything, 7) for document in page]
    assert (len(ids), len(set(ids))) == (33, 33)
    assert {"fact-old", "fact-new", "fact-pet"} < set(ids)
