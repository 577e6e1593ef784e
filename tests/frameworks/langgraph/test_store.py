"""Items in Annals: what LangGraph's own suite of stores, which runs beside this, does not ask."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from graphs import config_of
from langchain_core.embeddings import Embeddings
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore, GetOp, PutOp, SearchOp

from annals_client.errors import InvalidArgument
from annals_client.integrations.langgraph import AnnalsSaver, AnnalsStore
from annals_client.testing import Annals, AsyncAnnals

ADA = ("memories", "ada")


class Letters(Embeddings):
    """Counts letters, in 32 dimensions."""

    def embed_query(self, text: str) -> list[float]:
        return [float(text.count(chr(ord("a") + number))) for number in range(32)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


@pytest.fixture
def store(annals: Annals) -> AnnalsStore:
    return AnnalsStore(annals)


def keys(found: list[Any]) -> list[str]:
    return [item.key for item in found]


def test_a_node_finds_what_another_process_remembered(store: AnnalsStore, annals: Annals) -> None:
    store.put(ADA, "tea", {"likes": "oolong"})

    def recall(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
        return {"messages": [("ai", str(store.search(ADA)[0].value["likes"]))]}

    graph = StateGraph(MessagesState).add_node(recall).add_edge(START, "recall")
    compiled: Any = graph.compile(checkpointer=AnnalsSaver(annals), store=AnnalsStore(annals))

    assert compiled.invoke({"messages": [("user", "?")]}, config_of("t"))["messages"][-1].content == "oolong"


async def test_both_kinds_of_methods_see_the_same(annals: Annals, async_annals: AsyncAnnals) -> None:
    await AnnalsStore(annals).aput(ADA, "1", {"n": 1})
    AnnalsStore(async_annals).put(ADA, "2", {"n": 2})

    assert keys(await AnnalsStore(async_annals).asearch(ADA)) == ["1", "2"]
    assert keys(AnnalsStore(annals).search(ADA)) == ["1", "2"]


def test_an_item_keeps_when_it_was_made(store: AnnalsStore) -> None:
    store.put(ADA, "tea", {"n": 1})
    first = store.get(ADA, "tea")
    time.sleep(0.01)
    store.put(ADA, "tea", {"n": 2})
    second = store.get(ADA, "tea")

    assert first
    assert second
    assert second.created_at == first.created_at < second.updated_at
    assert second.value == {"n": 2}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"n": {"$gt": 1}}, ["b", "c"]),
        ({"n": {"$gte": 1, "$lt": 3}}, ["a", "b"]),
        ({"n": {"$lte": 1}}, ["a"]),
        ({"n": {"$ne": 2}}, ["a", "c", "d"]),
        ({"n": 2, "tag": "x"}, ["b"]),
        ({"day": {"$gte": "2024-05-02"}}, ["b", "c"]),
        ({"flag": True}, ["a"]),
        ({"flag": None}, ["c", "d"]),
        ({"deep": {"er": {"$eq": "y"}}}, ["c"]),
        ({"list": [1, 2]}, ["d"]),
        ({"tag": ""}, ["d"]),
        ({"n": {"$gt": 5}}, []),
    ],
)
def test_filters_compare_numbers_and_texts(store: AnnalsStore, wanted: dict[str, Any], found: list[str]) -> None:
    store.put(ADA, "a", {"n": 1, "tag": "x", "day": "2024-05-01", "flag": True})
    store.put(ADA, "b", {"n": 2, "tag": "x", "day": "2024-05-02", "flag": False})
    store.put(ADA, "c", {"n": 3, "tag": "y", "day": "2024-05-03", "deep": {"er": "y"}})
    store.put(ADA, "d", {"tag": "", "list": [1, 2]})

    assert keys(store.search(("memories",), filter=wanted)) == found


def test_an_unknown_operator_is_refused(store: AnnalsStore) -> None:
    store.put(ADA, "a", {"n": 1})
    with pytest.raises(ValueError, match=r"\$near"):
        store.search(ADA, filter={"n": {"$near": 1}})


def test_a_search_of_many_items_finds_all_of_them(store: AnnalsStore) -> None:
    store.batch([PutOp(("many", str(number % 7)), f"{number:03}", {"n": number}) for number in range(500)])

    assert len(store.search(("many",), limit=1000)) == 500
    assert len(store.search(("many",), filter={"n": {"$gte": 490}}, limit=1000)) == 10
    pages = [item.key for offset in range(0, 500, 70) for item in store.search(("many",), limit=70, offset=offset)]
    assert sorted(pages) == [f"{number:03}" for number in range(500)]
    assert store.list_namespaces(prefix=("many",)) == [("many", str(number)) for number in range(7)]


def test_what_has_run_out_is_not_shown_and_a_read_has_its_time_begin_anew(annals: Annals) -> None:
    store = AnnalsStore(annals, ttl={"default_ttl": 2 / 60, "refresh_on_read": True})
    store.put(ADA, "read", {"n": 1})
    store.put(ADA, "found", {"n": 2})
    store.put(ADA, "left", {"n": 3})
    store.put(ADA, "kept", {"n": 4}, ttl=None)
    for _ in range(6):
        time.sleep(0.7)
        assert store.get(ADA, "read")
        store.search(ADA, filter={"n": 2})

    assert keys(store.search(ADA, refresh_ttl=False)) == ["found", "kept", "read"]
    assert store.get(ADA, "left") is None


def test_a_value_of_any_size_comes_back(store: AnnalsStore) -> None:
    for size in (500_000, 3_000_000):
        store.put(ADA, "large", {"text": "tea " * (size // 4)})
        item = store.get(ADA, "large")
        assert item
        assert len(item.value["text"]) == size


def test_what_is_no_json_is_refused(store: AnnalsStore) -> None:
    with pytest.raises(InvalidArgument):
        store.put(ADA, "a", {"when": object()})
    assert store.get(ADA, "a") is None


def test_reads_of_a_batch_see_what_was_before_its_writes(store: AnnalsStore) -> None:
    store.put(ADA, "a", {"n": 1})

    results = store.batch([PutOp(ADA, "a", {"n": 2}), GetOp(ADA, "a"), PutOp(ADA, "a", {"n": 3}), SearchOp(ADA)])

    assert results[1].value == {"n": 1}  # type: ignore[union-attr]
    assert [item.value for item in results[3]] == [{"n": 1}]  # type: ignore[union-attr]
    assert store.get(ADA, "a").value == {"n": 3}  # type: ignore[union-attr]


def test_a_search_by_meaning_follows_what_is_changed_and_deleted(annals: Annals) -> None:
    embedding = Letters()
    store = AnnalsStore(annals, index={"dims": 32, "embed": embedding, "fields": ["text"]})
    other = AnnalsStore(annals, index={"dims": 32, "embed": embedding, "fields": ["text"]})
    for key in ("tea", "coffee", "milk"):
        store.put(ADA, key, {"text": key})
    assert keys(other.search(ADA, query="coffee", limit=1)) == ["coffee"]

    store.put(ADA, "coffee", {"text": "water"})
    store.put(ADA, "milk", {"text": "coffee"}, index=False)
    store.delete(ADA, "tea")
    found = other.search(ADA, query="coffee")

    assert keys(found) == ["coffee", "milk"]
    assert found[0].score is not None
    assert found[0].score < 0.99
    assert found[1].score is None


def test_embeddings_of_other_dimensions_are_refused_and_nothing_is_stored(annals: Annals) -> None:
    store = AnnalsStore(annals, index={"dims": 8, "embed": Letters()})
    with pytest.raises(ValueError, match="32 dimensions"):
        store.put(ADA, "a", {"text": "tea"})
    assert AnnalsStore(annals).get(ADA, "a") is None


def test_a_users_items_are_in_their_export_and_go_with_them(annals: Annals, tmp_path: Path) -> None:
    store = AnnalsStore(annals, user_id=lambda namespace: namespace[1])
    store.put(ADA, "tea", {"likes": "oolong"})
    store.put(("memories", "bob"), "coffee", {"likes": "coffee"})

    annals.users.export("ada", tmp_path / "ada.jsonl")
    annals.users.erase("ada")

    assert "oolong" in (tmp_path / "ada.jsonl").read_text()
    assert [item.namespace for item in store.search(())] == [("memories", "bob")]
