"""CSV out, as RFC 4180 has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any


def row(cells: Iterable[Any]) -> str:
    """A line with these cells, its end included."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()
