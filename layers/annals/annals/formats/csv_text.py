"""CSV out and in, as RFC 4180 has it, with cells that no spreadsheet takes for formulas.

A text that a spreadsheet may compute gets an apostrophe before it, as OWASP advises ("CSV Injection"), and one that
begins with apostrophes before such a text gets one more: so each text is written in a way of its own, and comes back
exactly.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

MAX_CELL_CHARS = 10_000_000
"""More than any cell can have that a request or an entry has room for."""

_UNSEEN = r"\s\x00-\x20\u00ad\u200b-\u200f\u2060\ufeff"
"""Characters before a formula that are invisible, or that a spreadsheet strips."""

_FORMULA = rf"(?=[{_UNSEEN}']*[=+\-@＝＋－＠])"
"""The point before what a spreadsheet computes, in full width too, whatever apostrophes follow: they can be undone."""

_BEGIN = r"(?<![\s\S])"
_CELL = rf"{_BEGIN}(?='*[\t\r])|(?:{_BEGIN}|(?<=[;\t\r\n])){_FORMULA}"
"""Where a cell begins: at its start, and after what separates cells and lines for a program with other settings."""

_TO_GUARD = re.compile(_CELL)
_GUARDED = re.compile(
    rf"{_BEGIN}'(?='*[\t\r])|{_BEGIN}'{_FORMULA}|(?<=[;\t\r\n])'{_FORMULA}",
)


def row(cells: Iterable[Any], *, guard: bool = True) -> str:
    """A line with these cells, its end included. ``guard`` keeps texts from being computed; numbers stay numbers."""
    text = io.StringIO()
    written = (guarded(cell) if guard and isinstance(cell, str) else cell for cell in cells)
    csv.writer(text, lineterminator="\r\n").writerow(written)
    return text.getvalue()


def rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, unguarded, with the number of the line that the row ends at. Raises ``csv.Error``.

    The lines have their ends, since a row may go over several.
    """
    csv.field_size_limit(MAX_CELL_CHARS)
    reader = csv.reader(lines, strict=True)
    for cells in reader:
        yield reader.line_num, [unguarded(cell) for cell in cells]


def guarded(text: str) -> str:
    """A text as a cell that no spreadsheet computes."""
    return _TO_GUARD.sub("'", text)


def unguarded(cell: str) -> str:
    """The text of a cell that ``guarded`` wrote."""
    return _GUARDED.sub("", cell)
