"""Personal data in texts: the protocol of what detects it, and the labels that replace it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, order=True)
class PiiMatch:
    """Personal data in a text: from character ``start`` to before ``end``, and its kind, such as ``EMAIL``."""

    start: int
    end: int
    kind: str


class PiiDetector(Protocol):
    """Detects personal data. The kinds have the names that Amazon Comprehend gives them."""

    def detect(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        """The personal data in each of the texts; matches may overlap. Raises PiiUnavailable."""
        ...


def mask_matches(text: str, matches: Iterable[PiiMatch]) -> str:
    """A text with a label such as ``[EMAIL]`` instead of each match; matches that overlap get one label."""
    parts, end = [], 0
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        if match.start >= end:
            parts += [text[end : match.start], f"[{match.kind}]"]
        end = max(end, match.end)
    return "".join([*parts, text[end:]])
