"""How a text is cut into pieces, so that another text that is much the same takes few new ones.

A snapshot of an agent is its whole conversation as JSON, and grows by a turn each time. It is cut after its messages:
those that are stored stay as they are, and what a turn adds is one piece more.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

INLINE_CHARS = 1024
"""Up to here, a piece stands in the list of pieces itself."""

SMALL_CHARS = 8 * 1024
"""Pieces up to here are put together with their neighbours once there are many of them."""

LARGEST_CHARS = 64 * 1024

CHANGED_CHARS = 4 * 1024
"""How large pieces are where others were changed or cut off: a window that moves on changes the same place again."""

MANY = 24
"""How many small pieces may stand in a row. More would cost more to read than it costs to put them together."""

MESSAGES = '"messages": ['
_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Piece:
    """A piece of a text. Without an ``id`` it is not stored apart, or not yet."""

    text: str
    id: str | None = None

    @property
    def is_small(self) -> bool:
        """Whether it is put together with others like it."""
        return len(self.text) <= SMALL_CHARS

    @property
    def is_inline(self) -> bool:
        """Whether it stands in the list of pieces."""
        return self.id is None and len(self.text) <= INLINE_CHARS


def cut(text: str, stored: Sequence[Piece] = ()) -> list[Piece]:
    """The pieces of a text, of which those that are stored already keep their ids."""
    places = _Places.of(text)
    pieces: list[Piece] = []
    end, size = 0, LARGEST_CHARS
    for piece in (piece for piece in stored if piece.id and piece.text):
        begin = text.find(piece.text, end)
        if begin < 0:
            size = CHANGED_CHARS
            continue
        pieces += places.cut(end, begin, size)
        pieces.append(piece)
        end, size = begin + len(piece.text), LARGEST_CHARS
    pieces += places.cut(end, len(text), size)
    return _put_together(pieces)


@dataclass(frozen=True)
class _Places:
    """A text, and where its messages begin and end."""

    text: str
    begin: int
    ends: tuple[int, ...]

    @staticmethod
    def of(text: str) -> _Places:
        found = text.find(MESSAGES)
        begin = found + len(MESSAGES) if found >= 0 else len(text)
        return _Places(text, begin, tuple(_element_ends(text, begin)))

    def cut(self, begin: int, end: int, size: int) -> Iterator[Piece]:
        """The pieces between two places, of about a size: before the messages, of the messages, and after them."""
        of_messages = min(max(self.begin, begin), end)
        after = min(max(self.ends[-1], of_messages), end) if self.ends else of_messages
        yield from _pieces(self.text, begin, of_messages)
        while of_messages < after:
            found = bisect_right(self.ends, of_messages + size)
            upto = min(after, self.ends[found - 1] if found else after)
            upto = upto if upto > of_messages else min(after, self.ends[found])
            yield from _pieces(self.text, of_messages, upto)
            of_messages = upto
        yield from _pieces(self.text, after, end)


def _pieces(text: str, begin: int, end: int) -> Iterator[Piece]:
    return (Piece(text[at : min(end, at + LARGEST_CHARS)]) for at in range(begin, end, LARGEST_CHARS))


def _element_ends(text: str, at: int) -> Iterator[int]:
    """Where the elements of a JSON list end, as far as it is one."""
    while at < len(text) and text[at] == "{":
        try:
            _, at = _scan(text, at)
        except ValueError:
            return
        yield at
        at += len(", ") if text.startswith(", ", at) else len(text)


def _put_together(pieces: list[Piece]) -> list[Piece]:
    """The pieces, where those of long rows of small ones are put together."""
    runs = [(small, list(run)) for small, run in groupby(pieces, lambda piece: piece.is_small)]
    return [piece for small, run in runs for piece in (_of_run(run) if small else run)]


def _of_run(run: list[Piece]) -> list[Piece]:
    apart = [place for place, piece in enumerate(run) if not piece.is_inline]
    if len(apart) <= MANY:
        return run
    first, last = apart[0], apart[-1] + 1
    text = "".join(piece.text for piece in run[first:last])
    return [*run[:first], *_pieces(text, 0, len(text)), *run[last:]]
