"""What a question asks for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.search.dates import NamedDate, find_date, has_time_expression
from annals.search.queries import MAX_TERMS, parse_query

SPEAKERS = ["Caroline", "Melanie", "John Smith", "Will"]


def test_question_words_and_names_are_not_looked_for() -> None:
    parsed = parse_query("What did Caroline research in Paris?", SPEAKERS)
    assert parsed.terms == ("research", "paris")
    assert parsed.speaker == "Caroline"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("When did Melanie's kids paint with Melanie?", "When did my kids paint with I?"),
        ("What does John Smith cook?", "What does I cook?"),
        ("John Smith’s garden, Caroline?", "my garden, I?"),
        ("What grows in the garden?", "What grows in the garden?"),
    ],
)
def test_the_text_to_embed_is_in_the_first_person(query: str, text: str) -> None:
    assert parse_query(query, SPEAKERS).text == text


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("What did Melanie tell Caroline?", "Melanie"),
        ("What does the cake that John Smith baked for Melanie taste of?", None),
        ("When will John Smith's son meet Melanie?", None),
        ("When will John Smith meet Melanie's son?", "John Smith"),
        ("What do Caroline and Melanie like?", None),
        ("Has Caroline or Melanie a dog?", None),
        ("Does Caroline know what Melanie wants, and does Melanie know?", None),
        ("Caroline and Melanie?", None),
        ("What did she tell John?", "John Smith"),
    ],
)
def test_a_question_is_about_the_only_speaker_that_it_names_or_the_one_who_acts(text: str, speaker: str | None) -> None:
    assert parse_query(text, SPEAKERS).speaker == speaker


def test_the_speaker_whose_whole_name_is_said_is_meant() -> None:
    assert parse_query("Where does John Smith live?", ["John Smith", "John Doe"]).speaker == "John Smith"


def test_a_name_that_is_a_word_needs_a_capital_inside_the_sentence() -> None:
    assert parse_query("will it rain tomorrow?", SPEAKERS).speaker is None
    assert parse_query("Will it rain tomorrow?", SPEAKERS).speaker is None
    assert parse_query("What did Will say?", SPEAKERS).speaker == "Will"


def test_a_question_of_nothing_but_a_name_looks_for_the_name() -> None:
    parsed = parse_query("Caroline?", SPEAKERS)
    assert parsed.terms == ("caroline",)
    assert parsed.text == "Caroline?"


def test_a_question_of_question_words_has_no_terms_but_a_text() -> None:
    parsed = parse_query("What is it?", SPEAKERS)
    assert parsed.terms == ()
    assert parsed.text == "What is it?"


@pytest.mark.parametrize("text", ["", "  ", "🙂", "\"'*()^:-+", "\0"])
def test_a_question_without_words_asks_for_nothing(text: str) -> None:
    parsed = parse_query(text, SPEAKERS)
    assert parsed.terms == ()
    assert parsed.text == ""


def test_a_very_long_question_is_cut() -> None:
    parsed = parse_query(" ".join(f"word{number}" for number in range(100_000)), SPEAKERS)
    assert len(parsed.terms) == MAX_TERMS
    assert len(parsed.text) < 5_000


@given(st.text())
def test_any_text_can_be_asked(text: str) -> None:
    parse_query(text, SPEAKERS)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("on 7 May 2023", NamedDate(5, 7, 2023)),
        ("on the 7th of May, 2023", NamedDate(5, 7, 2023)),
        ("on May 7th, 2023", NamedDate(5, 7, 2023)),
        ("on Sept. 3", NamedDate(9, 3)),
        ("on 2023-05-07", NamedDate(5, 7, 2023)),
        ("in June 2022", NamedDate(6, None, 2022)),
        ("in june", NamedDate(6)),
        ("in may", NamedDate(5)),
        ("early May", NamedDate(5)),
        ("between March and 3 April", NamedDate(4, 3)),
        ("what may I do", None),
        ("May I ask?", None),
        ("in 2023", None),
        ("in 2023-13", None),
        ("on 45 June", NamedDate(6)),
        ("at 3 pm", None),
    ],
)
def test_days_and_months_are_understood(text: str, date: NamedDate | None) -> None:
    assert find_date(text) == date


@pytest.mark.parametrize("text", ["When did it rain?", "how long have you known?", "What year was it?"])
def test_a_question_can_ask_for_a_time(text: str) -> None:
    assert parse_query(text, SPEAKERS).is_when_question


@pytest.mark.parametrize("text", ["What did you say when it rained?", "Whenever", "who"])
def test_other_questions_ask_for_no_time(text: str) -> None:
    assert not parse_query(text, SPEAKERS).is_when_question


@pytest.mark.parametrize("text", ["two days ago", "Last week!", "on Tuesday", "since 2019", "in June"])
def test_a_text_can_tell_a_time(text: str) -> None:
    assert has_time_expression(text)
    assert not has_time_expression("It may rain on my 3 daylilies.")


def test_a_day_is_close_within_a_fortnight() -> None:
    date = NamedDate(5, 7, 2023)
    assert date.closeness(datetime(2023, 5, 7, 23, tzinfo=UTC)) == 1
    assert date.closeness(datetime(2023, 5, 10, tzinfo=UTC)) == pytest.approx(0.8)
    assert date.closeness(datetime(2023, 6, 7, tzinfo=UTC)) == 0
    assert date.closeness(datetime(2022, 5, 7, tzinfo=UTC)) == 0


def test_a_day_without_a_year_is_close_over_the_new_year() -> None:
    assert NamedDate(12, 31).closeness(datetime(2024, 1, 3, tzinfo=UTC)) == pytest.approx(0.8)


def test_a_month_fits_or_does_not_and_a_stated_year_must() -> None:
    assert NamedDate(6).closeness(datetime(2021, 6, 30, tzinfo=UTC)) == 1
    assert NamedDate(6, None, 2022).closeness(datetime(2021, 6, 30, tzinfo=UTC)) == 0


@given(
    st.integers(1, 12), st.none() | st.integers(1, 31), st.none() | st.integers(1971, 2100), st.integers(0, 4 * 10**12)
)
def test_whatever_is_close_lies_in_the_date_range(month: int, day: int | None, year: int | None, at: int) -> None:
    date, moment = NamedDate(month, day, year), datetime.fromtimestamp(at / 1000, UTC)
    dates = date.date_range()
    if date.closeness(moment) > 0:
        inside = dates.start is not None and dates.end is not None and dates.start <= at < dates.end
        assert inside or moment.month in dates.months
