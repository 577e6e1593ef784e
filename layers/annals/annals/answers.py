"""How large an answer may be. Lambda sends 6 MB of a function's result, a JSON text in which the body is a string."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from annals.json_text import dump
from annals.settings import settings

MAX_RESULT_BYTES = 6_291_556
"""The most that Lambda sends of a function's result: body, headers and all."""

T = TypeVar("T")


def sent_bytes(part: Any) -> int:
    """What a part of a body takes in the result: as JSON, and that escaped once more, for it stands in a string.

    Characters outside ASCII count as their escapes, which some runtimes write: no runtime sends more.
    """
    return len(json.dumps(dump(part)))


class Room:
    """The room that an answer has for its parts: ``max_page_bytes`` in all, or a share of it.

    The first part always fits, or an item larger than the room could never be read. ``is_full`` is whether a part did
    not fit.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.is_full = False
        self._size = round(settings().max_page_bytes * share)
        self._left = self._size
        self._is_empty = True

    def takes(self, part: Any) -> bool:
        """Whether a part fits; then it takes its share of the room."""
        size = sent_bytes(part)
        if size > self._left and not self._is_empty:
            self.is_full = True
            return False
        self._left -= size
        self._is_empty = False
        return True

    def takes_all(self, parts: Sequence[Any]) -> bool:
        """Whether parts that come together or not at all fit; then they take their share of the room."""
        if len(parts) == 1:
            return self.takes(parts[0])
        size = sum(map(sent_bytes, parts))
        if size > self._left:
            self.is_full = True
            return False
        self._left -= size
        self._is_empty = False
        return True

    def could_take(self, parts: Sequence[Any]) -> bool:
        """Whether an answer that holds nothing else has room for parts that come together."""
        return len(parts) == 1 or sum(map(sent_bytes, parts)) <= self._size


def fitting(parts: Iterable[T], room: Room | None = None, *, present: Callable[[T], Any] | None = None) -> list[T]:
    """The first parts for which there is room, up to the first for which there is none.

    Parameters
    ----------
    present : makes what is sent of a part, where that is not the part itself
    """
    left = Room() if room is None else room
    fitted: list[T] = []
    for part in parts:
        if not left.takes(present(part) if present else part):
            break
        fitted.append(part)
    return fitted


def fitting_counted(parts: Iterable[T], room: Room | None = None) -> tuple[list[T], dict[str, Any]]:
    """The first parts for which there is room, and the field of an answer without a cursor about the others.

    ``omitted`` is how many these are; where there are none, there is no such field.
    """
    left = Room() if room is None else room
    rest = iter(parts)
    fitted = fitting(rest, left)
    return fitted, {"omitted": 1 + sum(1 for _ in rest)} if left.is_full else {}
