"""Documents, and how messages become documents."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.errors import ConfigurationError
from annals.search import from_settings
from annals.search.documents import (
    MAX_FACET_LENGTH,
    MAX_FACETS,
    NOBODY,
    SOMEBODY,
    from_source,
    metadata_facet,
    user_owner,
)
from annals.search.message_documents import (
    MAX_ANSWER_DISTANCE,
    SESSION_GAP_MS,
    WINDOW_WORDS,
    SourceConversation,
    SourceMessage,
    message_owners,
    to_message_documents,
)
from annals.search.opensearch.query import MAX_ID_BYTES, document_id
from annals.settings import Settings
from tests.fakes.search import NOON, memory

TALK = SourceConversation(tenant="acme", conversation_id="c1", memory_space_id="team", user_id="u1")


def _message(seq: int, text: str, **more: object) -> SourceMessage:
    return SourceMessage(**{"seq": seq, "message_id": f"msg-{seq:03}", "text": text, "at": NOON + 1000 * seq, **more})  # type: ignore[arg-type]


def _windows(*messages: SourceMessage) -> list[str]:
    return [document.window for document in to_message_documents(TALK, messages)]


def test_a_window_holds_the_two_messages_before_and_the_message() -> None:
    assert _windows(*(_message(seq, f"t{seq}") for seq in range(1, 5))) == ["t1", "t1\nt2", "t1\nt2\nt3", "t2\nt3\nt4"]


def test_a_window_ends_where_another_run_began() -> None:
    assert _windows(_message(1, "a", run_id="r1"), _message(2, "b", run_id="r1"), _message(3, "c", run_id="r2")) == [
        "a",
        "a\nb",
        "c",
    ]


def test_a_window_ends_at_a_long_silence() -> None:
    assert _windows(_message(1, "a"), _message(2, "b", at=NOON + 2 * SESSION_GAP_MS)) == ["a", "b"]


def test_a_run_goes_on_over_a_long_silence() -> None:
    later = NOON + 2 * SESSION_GAP_MS
    assert _windows(_message(1, "a", run_id="r"), _message(2, "b", run_id="r", at=later)) == ["a", "a\nb"]


def test_a_redacted_message_makes_no_document_and_is_in_no_window() -> None:
    documents = to_message_documents(TALK, [_message(1, "a"), _message(2, "", redacted=True), _message(3, "c")])
    assert [(document.seq, document.window) for document in documents] == [(1, "a"), (3, "a\nc")]


def test_only_the_end_of_a_long_message_is_in_the_next_window() -> None:
    long = " ".join(f"w{number}" for number in range(300))
    window = _windows(_message(1, long), _message(2, "and then?"))[1]
    assert window.split()[0] == f"w{300 - WINDOW_WORDS}"
    assert window.endswith("w299\nand then?")


def test_earlier_messages_can_be_given_for_the_windows_only() -> None:
    (document,) = to_message_documents(TALK, [_message(1, "a"), _message(2, "b"), _message(3, "c")], first_seq=3)
    assert (document.memory_id, document.message_ids, document.window) == ("mem:c1:3", ("msg-003",), "a\nb\nc")


def test_a_message_has_its_participants_before_the_conversations() -> None:
    own, common = to_message_documents(TALK, [_message(1, "a", user_id="u2"), _message(2, "b")])
    assert (own.user_id, common.user_id) == ("u2", "u1")


def test_a_document_comes_back_from_its_source() -> None:
    document = memory(
        "c1:3", "a dog", tags=("x",), metadata={"a": [1, {"b": None}]}, digest="00", window="", importance=0
    )
    assert from_source(json.loads(json.dumps(document.source()))) == document


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    document = memory("a", "half \ud83d", metadata={"k\ud83d": ["\ud83d"]})
    stored = from_source(document.source())
    assert (stored.content, stored.metadata) == ("half ?", {"k?": ["?"]})
    assert all(facet.encode() for facet in document.facets())


def test_metadata_becomes_terms_by_path_and_by_element() -> None:
    document = memory("a", "x", tags=("t",), metadata={"a": {"b": 1.0, "c": ["x", 2]}, "n": None, "ok": True})
    assert document.facets() == [
        "tag=t", "metadata.a.b=1", 'metadata.a.c=["x", 2]', 'metadata.a.c="x"', "metadata.a.c=2", "metadata.n=null",
        "metadata.ok=true",
    ]  # fmt: skip


def test_terms_of_metadata_are_bounded_in_length_number_and_depth() -> None:
    deep: dict[str, object] = {}
    for _ in range(200):
        deep = {"d": deep}
    document = memory("a", "x", metadata={"long": "x" * 5_000, "many": list(range(5_000)), "deep": deep})
    assert len(document.facets()) == MAX_FACETS
    assert all(len(facet) <= MAX_FACET_LENGTH for facet in document.facets())
    assert metadata_facet("long", "x" * 5_000) in document.facets()


def test_a_fingerprint_changes_with_anything_that_is_indexed() -> None:
    document = memory("c1:1", "a dog", metadata={"a": 1, "b": 2})
    same = replace(document, metadata={"b": 2, "a": 1}, vectors=((1.0,),))
    changed = [
        replace(document, window="b"), replace(document, tags=("t",)), replace(document, content="a cat"),
        replace(document, digest="1"),
    ]  # fmt: skip
    assert same.fingerprint("m") == document.fingerprint("m")
    assert len({each.fingerprint("m") for each in [document, *changed]} | {document.fingerprint("n")}) == 6


def test_a_time_beyond_the_calendar_still_has_a_month() -> None:
    assert memory("a", "x", at=10**18).moment.month == 12
    assert memory("a", "x", at=-(10**18)).moment.month == 1


def test_nobody_can_make_an_id_that_looks_like_another_tenants() -> None:
    ids = [("a", "b#c"), ("a#b", "c"), ("a%23b", "c"), ("a", "b%23c"), ("~", "x"), ("%7E", "x"), ("a", ""), ("", "a")]
    assert len({document_id(*names) for names in ids}) == len(ids)


def test_an_id_is_never_longer_than_opensearch_takes() -> None:
    long = document_id("a", "界" * 400)
    assert len(long.encode()) <= MAX_ID_BYTES
    assert long != document_id("b", "界" * 400)


def test_without_an_index_in_the_settings_the_missing_one_is_named() -> None:
    with pytest.raises(ConfigurationError, match="OPENSEARCH_URL"):
        from_settings(Settings())


# Owners


def owner_by_seq(*messages: SourceMessage, user_id: str | None = None) -> list[str]:
    return list(message_owners(user_id, messages).values())


U1, U2 = user_owner("u1"), user_owner("u2")


def test_every_message_belongs_to_the_conversation_s_user_whoever_spoke():
    messages = [_message(1, "a", user_id="u2"), _message(2, "b"), _message(3, "", redacted=True)]
    assert owner_by_seq(*messages, user_id="u1") == [U1, U1, U1]


def test_in_a_conversation_of_nobody_a_message_belongs_to_its_user_or_whom_it_answers():
    messages = [
        _message(1, "a"),
        _message(2, "b", user_id="u1"),
        _message(3, "c"),
        _message(4, "d", user_id="u2"),
        _message(5, "e"),
    ]
    assert owner_by_seq(*messages) == [NOBODY, U1, U1, U2, U2]


def test_a_reply_with_its_question_stored_belongs_to_who_asked_though_another_spoke_meanwhile():
    messages = [
        _message(1, "a", user_id="u1"),
        _message(2, "b", user_id="u2"),
        _message(3, "to a", answers=1),
        _message(4, "to b"),
    ]
    assert owner_by_seq(*messages) == [U1, U2, U1, U2]


def test_nobody_knows_whom_a_message_after_a_redacted_one_answers():
    gone = _message(2, "", redacted=True)
    assert owner_by_seq(_message(1, "a", user_id="u1"), gone, _message(3, "c"), _message(4, "d", user_id="u1"))[2:] == [
        SOMEBODY,
        U1,
    ]
    assert owner_by_seq(_message(1, "a", user_id="u1"), gone, _message(3, "c", answers=2))[2] == SOMEBODY


def test_what_is_far_after_a_user_s_message_does_not_answer_it():
    messages = [_message(1, "a", user_id="u1"), *(_message(seq, "b") for seq in range(2, MAX_ANSWER_DISTANCE + 4))]
    assert owner_by_seq(*messages) == [U1] * (MAX_ANSWER_DISTANCE + 1) + [NOBODY] * 2


@given(
    st.lists(st.sampled_from(["u1", "u2", "said", "gone", "answer"]), min_size=1, max_size=MAX_ANSWER_DISTANCE * 3),
    st.data(),
)
def test_the_records_before_a_message_that_are_read_tell_its_owner(kinds: list[str], data: st.DataObject):
    messages = []
    for seq, kind in enumerate(kinds, 1):
        answers = data.draw(st.integers(1, seq)) if kind == "answer" else None
        user_id = kind if kind in ("u1", "u2") else None
        state = {"redacted": True} if kind == "gone" else {"role": "user"}
        messages.append(_message(seq, "x", user_id=user_id, answers=answers, **state))
    seq = data.draw(st.integers(1, len(messages)))
    assert (
        message_owners(None, messages[max(0, seq - 1 - MAX_ANSWER_DISTANCE) :])[seq]
        == message_owners(None, messages)[seq]
    )
