"""CSV: what was said comes back exactly, and no spreadsheet computes it."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from annals.formats import csv_text

FORMULAS = [
    '=HYPERLINK("http://127.0.0.1/?"&A1)', "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "＝1",
    "＋1", "－1", "＠SUM(1)", "\ufeff=1", "\u200b=1", "\x00=1", "'=1", "''=1", "' =1", "a;=1", "a\t=1",
    "a\n=1", "a\r\n@x",
    "a; -1", "\ttext", "\rtext", "'\ttext",
]  # fmt: skip
HARMLESS = ["", "text", "1 = 1", "a-b", "'tis", "' said", "a, -5", "https://127.0.0.1/?a=1", "5", "{}", "(=1)"]

awkward = st.text(st.sampled_from("'=+-@＝－ \t\r\n;,\"a1\u200b"), max_size=12) | st.text(max_size=20)


def begins_a_formula(cell: str) -> bool:
    """Whether a spreadsheet, however it is set up, may compute a part of a cell."""
    parts = re.split(r"[;\t\r\n]", cell)
    return cell.startswith(("\t", "\r")) or any(
        re.match(r"[\s\x00-\x20\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠]", part) for part in parts
    )


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_guarded_and_comes_back(text: str) -> None:
    guarded = csv_text.guarded(text)
    assert guarded != text
    assert not begins_a_formula(guarded)
    assert csv_text.unguarded(guarded) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert csv_text.guarded(text) == text


@given(st.lists(awkward, min_size=1, max_size=5))
@example(["'=1"])
def test_every_text_comes_back_from_a_row_exactly_and_none_is_computed(texts: list[str]) -> None:
    line = csv_text.row(texts)
    [(_, back)] = csv_text.rows(io.StringIO(line, newline="")) if any(texts) or len(texts) > 1 else [(1, texts)]
    assert back == texts
    [cells] = csv.reader(io.StringIO(line, newline="")) if any(texts) or len(texts) > 1 else [texts]
    assert not any(begins_a_formula(cell) for cell in cells)


def test_numbers_stay_numbers_and_formulas_may_be_kept() -> None:
    assert csv_text.row([-5, 1.5, "-5"]) == "-5,1.5,'-5\r\n"
    assert csv_text.row(["=1", "-5"], guard=False) == "=1,-5\r\n"
