"""Sealed texts: opened by the same key for the same purpose, read by nobody else, and changed by nobody."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.api.sealing import BLOCK_BYTES, MAX_CHARS, seal, unseal

KEY, OTHER = b"k" * 32, b"o" * 32
TEXT = b'[1750000000123,"T#acme#C#conv-secret"]'


@given(st.binary(max_size=300).filter(lambda text: not text.endswith(b" ")), st.binary(max_size=60))
def test_a_text_is_opened_by_its_key_for_what_it_is_bound_to(text: bytes, bound_to: bytes) -> None:
    sealed = seal(KEY, text, bound_to)
    opened = unseal(KEY, sealed, bound_to)
    assert opened is not None
    assert opened.rstrip(b" ") == text.rstrip(b" ")
    assert unseal(OTHER, sealed, bound_to) is None
    assert unseal(KEY, sealed, bound_to + b"x") is None


@pytest.mark.parametrize("at", range(len(seal(KEY, TEXT, b"q")) * 6 // 8))
def test_a_sealed_text_with_any_byte_changed_is_refused(at: int) -> None:
    sealed = seal(KEY, TEXT, b"q")
    assert unseal(KEY, sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :], b"q") is None


def test_the_last_character_counts_whole() -> None:
    sealed = seal(KEY, TEXT, b"q")
    others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [last for last in others if unseal(KEY, sealed[:-1] + last, b"q")] == [sealed[-1]]


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "{}A", "{}é", "{}+/"])
def test_a_sealed_text_in_another_spelling_is_refused(change: str) -> None:
    assert unseal(KEY, change.format(seal(KEY, TEXT, b"q")), b"q") is None


@given(st.text(max_size=200))
def test_what_was_never_sealed_is_refused(text: str) -> None:
    assert unseal(KEY, text, b"") is None


def test_what_is_too_long_is_not_looked_at() -> None:
    assert unseal(KEY, "A" * (MAX_CHARS + 1), b"") is None


def test_the_same_text_is_never_sealed_the_same_way_twice() -> None:
    sealed = [urlsafe_b64decode(seal(KEY, TEXT, b"q") + "==") for _ in range(1000)]
    assert len({each[:16] for each in sealed}) == 1000
    assert len({each[16:-16] for each in sealed}) == 1000


def test_a_sealed_text_holds_nothing_of_the_text() -> None:
    raw = urlsafe_b64decode(seal(KEY, TEXT, b"question") + "==")
    assert not any(TEXT[at : at + 4] in raw for at in range(len(TEXT) - 3))
    assert b"question" not in raw


def test_texts_of_different_lengths_look_alike() -> None:
    assert len({len(seal(KEY, b"x" * size, b"")) for size in range(1, BLOCK_BYTES + 1)}) == 1


def test_the_bound_text_and_the_hidden_one_cannot_be_shifted_into_each_other() -> None:
    raw = urlsafe_b64decode(seal(KEY, TEXT, b"ab") + "==")
    from base64 import urlsafe_b64encode

    moved = urlsafe_b64encode(b"b" + raw).decode().rstrip("=")
    assert unseal(KEY, moved, b"a") is None
