"""What reaches the embedding model on the way into an index, and what does not: embedded, and a real OpenSearch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annals.errors import EmbeddingUnavailable, OutOfTime
from annals.providers.joint_embedding import JointEmbedder, in_caller_part, in_model_part
from annals.search import Hit, Scope, SearchRequest, index_documents, search
from annals.search.documents import Document
from annals.search.profiles import MAX_VECTOR_CHARS, EmbeddingProfile
from annals.search.protocol import SearchIndex
from annals.search.splitting import MAX_PARTS, split_text
from tests.contract.conftest import Make
from tests.fakes.search import TENANT, FakeEmbedder, memory

ENTRY_BYTES = 380_000


def embedded_texts(index: SearchIndex, *documents: Document, profile: EmbeddingProfile | None = None) -> list[str]:
    """The texts that the model gets when these documents are indexed."""
    embedder = FakeEmbedder()
    assert index_documents(index, embedder, documents, profile=profile) == []
    return embedder.embedded


def test_what_is_indexed_already_is_not_embedded_again(index: SearchIndex) -> None:
    document = memory("c:2", "a dog", window="before\na dog", speaker="Ann")
    assert sorted(embedded_texts(index, document)) == ["Ann: a dog", "before\na dog"]
    assert embedded_texts(index, document) == []


def test_a_changed_window_embeds_the_window_alone(index: SearchIndex) -> None:
    document = memory("c:2", "a dog", window="before\na dog", speaker="Ann")
    embedded_texts(index, document)
    assert embedded_texts(index, replace(document, window="a dog")) == ["a dog"]


def test_changed_metadata_embed_nothing(index: SearchIndex) -> None:
    document = memory("c:2", "a dog", window="before\na dog")
    embedded_texts(index, document)
    assert embedded_texts(index, replace(document, metadata={"mood": "good"}, importance=80)) == []
    assert [hit.document.importance for hit in find_hits(index, "puppy")] == [80]


def test_equal_texts_of_a_batch_are_embedded_once(index: SearchIndex) -> None:
    assert embedded_texts(index, *(memory(f"c:{number}", "yes") for number in range(1, 30))) == ["yes"]


def test_the_vectors_of_another_index_of_the_model_are_used(index: SearchIndex, other: SearchIndex) -> None:
    document = memory("c:2", "a dog", window="before\na dog")
    embedded_texts(other, document)
    embedder = FakeEmbedder()
    assert index_documents(index, embedder, [document], reuse_from=[other]) == []
    index.refresh()
    assert embedder.embedded == []
    assert [hit.document.memory_id for hit in find_hits(index, "puppy")] == ["c:2"]


def find_hits(index: SearchIndex, query: str) -> list[Hit]:
    index.refresh()
    return search(index, FakeEmbedder(), SearchRequest(scope=Scope(tenant=TENANT), query=query))


def test_a_meaning_that_is_only_in_the_last_part_of_a_long_text_is_found(index: SearchIndex) -> None:
    long = f"{'We talked about nothing at all. ' * 1250}At last we bought an automobile."
    assert len(long) > 40_000
    other = [memory(f"m{number}", f"Nothing of note, number {number}.") for number in range(20)]
    texts = embedded_texts(index, memory("long", long), *other)
    assert max(map(len, texts)) <= MAX_VECTOR_CHARS
    hits = find_hits(index, "car")
    assert hits[0].document.memory_id == "long"


def test_a_text_that_the_model_does_not_take_fails_alone(index: SearchIndex) -> None:
    embedder = FakeEmbedder(refuses="poison")
    documents = [memory(f"c:{number}", "poison" if number == 3 else f"dog {number}") for number in range(1, 6)]
    (failure,) = index_documents(index, embedder, documents)
    assert (failure.memory_id, failure.reason) == ("c:3", "The model does not answer.")
    assert index.find_fingerprints(TENANT, [f"c:{number}" for number in range(1, 6)]).keys() == {
        "c:1",
        "c:2",
        "c:4",
        "c:5",
    }


def test_a_text_whose_window_the_model_does_not_take_goes_without_it_until_it_does(index: SearchIndex) -> None:
    document = memory("c:2", "a dog", window="poison\na dog")
    assert index_documents(index, FakeEmbedder(refuses="poison"), [document]) == []
    assert [hit.document.memory_id for hit in find_hits(index, "puppy")] == ["c:2"]
    assert embedded_texts(index, document) == ["poison\na dog"]


def test_a_text_that_the_model_does_not_take_is_distinguished_from_a_model_that_is_down(index: SearchIndex) -> None:
    embedder = FakeEmbedder(refuses="poison")
    assert [failure.memory_id for failure in index_documents(index, embedder, [memory("a", "poison")])] == ["a"]
    embedder.down = True
    with pytest.raises(EmbeddingUnavailable):
        index_documents(index, embedder, [memory("a", "poison")])


def test_what_was_indexed_before_the_time_was_over_is_kept(index: SearchIndex) -> None:
    documents = [memory(f"c:{number}", f"dog {number}", window="") for number in range(1, 12)]
    ids = [document.memory_id for document in documents]
    for rounds in (1, 2):
        times = iter([True, False])
        with pytest.raises(OutOfTime):
            index_documents(index, FakeEmbedder(), documents, batch=5, has_time=lambda times=times: next(times))
        assert len(index.find_fingerprints(TENANT, ids)) == rounds * 5
    assert embedded_texts(index, *documents) == [documents[-1].content]


def test_a_long_text_is_cut_after_sentences_and_nothing_of_it_is_lost() -> None:
    text = "The first is short. " + "A sentence of some length follows here! " * 40
    parts = split_text(text, 200)
    assert "".join(parts) == text
    assert all(100 <= len(part) <= 200 for part in parts[:-1])
    assert all(part.endswith(("! ", ". ")) for part in parts[:-1])


def test_a_text_without_a_sentence_is_cut_after_words_and_one_without_words_anywhere() -> None:
    assert split_text("abc def ghi jkl", 8) == ["abc def ", "ghi jkl"]
    assert split_text("x" * 20, 8) == ["x" * 8, "x" * 8, "x" * 4]


def test_the_largest_entry_has_a_vector_for_each_of_its_parts() -> None:
    parts = split_text("word " * (ENTRY_BYTES // 5), MAX_VECTOR_CHARS)
    assert sum(map(len, parts)) == ENTRY_BYTES
    assert len(parts) <= MAX_PARTS


def test_vectors_of_callers_and_of_the_model_stand_in_one_index_and_are_never_alike(make: Make) -> None:
    embedder = JointEmbedder(FakeEmbedder(), 4)
    index, dimensions = make("joint"), FakeEmbedder.dimensions + 4
    index.ensure(model=embedder.model, dimensions=dimensions)
    east = tuple(in_caller_part([1, 0, 0], 4, dimensions))
    given = replace(memory("c:1", "a dog"), vectors=(east,), window_vector=east)
    assert index_documents(index, embedder, [given, memory("c:2", "a dog")]) == []
    index.refresh()
    for vector, expected in ((east, "c:1"), (in_model_part(FakeEmbedder().embed(["a dog"])[0], dimensions), "c:2")):
        request = SearchRequest(scope=Scope(tenant=TENANT), embedding=vector, with_callers_vectors=True)
        assert [hit.document.memory_id for hit in search(index, embedder, request)] == [expected]
