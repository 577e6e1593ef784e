"""Words, stems and snippets."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.search import words
from annals.search.snippets import MAX_LENGTH, SNIPPET_WORDS, snippet
from annals.search.stemming import stem


def test_words_are_lower_case_and_lose_their_possessive() -> None:
    assert words.words("Melanie's car, O’Brien’s dog; don't") == ["melanie", "car", "o’brien", "dog", "don't"]


def test_ideographs_are_words_of_their_own() -> None:
    assert words.words("日本語 text") == ["日", "本", "語", "text"]
    assert words.separate_ideographs("日本 x").split() == ["日", "本", "x"]


def test_words_keep_their_combining_marks() -> None:
    assert words.words("हिन्दी में") == ["हिन्दी", "में"]


@given(st.text(st.characters(codec="ascii")))
def test_words_of_ascii_text_are_the_same_beside_other_letters(text: str) -> None:
    assert words.words(f"{text} é") == [*words.words(text), "é"]
    assert words.count_words(f"{text} é") == words.count_words(text) + 1


@pytest.mark.parametrize("text", ["", "   ", "🙂🙃", "?!…", "\0"])
def test_what_has_no_letter_or_digit_has_no_words(text: str) -> None:
    assert not words.has_words(text)
    assert words.count_words(text) == 0


SUFFIXES = "s sses ies ed eed ing ational tional izer ization ator ness fulness iveness ical ful ance ement ion ll y e"


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8), st.sampled_from(["", *SUFFIXES.split()]))
def test_stems_are_those_of_the_embedded_index(beginning: str, suffix: str) -> None:
    word = beginning + suffix
    porter = apsw.Connection("").fts5_tokenizer("porter", ["unicode61"])
    ((_, _, theirs),) = porter(word.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None)
    assert stem(word) == theirs


def test_a_snippet_marks_words_of_the_same_stem() -> None:
    assert snippet("We were hiking in the hills.", ["hike", "hills"]) == "We were **hiking** in the **hills**."


def test_a_snippet_of_a_long_text_shows_the_part_that_matches() -> None:
    text = " ".join(["before"] * 200 + ["the", "needle", "is", "here"] + ["after"] * 200)
    marked = snippet(text, ["needle"])
    assert "**needle** is here" in marked
    assert marked.startswith("…")
    assert marked.endswith("…")
    assert len(words.words(marked)) == SNIPPET_WORDS


def test_a_snippet_without_a_match_is_the_beginning() -> None:
    text = "one two three " + "word " * 100
    assert snippet(text, ["missing"]).startswith("one two three word")


def test_a_snippet_of_a_text_without_words_or_without_spaces_is_short() -> None:
    assert snippet("🙂" * 5_000, ["x"]) == "🙂" * MAX_LENGTH
    assert len(snippet("x" * 50_000, ["y"])) <= MAX_LENGTH


def test_a_snippet_keeps_the_end_of_a_short_text() -> None:
    assert snippet("  Really? Yes, a dog!  ", ["dog"]) == "Really? Yes, a **dog**!"
