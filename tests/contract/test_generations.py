"""An index that is built beside the one in service and replaces it: embedded, and a real OpenSearch."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import pytest
from opensearchpy import OpenSearch

from annals.errors import ConfigurationError, SearchUnavailable
from annals.search import Scope, SearchRequest, index_documents, search
from annals.search.embedded.index import EmbeddedIndex
from annals.search.opensearch.index import OpenSearchIndex
from annals.search.protocol import RebuildableIndex
from tests.contract.conftest import Make
from tests.fakes.search import TENANT, FakeEmbedder, memory

ALL = Scope(tenant=TENANT)
FAKE = {"model": FakeEmbedder.model, "dimensions": FakeEmbedder.dimensions}


def fill(index: RebuildableIndex, *contents: str) -> None:
    assert index_documents(index, FakeEmbedder(), [memory(content, content) for content in contents]) == []
    index.refresh()


def find_ids(index: RebuildableIndex, query: str) -> set[str]:
    hits = search(index, FakeEmbedder(semantic=False), SearchRequest(scope=ALL, query=query))
    return {hit.document.memory_id for hit in hits}


def test_the_next_generation_is_apart_until_it_is_in_service(index: RebuildableIndex) -> None:
    fill(index, "old dog")
    new = index.ensure_next(**FAKE)
    fill(new, "new dog")
    assert (find_ids(index, "dog"), find_ids(new, "dog")) == ({"old dog"}, {"new dog"})
    index.switch_to(new)
    assert find_ids(index, "dog") == {"new dog"}
    assert index.find_next() is None
    index.drop_former()
    assert find_ids(index, "dog") == {"new dog"}


def test_others_that_have_the_index_open_find_the_next_one_after_the_switch(
    make: Make, index: RebuildableIndex
) -> None:
    fill(index, "old dog")
    other = make("index")
    assert find_ids(other, "dog") == {"old dog"}
    assert other.find_next() is None
    fill(index.ensure_next(**FAKE), "new dog")
    next_index = other.find_next()
    assert next_index is not None
    fill(next_index, "newer dog")
    index.switch_to(next_index)
    index.drop_former()
    fill(other, "newest dog")
    assert find_ids(other, "dog") == {"new dog", "newer dog", "newest dog"}


def test_a_search_finds_all_or_all_of_the_other_while_indexes_are_switched(make: Make, index: RebuildableIndex) -> None:
    names = [f"dog {number}" for number in range(5)]
    fill(index, *names)
    reader, stopping, seen, failures = make("index"), Event(), [], []

    def read() -> None:
        try:
            while not stopping.is_set():
                seen.append(reader.count(ALL))
        except Exception as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    thread = Thread(target=read)
    thread.start()
    try:
        for _ in range(3):
            fill(new := index.ensure_next(**FAKE), *names)
            index.switch_to(new)
    finally:
        stopping.set()
        thread.join()
    assert failures == []
    assert set(seen) == {5}


def test_a_rebuild_goes_on_where_it_stopped(make: Make, index: RebuildableIndex) -> None:
    new = index.ensure_next(**FAKE)
    assert new.get_progress() == ""
    fill(new, "dog")
    new.save_progress("here")
    again = make("index").ensure_next(**FAKE)
    assert again.get_progress() == "here"
    assert again.count(ALL) == 1
    assert again.find_profile() == index.find_profile()
    fill(again, "dog 2")


def test_an_index_that_somebody_else_has_put_in_service_is_not_replaced_by_one_that_is_not_whole(
    make: Make, index: RebuildableIndex
) -> None:
    fill(new := index.ensure_next(**FAKE), "dog")
    other = make("index")
    other.switch_to(new)
    other.ensure_next(**FAKE)
    index.switch_to(new)
    assert find_ids(index, "dog") == find_ids(other, "dog") == {"dog"}
    assert index.find_next() is not None


def test_a_rebuild_can_be_given_up(index: RebuildableIndex) -> None:
    fill(index, "dog")
    fill(index.ensure_next(**FAKE), "cat")
    index.drop_next()
    assert index.find_next() is None
    assert find_ids(index.ensure_next(**FAKE), "cat") == set()
    assert find_ids(index, "dog") == {"dog"}


def test_an_index_of_another_name_can_be_the_next_one_too(make: Make, index: RebuildableIndex) -> None:
    fill(index, "dog")
    successor = make("successor")
    name = getattr(index, "_path", None) or index._name  # type: ignore[attr-defined]
    new = successor.ensure_next(model="another", dimensions=3, beside=str(name))
    next_index = index.find_next()
    assert next_index is not None
    assert (
        next_index.find_profile()
        == new.find_profile()
        == {**index.find_profile(), "model": "another", "dimensions": "3"}
    )
    successor.switch_to(new)
    assert successor.find_profile()["model"] == "another"
    assert find_ids(index, "dog") == {"dog"}


def test_another_model_finds_an_index_of_its_own_or_is_refused(index: RebuildableIndex) -> None:
    with pytest.raises(ConfigurationError, match="EMBEDDINGS_MODEL"):
        index.ensure(model="another", dimensions=FakeEmbedder.dimensions)


def test_all_keys_are_listed_once_in_order(index: RebuildableIndex) -> None:
    documents = [memory(f"m{number}", "dog", tenant=tenant) for tenant in ("b", "a") for number in range(12)]
    assert index_documents(index, FakeEmbedder(), documents) == []
    index.refresh()
    keys: list[tuple[str, str]] = []
    while page := index.list_keys(limit=5, after=keys[-1] if keys else None):
        keys += page
    assert keys == sorted((each.tenant, each.memory_id) for each in documents)


@pytest.mark.opensearch
def test_an_index_that_has_the_plain_name_gives_way_to_an_alias(opensearch_url: str) -> None:
    client, index = OpenSearch(opensearch_url), OpenSearchIndex(opensearch_url, name="plain")
    body = client.indices.get_mapping(index=_create_like(opensearch_url))
    client.indices.create(index="plain", body=next(iter(body.values())) | {"settings": {"index": {"knn": True}}})
    assert find_ids(index, "dog") == set()
    fill(index, "old dog")
    fill(new := index.ensure_next(**FAKE), "new dog")
    index.switch_to(new)
    assert find_ids(index, "dog") == {"new dog"}
    assert list(client.indices.get_alias(name="plain")) == ["plain-000002"]
    index.drop()


def _create_like(url: str) -> str:
    """The name of another index like it."""
    like = OpenSearchIndex(url, name="like-plain")
    like.ensure(**FAKE)
    return "like-plain"


def test_the_files_of_former_indexes_are_deleted(tmp_path: Path) -> None:
    index, reader = EmbeddedIndex(tmp_path / "index.db"), EmbeddedIndex(tmp_path / "index.db")
    fill(index, "dog")
    for name in ("dog 1", "dog 2"):
        assert find_ids(reader, "dog")
        fill(new := index.ensure_next(**FAKE), name)
        index.switch_to(new)
        new.close()
        index.drop_former()
    assert find_ids(reader, "dog") == {"dog 2"}
    index.close()
    reader.close()
    assert {file.name for file in tmp_path.iterdir()} == {"index.db", "index.db.000002", "index.db.lock"}


def test_a_generation_that_was_given_up_is_neither_written_nor_put_in_service(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path / "index.db")
    fill(index, "dog")
    given_up = index.ensure_next(**FAKE)
    index.drop_next()
    with pytest.raises(SearchUnavailable, match="given up"):
        given_up.save_progress("here")
    fill(index.ensure_next(**FAKE), "cat")
    with pytest.raises(SearchUnavailable, match="given up"):
        given_up.save_progress("here")
    with pytest.raises(SearchUnavailable, match="given up"):
        index.switch_to(given_up)
    assert find_ids(index, "dog") == {"dog"}


def test_an_index_that_is_being_built_is_whole_before_anybody_else_finds_it(tmp_path: Path) -> None:
    index, other = EmbeddedIndex(tmp_path / "index.db"), EmbeddedIndex(tmp_path / "index.db")
    (tmp_path / "index.db.next").symlink_to("index.db.000001")
    assert other.find_next() is None
    index.ensure_next(**FAKE)
    next_index = other.find_next()
    assert next_index is not None
    assert next_index.find_profile()


def test_a_write_that_could_not_be_stored_leaves_the_index_to_others(tmp_path: Path) -> None:
    index, other = EmbeddedIndex(tmp_path / "index.db"), EmbeddedIndex(tmp_path / "index.db")
    with pytest.raises(SearchUnavailable, match="removed"):
        index.upsert([(memory("m1", "dog"), "1")])
    fill(other, "dog")
    fill(index, "cat")
    assert find_ids(other, "dog") == {"dog"}


def test_a_question_of_another_model_with_the_same_dimensions_is_refused(index: RebuildableIndex) -> None:
    fill(index, "dog")
    question = SearchRequest(scope=ALL, query="dog")
    assert search(index, FakeEmbedder(), question)
    with pytest.raises(ConfigurationError, match="EMBEDDINGS_MODEL"):
        search(index, FakeEmbedder(model="another"), question)
