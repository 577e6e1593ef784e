"""Personal data in texts: the port of what finds it, and the labels that take its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, order=True)
class PiiMatch:
    """A place in a text, in characters, and the kind of data there, such as ``EMAIL``; ``end`` is behind its last."""

    start: int
    end: int
    kind: str


class PiiDetector(Protocol):
    """Finds personal data. The kinds have the names that Amazon Comprehend gives them."""

    def find(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        """The places of personal data in each of the texts; they may overlap. Raises PiiUnavailable."""
        ...


def mask_matches(text: str, found: Iterable[PiiMatch]) -> str:
    """A text with a label such as ``[EMAIL]`` in the place of each span; of spans that overlap, one for all."""
    parts, told = [], 0
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if span.start >= told:
            parts += [text[told : span.start], f"[{span.kind}]"]
        told = max(told, span.end)
    return "".join([*parts, text[told:]])
