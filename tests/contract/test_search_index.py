"""What every search index promises, tested with the ranking on top of it: embedded, and a real OpenSearch."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annals.access.caller import Caller
from annals.errors import ConfigurationError, EmbeddingUnavailable, InvalidInput, SearchUnavailable
from annals.memory.index_pages import visible_scope
from annals.search import Filters, Hit, Scope, SearchRequest, index_documents, profiles, search
from annals.search.documents import NOBODY, OWNED_SINCE, SOMEBODY, Document, Vector, user_owner, vector_digest
from annals.search.embedded.index import EmbeddedIndex
from annals.search.opensearch.index import OpenSearchIndex
from annals.search.profiles import EmbeddingProfile
from annals.search.protocol import SearchIndex
from tests.fakes.search import NOON, SPACE, TENANT, FakeEmbedder, memory

DAY = 86_400_000
ALL = Scope(tenant=TENANT)


def _fill(index: SearchIndex, *documents: Document, embedder: FakeEmbedder | None = None) -> None:
    assert index_documents(index, embedder or FakeEmbedder(), documents) == []
    index.refresh()


def _hits(
    index: SearchIndex,
    query: str,
    *,
    semantic: bool = True,
    tenant: str = TENANT,
    memory_spaces: frozenset[str] | None = None,
    memory_space_id: str | None = None,
    filters: Filters | None = None,
    for_user: str | None = None,
    **options: Any,
) -> list[Hit]:
    """What a caller finds who may see these spaces, or all."""
    caller = Caller(tenant, "key", frozenset({"read"}), memory_spaces)
    scope = visible_scope(caller, memory_space_id, filters, for_user)
    return search(index, FakeEmbedder(semantic=semantic), SearchRequest(scope=scope, query=query, **options))


def _ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.document.memory_id for hit in hits]


def _ids_by_words(index: SearchIndex, query: str, **more: Any) -> set[str]:
    """What is found by words alone."""
    return set(_ids(_hits(index, query, semantic=False, **more)))


# Finding


def test_words_are_found_by_their_stem(index: SearchIndex) -> None:
    _fill(index, memory("a", "We went hiking in the mountains."), memory("b", "Nothing of the kind."))
    assert _ids_by_words(index, "mountain hikes") == {"a"}


def test_meaning_is_found_without_a_common_word(index: SearchIndex) -> None:
    _fill(index, memory("a", "My automobile broke down."), memory("b", "The guitar is out of tune."))
    assert _ids(_hits(index, "car"))[0] == "a"


def test_an_answer_is_found_by_the_words_of_what_it_answers(index: SearchIndex) -> None:
    _fill(
        index,
        memory("c:1", "Which instrument do you play?"),
        memory("c:2", "The cello!", window="Which instrument do you play?\nThe cello!"),
    )
    assert "c:2" in _ids_by_words(index, "instrument")


def test_a_message_without_words_is_no_answer_to_the_words_before_it(index: SearchIndex) -> None:
    question = "Which instrument do you play?"
    _fill(index, memory("c:1", question), memory("c:2", "", window=question), memory("c:3", "\n", window=question))
    for semantic in (True, False):
        assert _ids(_hits(index, "instrument", semantic=semantic)) == ["c:1"]


def test_a_vector_of_the_callers_own_finds_by_itself(index: SearchIndex) -> None:
    embedder = FakeEmbedder()
    _fill(index, memory("a", "My puppy."), memory("b", "A song."))
    (vector,) = embedder.embed(["dog"])
    assert _ids(_hits(index, "", embedding=[3 * value for value in vector]))[0] == "a"


def test_a_hit_is_the_whole_document(index: SearchIndex) -> None:
    document = memory(
        "c1:7", "A dog, a cat and \0 emoji 🙂 e\u0301", speaker="Ann", role="user", user_id="u", agent_id="g",
        participant_id="p", thread_id="t", run_id="r", content_type="custom", source_type="tool", importance=0,
        tags=("x", "y"), metadata={"a": {"b": [1, 2.5, None]}, "_c": "d"}, digest="ab", version=3, updated_at=NOON + 1,
    )  # fmt: skip
    _fill(index, document)
    (hit,) = _hits(index, "cat")
    assert hit.document == replace(document, window="")
    assert "a **cat** and" in hit.snippet


def test_scores_fall_and_lie_between_nothing_and_one(index: SearchIndex) -> None:
    _fill(index, *(memory(f"c:{number}", f"dog {'barks ' * number}") for number in range(1, 30)))
    scores = [hit.score for hit in _hits(index, "dog barks")]
    assert len(scores) == 29
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_minimum_score_leaves_out_what_has_less(index: SearchIndex) -> None:
    _fill(index, *(memory(f"c:{number}", f"dog {'barks ' * number}") for number in range(1, 30)))
    scores = [hit.score for hit in _hits(index, "dog barks")]
    assert [hit.score for hit in _hits(index, "dog barks", min_score=scores[9])] == scores[:10]


def test_a_limit_ends_the_list_and_changes_nothing_else(index: SearchIndex) -> None:
    _fill(index, *(memory(f"c:{number}", f"dog number {number}") for number in range(1, 151)))
    assert _ids(_hits(index, "dog 7", limit=3)) == _ids(_hits(index, "dog 7", limit=100))[:3]
    assert len(_hits(index, "dog", limit=1000)) == 150


def test_a_hit_has_the_parts_of_its_score_on_request(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog"))
    (plain,), (explained,) = _hits(index, "dog"), _hits(index, "dog", explain=True)
    assert plain.parts is None
    assert explained.parts is not None
    assert explained.parts["lexical"] > 0


def test_the_speaker_that_a_question_names_is_preferred(index: SearchIndex) -> None:
    _fill(
        index,
        memory("a", "I painted a sunrise last year.", speaker="Caroline"),
        memory("b", "I painted a sunrise last year.", speaker="Melanie"),
    )
    assert index.list_speakers(ALL) == {"Caroline", "Melanie"}
    assert _ids(_hits(index, "What did Melanie paint?"))[0] == "b"
    assert _ids(_hits(index, "What did Caroline paint?"))[0] == "a"


def test_turns_of_a_named_month_are_found_without_a_common_word(index: SearchIndex) -> None:
    other = [memory(f"x:{number}", "We talked about the guitar.", at=NOON) for number in range(1, 5)]
    _fill(index, memory("march", "Nothing special.", at=NOON - 95 * DAY), *other)
    assert "march" in _ids_by_words(index, "What happened in March 2025?")
    assert "march" in _ids_by_words(index, "What happened on 10 March?")
    assert "march" not in _ids_by_words(index, "What happened in March 2024?")


# Texts in parts


def _in_parts(name: str, *vectors: Vector, **more: Any) -> Document:
    digests = tuple(f"{name}/{number}" for number in range(len(vectors)))
    return memory(name, "a long dog", vectors=vectors, vector_digests=digests, **more)


def _axis(number: int) -> Vector:
    return tuple(float(each == number) for each in range(FakeEmbedder.dimensions))


def _own(index: SearchIndex, vector: Sequence[float], scope: Scope = ALL, depth: int = 10) -> dict[str, float]:
    """The cosines of own vectors, by memory id."""
    return dict(index.find_candidates(scope, terms=[], vector=vector, dates=None, depth=depth).own)


def test_a_text_in_parts_is_found_by_any_of_them_and_once(index: SearchIndex) -> None:
    index.upsert([(_in_parts("long", _axis(0), _axis(1), _axis(2)), ""), (_in_parts("short", _axis(3)), "")])
    index.refresh()
    for axis in range(3):
        results = _own(index, _axis(axis))
        assert results == {"long": pytest.approx(1, abs=1e-4), "short": pytest.approx(0, abs=1e-4)}
    assert _ids(_hits(index, "", embedding=_axis(2)))[0] == "long"


def test_many_parts_take_no_other_documents_place(index: SearchIndex) -> None:
    index.upsert([(_in_parts("long", *[_axis(0)] * 40), "")])
    index.upsert([(_in_parts(f"m{number}", (0.6, 0.8, *[0.0] * 6)), "") for number in range(9)])
    index.refresh()
    assert len(_own(index, _axis(0), depth=10)) == 10


def test_filters_hold_for_parts(index: SearchIndex) -> None:
    index.upsert([(_in_parts(f"u{number}", _axis(0), _axis(1), user_id=f"u{number}"), "") for number in range(5)])
    index.refresh()
    scope = Scope(tenant=TENANT, filters=Filters(user_id="u3"))
    assert _own(index, _axis(1), scope).keys() == {"u3"}
    assert _own(index, _axis(1), Scope(tenant="other")) == {}


def test_a_document_in_parts_is_one_in_lists_and_counts(index: SearchIndex) -> None:
    documents = [_in_parts(f"m{number}", *[_axis(0)] * 5) for number in range(3)]
    index.upsert([(document, "") for document in documents])
    index.refresh()
    assert index.count(ALL) == 3
    assert len(index.list_documents(ALL, limit=10)) == 3


def test_parts_go_with_their_document(index: SearchIndex) -> None:
    index.upsert([(_in_parts(name, _axis(0), _axis(1), conversation_id=name), "") for name in "abc"])
    index.upsert([(_in_parts("a", _axis(2)), "")])
    index.delete(TENANT, ["b"])
    index.refresh()
    index.delete_conversation(TENANT, "c")
    index.refresh()
    assert _own(index, _axis(1)) == {"a": pytest.approx(0, abs=1e-4)}
    assert index.find_vectors(TENANT, ["a", "b", "c"]).keys() == {"a/0"}


def test_vectors_are_found_by_the_digests_of_their_texts(index: SearchIndex) -> None:
    document = _in_parts("a", _axis(0), (0.6, 0.8, *[0.0] * 6), window_vector=_axis(1), window_digest="w")
    index.upsert([(document, ""), (_in_parts("b", _axis(3)), ""), (memory("c", "x", vectors=(_axis(4),)), "")])
    results = index.find_vectors(TENANT, ["a", "c", "never there"])
    assert results.keys() == {"a/0", "a/1", "w"}
    assert results["a/1"] == pytest.approx((0.6, 0.8, *[0.0] * 6))
    assert (results["a/0"], results["w"]) == (_axis(0), _axis(1))
    assert index.find_vectors("other", ["a"]) == {}


def test_vectors_of_what_the_pipeline_stored_have_the_digests_of_their_texts(index: SearchIndex) -> None:
    _fill(index, memory("c:2", "dog", speaker="Ann", window="Who?\ndog"))
    digests = {vector_digest(FakeEmbedder.model, text) for text in ("Ann: dog", "Who?\ndog")}
    assert index.find_vectors(TENANT, ["c:2"]).keys() == digests


# Filters


FILTERED = {
    "user": (Filters(user_id="u1"), {"user_id": "u1"}, {"user_id": "u2"}),
    "one of several users": (Filters(user_id=("u0", "u1")), {"user_id": "u1"}, {"user_id": "u2"}),
    "agent": (Filters(agent_id="g1"), {"agent_id": "g1"}, {}),
    "participant": (Filters(participant_id="p1"), {"participant_id": "p1"}, {"participant_id": "P1"}),
    "conversation": (Filters(conversation_id="c1"), {"conversation_id": "c1"}, {"conversation_id": "c1:1"}),
    "thread": (Filters(thread_id="t1"), {"thread_id": "t1"}, {}),
    "run": (Filters(run_id="r1"), {"run_id": "r1"}, {}),
    "role": (Filters(role="user"), {"role": "user"}, {"role": "assistant"}),
    "content type": (Filters(content_type="fact"), {"content_type": "fact"}, {}),
    "source type": (Filters(source_type=("tool", "a2a")), {"source_type": "a2a"}, {}),
    "archived": (Filters(status="archived"), {"status": "archived"}, {}),
    "any status": (Filters(status=None, user_id="u1"), {"status": "archived", "user_id": "u1"}, {}),
    "any tag": (Filters(tags_any=("x", "y")), {"tags": ("y", "z")}, {"tags": ("z", "X")}),
    "all tags": (Filters(tags_all=("x", "y")), {"tags": ("y", "x", "z")}, {"tags": ("x",)}),
    "importance": (Filters(importance_min=60, importance_max=70), {"importance": 70}, {"importance": 71}),
    "least importance": (Filters(importance_max=0), {"importance": 0}, {"importance": 1}),
    "time": (Filters(since=NOON + 1, until=NOON + 2), {"at": NOON + 2}, {"at": NOON + 3}),
    "metadata": (Filters(metadata={"a.b": "x"}), {"metadata": {"a": {"b": "x"}}}, {"metadata": {"a": {"b": "X"}}}),
    "metadata number": (Filters(metadata={"n": 1}), {"metadata": {"n": 1.0}}, {"metadata": {"n": "1"}}),
    "metadata in": (Filters(metadata={"n": (1, 2)}), {"metadata": {"n": 2}}, {"metadata": {"n": 3}}),
    "metadata null": (Filters(metadata={"n": None}), {"metadata": {"n": None}}, {"metadata": {}}),
    "metadata list": (Filters(metadata={"n": "x"}), {"metadata": {"n": ["w", "x"]}}, {"metadata": {"n": ["w"]}}),
    "several": (Filters(user_id="u1", role="user"), {"user_id": "u1", "role": "user"}, {"user_id": "u1"}),
}


@pytest.mark.parametrize("semantic", [True, False], ids=["hybrid", "lexical"])
@pytest.mark.parametrize(("filters", "inside", "outside"), FILTERED.values(), ids=FILTERED.keys())
def test_a_filter_acts_inside_the_search(
    index: SearchIndex, filters: Filters, inside: dict[str, Any], outside: dict[str, Any], semantic: bool
) -> None:
    """Those to be found are the worst matches of all: taken from the unfiltered list, none would be found."""
    better = [memory(f"out{number}", "dog dog dog barks", **outside) for number in range(110)]
    expected = [memory(f"in{number}", f"a dog among {'many other words ' * 9}", **inside) for number in range(10)]
    index.upsert([(replace(each, vectors=((1.0, *[0.0] * 7),)), "") for each in better])
    index.upsert([(replace(each, vectors=((0.6, 0.8, *[0.0] * 6),)), "") for each in expected])
    index.refresh()
    embedding = (1.0, *[0.0] * 7) if semantic else None
    hits = _hits(index, "dog barks", semantic=semantic, filters=filters, limit=10, embedding=embedding)
    assert set(_ids(hits)) == {each.memory_id for each in expected}


def test_a_filter_that_leaves_twenty_of_thousands_finds_these_twenty(index: SearchIndex) -> None:
    """They are no better matches than all the others, by words and by vector."""
    documents = [
        memory(f"m{number}", "a dog", tags=("rare",) if number % 150 == 7 else (), vectors=(_axis(number % 8),))
        for number in range(3_000)
    ]
    assert index.upsert([(document, "") for document in documents]) == []
    index.refresh()
    scope = Scope(tenant=TENANT, filters=Filters(tags_any=("rare",)))
    expected = {document.memory_id for document in documents if document.tags}
    assert len(expected) == 20
    assert index.find_candidates(scope, terms=["dog"], vector=None, dates=None, depth=150).lexical.keys() == expected
    assert _own(index, _axis(0), scope, depth=150).keys() == expected


def test_a_filter_that_leaves_the_farthest_hundreds_finds_the_best_of_them(index: SearchIndex) -> None:
    near = [memory(f"near{number}", "x", role="user", vectors=(_axis(0),)) for number in range(1_500)]
    far = [memory(f"far{number}", "x", role="tool", vectors=(_axis(1),)) for number in range(300)]
    assert index.upsert([(document, "") for document in (*near, *far)]) == []
    index.refresh()
    results = _own(index, _axis(0), Scope(tenant=TENANT, filters=Filters(role="tool")), depth=150)
    assert len(results) == 150
    assert results.keys() <= {document.memory_id for document in far}


def test_archived_memories_are_not_found_by_default(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog", status="archived"), memory("b", "dog"))
    assert _ids(_hits(index, "dog")) == ["b"]


def test_a_name_in_a_filter_may_hold_anything(index: SearchIndex) -> None:
    name = "x' OR 1=1 -- \" * {}[]:^~\\ %_#\ud83d"
    _fill(index, memory("a", "dog", user_id=name, tags=(name,), metadata={"k.l'": name}), memory("b", "dog"))
    for filters in (Filters(user_id=name), Filters(tags_all=(name,)), Filters(metadata={"k.l'": name})):
        assert _ids(_hits(index, "dog", filters=filters)) == ["a"]


# Owners


U1 = user_owner("u1")
OTHERS = {"another's": user_owner("u2"), "somebody's": SOMEBODY, "one whose name is like it": user_owner("U1")}


@pytest.mark.parametrize("semantic", [True, False], ids=["hybrid", "lexical"])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_a_user_finds_what_is_the_user_s_or_nobody_s_inside_the_search(
    index: SearchIndex, other: str, semantic: bool
) -> None:
    """Those to be found are the worst matches of all: taken from everybody's list, none would be found."""
    better = [memory(f"out{number}", "dog dog dog barks", owner=other) for number in range(160)]
    expected = [
        memory(f"in{number}", f"a dog among {'many other words ' * 9}", owner=(U1, NOBODY)[number % 2])
        for number in range(10)
    ]
    index.upsert([(replace(each, vectors=(_axis(0),)), "") for each in better])
    index.upsert([(replace(each, vectors=((0.6, 0.8, *[0.0] * 6),)), "") for each in expected])
    index.refresh()
    embedding = _axis(0) if semantic else None
    hits = _hits(index, "dog barks", semantic=semantic, for_user="u1", limit=10, embedding=embedding)
    assert set(_ids(hits)) == {each.memory_id for each in expected}


def test_an_owner_may_have_any_name(index: SearchIndex) -> None:
    names = ["nobody", "somebody", "user=u1", "x' OR 1=1 -- \" * {}[]:^~\\ %_#\ud83d", "n" * 300, "n" * 301]
    _fill(index, *(memory(f"m{number}", "dog", owner=user_owner(name)) for number, name in enumerate(names)))
    for number, name in enumerate(names):
        assert _ids(_hits(index, "dog", for_user=name)) == [f"m{number}"]


def test_a_user_s_own_memories_of_no_space_are_found_in_every_space(index: SearchIndex) -> None:
    placeless = {"memory_space_id": "", "source_type": "user"}
    _fill(
        index,
        memory("own", "dog", **placeless, owner=U1),
        memory("another's", "dog", **placeless, owner=user_owner("u2")),
        memory("nobody's", "dog", **placeless, owner=NOBODY),
        memory("said", "dog", memory_space_id="", owner=U1),
        memory("here", "dog", memory_space_id="s1", owner=U1),
        memory("elsewhere", "dog", memory_space_id="s2", source_type="user", owner=U1),
    )
    for embedding in (None, _axis(1)):
        hits = _hits(index, "dog", for_user="u1", memory_space_id="s1", semantic=False, embedding=embedding)
        assert set(_ids(hits)) == {"own", "here"}
    assert _ids(_hits(index, "dog", memory_space_id="s1")) == ["here"]
    assert _ids(_hits(index, "dog", for_user="u2", memory_space_id="s3")) == ["another's"]
    assert set(_ids(_hits(index, "dog", for_user="u1"))) == {"own", "nobody's", "said", "here", "elsewhere"}


def test_who_may_see_some_spaces_finds_no_memory_of_no_space(index: SearchIndex) -> None:
    _fill(
        index,
        memory("own", "dog", memory_space_id="", source_type="user", owner=U1),
        memory("here", "dog", memory_space_id="s1", owner=U1),
    )
    spaces = frozenset({"s1"})
    assert _ids(_hits(index, "dog", for_user="u1", memory_spaces=spaces)) == ["here"]
    assert _ids(_hits(index, "dog", for_user="u1", memory_spaces=spaces, memory_space_id="s1")) == ["here"]
    assert _hits(index, "dog", for_user="u1", memory_spaces=spaces, memory_space_id="s2") == []


def test_a_user_s_turns_of_a_named_month_are_the_user_s(index: SearchIndex) -> None:
    _fill(
        index,
        memory("own", "Nothing special.", at=NOON - 95 * DAY, owner=U1),
        memory("other", "Nothing special.", at=NOON - 95 * DAY, owner=user_owner("u2")),
    )
    assert _ids(_hits(index, "What happened in March 2025?", semantic=False, for_user="u1")) == ["own"]


def test_filters_narrow_what_a_user_finds(index: SearchIndex) -> None:
    _fill(
        index,
        memory("own", "dog", owner=U1, user_id="u1"),
        memory("said by another", "dog", owner=U1, user_id="u2"),
        memory("another's", "dog", owner=user_owner("u2"), user_id="u2"),
    )
    assert _ids(_hits(index, "dog", for_user="u1", filters=Filters(user_id="u2"))) == ["said by another"]


def test_an_index_that_does_not_know_its_owners_finds_nothing_for_a_user(
    index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "INDEX_VERSION", OWNED_SINCE - 1)
    index.drop()
    _fill(index, memory("a", "dog"))
    assert _ids(_hits(index, "dog")) == ["a"]
    with pytest.raises(SearchUnavailable, match="rebuild"):
        _hits(index, "dog", for_user="u1")


# Tenants and spaces


def test_another_tenants_memories_are_never_found(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog", tenant="acme"), memory("a", "dog", tenant="other"))
    assert [hit.document.tenant for hit in _hits(index, "dog", tenant="other")] == ["other"]
    assert _hits(index, "dog", tenant="acm") == []
    assert _hits(index, "dog", tenant="acme#a") == []
    assert index.count(Scope(tenant="other")) == 1


def test_another_space_is_never_searched(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog", memory_space_id="s1"), memory("b", "dog", memory_space_id="s2"))
    assert _ids(_hits(index, "dog", memory_space_id="s1")) == ["a"]
    assert _ids(_hits(index, "dog", memory_spaces=frozenset({"s2"}))) == ["b"]
    assert _hits(index, "dog", memory_spaces=frozenset({"s2"}), memory_space_id="s1") == []
    assert _hits(index, "dog", memory_spaces=frozenset()) == []
    assert set(_ids(_hits(index, "dog"))) == {"a", "b"}


def test_speakers_of_another_space_are_not_known(index: SearchIndex) -> None:
    _fill(index, memory("a", "x", speaker="Ann", memory_space_id="s1"), memory("b", "x", speaker="Bob"))
    assert index.list_speakers(Scope(tenant=TENANT, spaces=frozenset({"s1"}))) == {"Ann"}
    assert index.list_speakers(Scope(tenant="other")) == frozenset()


def test_hostile_names_of_tenants_and_spaces_stay_what_they_are(index: SearchIndex) -> None:
    names = ["a", "a#b", "a b", 'a"b', "a'b", "a*", "a%23b", "A"]
    _fill(
        index, *(memory("m", f"dog {number}", tenant=name, memory_space_id=name) for number, name in enumerate(names))
    )
    for number, name in enumerate(names):
        for spaces in (None, frozenset({name})):
            (hit,) = _hits(index, "dog", tenant=name, memory_spaces=spaces)
            assert hit.document.content == f"dog {number}"
    assert index.count(Scope(tenant="a", spaces=frozenset({"a#b"}))) == 0


def test_a_search_over_very_many_spaces_finds_its_own(index: SearchIndex) -> None:
    _fill(index, *(memory(f"m{number}", "dog", memory_space_id=f"s{number}") for number in range(70)))
    expected = frozenset(f"s{number}" for number in range(60))
    assert set(_ids(_hits(index, "dog", memory_spaces=expected, limit=100))) == {f"m{number}" for number in range(60)}


# Hostile questions


@pytest.mark.parametrize(
    "query",
    ['"', "'", "dog OR", "dog AND NOT", "NEAR(dog cat)", "own : dog", "{own win} : dog", "^dog", "dog*", "(dog", "dog)",
     "scope : x OR dog", "dog; DROP TABLE memory", "dog\0cat", "dog\ud83d", "don't dog", "-dog", "+dog", "dog\n\r\t"],
)  # fmt: skip
@pytest.mark.parametrize("semantic", [True, False], ids=["hybrid", "lexical"])
def test_nothing_in_a_question_is_syntax(index: SearchIndex, query: str, semantic: bool) -> None:
    _fill(index, memory("a", "a dog, don't you see"), memory("x", "a dog", tenant="other"))
    results = _ids(_hits(index, query, semantic=semantic))
    assert results == (["a"] if "dog" in query else [])


@pytest.mark.parametrize("semantic", [True, False], ids=["hybrid", "lexical"])
def test_a_question_without_words_finds_nothing(index: SearchIndex, semantic: bool) -> None:
    _fill(index, memory("a", "a dog 🙂"))
    assert _hits(index, "🙂 ?!", semantic=semantic) == []


def test_a_question_of_question_words_is_left_to_the_vectors(index: SearchIndex) -> None:
    _fill(index, memory("a", "a dog"))
    assert _ids(_hits(index, "what is it?")) == ["a"]


def test_a_very_long_question_is_answered(index: SearchIndex) -> None:
    _fill(index, memory("a", "a dog"))
    assert _ids(_hits(index, "dog " + " ".join(f"word{number}" for number in range(20_000)))) == ["a"]


@pytest.mark.parametrize("embedding", [[], [0.1] * 7, [0.0] * 8, [math.nan] * 8, [math.inf] * 8])
def test_an_embedding_that_is_none_is_refused(index: SearchIndex, embedding: list[float]) -> None:
    with pytest.raises(InvalidInput) as refused:
        _hits(index, "dog", embedding=embedding)
    assert (refused.value.code, refused.value.field) == ("INVALID_EMBEDDING", "embedding")


def test_words_of_scripts_without_spaces_are_found(index: SearchIndex) -> None:
    _fill(index, memory("a", "昨日は京都へ行きました"), memory("b", "The dog sleeps"))
    assert _ids_by_words(index, "京都") == {"a"}


# Writing


def test_a_document_stored_again_replaces_the_old_one(index: SearchIndex) -> None:
    _fill(index, memory("a", "a dog", tags=("old",)))
    _fill(index, memory("a", "a cat", tags=("new",)))
    assert _ids_by_words(index, "dog") == set()
    assert _ids_by_words(index, "cat", filters=Filters(tags_any=("new",))) == {"a"}
    assert _ids_by_words(index, "cat", filters=Filters(tags_any=("old",))) == set()
    assert index.count(ALL) == 1


def test_a_document_that_moves_to_another_space_leaves_the_old_one(index: SearchIndex) -> None:
    _fill(index, memory("a", "a dog", memory_space_id="s1"))
    _fill(index, memory("a", "a dog", memory_space_id="s2"))
    assert _hits(index, "dog", memory_space_id="s1") == []
    assert _ids(_hits(index, "dog", memory_space_id="s2")) == ["a"]


def test_a_replay_embeds_nothing_again(index: SearchIndex) -> None:
    embedder = FakeEmbedder()
    documents = [memory(f"c:{number}", f"dog {number}") for number in range(1, 4)]
    _fill(index, *documents, embedder=embedder)
    assert len(embedder.embedded) == 3
    _fill(index, *documents, replace(documents[0], memory_id="c:4", content="new"), embedder=embedder)
    assert embedder.embedded[3:] == ["new", "dog 1"]


def test_a_window_that_has_lost_a_word_is_not_found_by_it(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog", window="redacted\ndog"))
    _fill(index, memory("a", "dog", window="dog"))
    assert _ids_by_words(index, "redacted") == set()


def test_windows_can_be_left_without_vectors(index: SearchIndex) -> None:
    embedder = FakeEmbedder()
    puppy = memory("a", "puppy", window="x\npuppy", speaker="Ann")
    assert index_documents(index, embedder, [puppy], profile=EmbeddingProfile("fake", windows=False)) == []
    index.refresh()
    assert embedder.embedded == ["Ann: puppy"]
    assert _ids(_hits(index, "dog")) == ["a"]


def test_text_without_words_is_stored_without_a_vector(index: SearchIndex) -> None:
    embedder = FakeEmbedder()
    _fill(index, memory("a", "🙂"), memory("b", ""), embedder=embedder)
    assert embedder.embedded == []
    assert index.count(ALL) == 2


def test_of_two_documents_with_one_id_the_later_counts(index: SearchIndex) -> None:
    _fill(index, memory("a", "a dog"), memory("a", "a cat"))
    assert [document.content for document in index.list_documents(ALL, limit=10)] == ["a cat"]


def test_a_document_that_the_model_refuses_does_not_hold_up_the_others(index: SearchIndex) -> None:
    documents = [memory("a", "dog"), memory("b", "poison"), memory("c", "cat")]
    (failure,) = index_documents(index, FakeEmbedder(refuses="poison"), documents)
    index.refresh()
    assert failure.memory_id == "b"
    assert {document.memory_id for document in index.list_documents(ALL, limit=10)} == {"a", "c"}


def test_a_document_that_the_index_refuses_does_not_hold_up_the_others(index: SearchIndex) -> None:
    bad = memory("bad", "dog", vectors=((1.0, 0.0),))
    (failure,) = index_documents(index, FakeEmbedder(), [memory("a", "dog"), bad, memory("c", "cat")])
    index.refresh()
    assert failure.memory_id == "bad"
    assert "dimension" in failure.reason
    assert {document.memory_id for document in index.list_documents(ALL, limit=10)} == {"a", "c"}


def test_a_model_that_is_down_is_an_error_of_the_whole_batch(index: SearchIndex) -> None:
    embedder = FakeEmbedder()
    embedder.down = True
    with pytest.raises(EmbeddingUnavailable):
        index_documents(index, embedder, [memory(f"c:{number}", "dog") for number in range(1, 9)])


def test_deleted_documents_are_gone(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog"), memory("b", "dog"), memory("a", "dog", tenant="other"))
    index.delete(TENANT, ["a", "never there"])
    index.refresh()
    assert _ids(_hits(index, "dog")) == ["b"]
    assert index.find_fingerprints(TENANT, ["a", "b"]).keys() == {"b"}
    assert index.count(Scope(tenant="other")) == 1


def test_a_deleted_conversation_is_gone_and_no_other(index: SearchIndex) -> None:
    _fill(
        index,
        *(memory(f"c1:{number}", "dog", speaker="Ann") for number in range(1, 30)),
        memory("c2:1", "dog"),
        memory("c1:1", "dog", tenant="other"),
    )
    index.delete_conversation(TENANT, "c1")
    index.refresh()
    assert _ids(_hits(index, "dog")) == ["c2:1"]
    assert index.count(ALL) == 1
    assert index.count(Scope(tenant="other")) == 1


def test_a_redrive_in_another_order_ends_the_same(index: SearchIndex) -> None:
    documents = [memory(f"c:{number}", f"dog {number}", at=NOON + number) for number in range(1, 8)]
    _fill(index, *documents)
    before = [(hit.document, hit.score) for hit in _hits(index, "dog 3")]
    _fill(index, *reversed(documents))
    _fill(index, *documents[3:])
    assert [(hit.document, hit.score) for hit in _hits(index, "dog 3")] == before


# Lists


def test_lists_are_newest_first_and_go_on_after_a_position(index: SearchIndex) -> None:
    _fill(index, *(memory(f"m{number:02}", "dog", at=NOON + number // 3) for number in range(20)))
    listed: list[Document] = []
    while page := index.list_documents(ALL, limit=7, after=(listed[-1].at, listed[-1].memory_id) if listed else None):
        listed += page
    assert [document.memory_id for document in listed] == [f"m{number:02}" for number in reversed(range(20))]


def test_lists_and_counts_keep_to_the_scope(index: SearchIndex) -> None:
    _fill(
        index,
        memory("a", "dog", user_id="u1"),
        memory("b", "dog", user_id="u1", memory_space_id="s2"),
        memory("c", "dog", user_id="u2"),
        memory("d", "dog", user_id="u1", tenant="other"),
    )
    scope = Scope(tenant=TENANT, spaces=frozenset({SPACE}), filters=Filters(user_id="u1"))
    assert [document.memory_id for document in index.list_documents(scope, limit=10)] == ["a"]
    assert index.count(scope) == 1
    assert index.count(Scope(tenant=TENANT, filters=Filters(user_id="u1"))) == 2


# The index itself


def test_an_index_of_another_model_is_refused(index: SearchIndex) -> None:
    for model, dimensions in (("another", FakeEmbedder.dimensions), (FakeEmbedder.model, 3)):
        with pytest.raises(ConfigurationError, match="EMBEDDINGS_MODEL"):
            index.ensure(model=model, dimensions=dimensions)
    with pytest.raises(ConfigurationError, match="EMBEDDINGS_MODEL"):
        index_documents(index, FakeEmbedder(model="another"), [memory("a", "dog")])


def test_a_question_of_other_dimensions_is_refused(index: SearchIndex) -> None:
    _fill(index, memory("a", "dog"))
    with pytest.raises(ConfigurationError, match="EMBEDDINGS_MODEL"):
        index.find_candidates(ALL, terms=["dog"], vector=[1.0, 0.0], dates=None, depth=10)


def test_a_dropped_index_is_empty_until_it_is_built_again(index: SearchIndex) -> None:
    documents = [memory(f"c:{number}", f"dog {number}", speaker="Ann") for number in range(1, 5)]
    _fill(index, *documents)
    before = _ids(_hits(index, "dog 2"))
    index.drop()
    assert _hits(index, "dog 2") == []
    assert index.list_documents(ALL, limit=10) == []
    assert index.count(ALL) == 0
    assert index.find_fingerprints(TENANT, ["c:1"]) == {}
    index.delete(TENANT, ["c:1"])
    index.delete_conversation(TENANT, "c")
    index.refresh()
    _fill(index, *documents)
    assert _ids(_hits(index, "dog 2")) == before


def test_an_index_can_be_made_by_many_at_once(index: SearchIndex) -> None:
    index.drop()
    failures: list[BaseException] = []

    def make() -> None:
        try:
            index.ensure(model=FakeEmbedder.model, dimensions=FakeEmbedder.dimensions)
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_write_and_read_at_once(index: SearchIndex) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(5):
                index_documents(index, FakeEmbedder(), [memory(f"c{number}:{each + 1}", "dog")])
                _hits(index, "dog")
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index.refresh()
    assert failures == []
    assert index.count(ALL) == 30


# What does not answer


def test_a_file_that_is_no_index_is_an_unavailable_search(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"something else " * 1000)
    with pytest.raises(SearchUnavailable):
        _hits(EmbeddedIndex(tmp_path / "index.db"), "dog")


def test_a_folder_that_cannot_be_made_is_an_unavailable_search(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SearchUnavailable):
        _hits(EmbeddedIndex(tmp_path / "file" / "index.db"), "dog")


def test_an_unreachable_opensearch_is_an_unavailable_search() -> None:
    index = OpenSearchIndex("http://127.0.0.1:9")
    with pytest.raises(SearchUnavailable):
        _hits(index, "dog")
    with pytest.raises(SearchUnavailable):
        index_documents(index, FakeEmbedder(), [memory("a", "dog")])
    with pytest.raises(SearchUnavailable):
        index.list_documents(ALL, limit=1)


def test_another_process_index_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "index.db"
    writer, reader = EmbeddedIndex(path), EmbeddedIndex(path)
    assert _hits(reader, "dog") == []
    _fill(writer, memory("a", "dog"))
    assert _ids(_hits(reader, "dog")) == ["a"]


def test_cached_vectors_hide_no_later_change(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    writer, reader = EmbeddedIndex(path), EmbeddedIndex(path)
    results: list[set[str]] = []
    for change in (
        lambda: writer.upsert([(_in_parts("a", _axis(0)), ""), (_in_parts("b", _axis(0)), "")]),
        lambda: writer.delete(TENANT, ["a"]),
        lambda: writer.upsert([(_in_parts("c", _axis(0)), "")]),
        lambda: writer.upsert([(_in_parts("b", _axis(0), memory_space_id="elsewhere"), "")]),
        writer.drop,
        lambda: writer.upsert([(_in_parts("d", _axis(0)), "")]),
    ):
        writer.ensure(model="fake", dimensions=8)
        change()
        results.append(set(_own(reader, _axis(0), Scope(tenant=TENANT, spaces=frozenset({SPACE})))))
    assert results == [{"a", "b"}, {"b"}, {"b", "c"}, {"c"}, set(), {"d"}]


def test_the_first_stage_of_vectors_goes_on_until_filters_leave_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what passes is not listed before, because it is not little."""
    monkeypatch.setattr("annals.search.embedded.reading.MAX_LISTED", 10)
    monkeypatch.setattr("annals.search.embedded.vectors.RESCORED", 50)
    index = EmbeddedIndex(tmp_path / "index.db")
    index.ensure(model="fake", dimensions=8)
    near = [memory(f"near{number}", "x", role="user", vectors=(_axis(0),)) for number in range(900)]
    far = [memory(f"far{number}", "x", role="tool", vectors=(_axis(1),)) for number in range(40)]
    index.upsert([(document, "") for document in (*near, *far)])
    assert len(_own(index, _axis(0), Scope(tenant=TENANT, filters=Filters(role="tool")), depth=30)) == 30


def test_in_a_large_space_the_rare_words_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annals.search.embedded.bm25.SCORED", 150)
    index = EmbeddedIndex(tmp_path / "index.db")
    index.ensure(model="fake", dimensions=8)
    rare = [memory(f"rare{number}", "the dog met an aardvark") for number in range(120)]
    _fill(index, *rare, *(memory(f"m{number}", "the dog sleeps") for number in range(300)))
    assert _ids_by_words(index, "dog aardvark", limit=100) <= {each.memory_id for each in rare}
    assert len(_ids_by_words(index, "dog", limit=400)) == 400
