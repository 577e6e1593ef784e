"""How large an answer may be. Lambda sends 6 MB of a function's result, a JSON text in which the body is a string."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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

    The first part always finds room, or an item larger than the room could never be read. ``is_full`` is whether there
    was none for another one.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.is_full = False
        self._left = round(settings().max_page_bytes * share)
        self._is_empty = True

    def takes(self, part: Any) -> bool:
        """Whether there is room for a part, which then is taken in."""
        size = sent_bytes(part)
        if size > self._left and not self._is_empty:
            self.is_full = True
            return False
        self._left -= size
        self._is_empty = False
        return True


def fitting(parts: Iterable[T], room: Room | None = None, *, of: Callable[[T], Any] | None = None) -> list[T]:
    """The first parts for which there is room, up to the first for which there is none.

    Parameters
    ----------
    of : what of a part is sent, where it is not the part itself
    """
    left = Room() if room is None else room
    found: list[T] = []
    for part in parts:
        if not left.takes(of(part) if of else part):
            break
        found.append(part)
    return found


def fitting_counted(parts: Iterable[T], room: Room | None = None) -> tuple[list[T], dict[str, Any]]:
    """The first parts for which there is room, and what an answer without a cursor says of the others.

    ``omitted`` is how many these are; where there are none, nothing is said.
    """
    left = Room() if room is None else room
    rest = iter(parts)
    found = fitting(rest, left)
    return found, {"omitted": 1 + sum(1 for _ in rest)} if left.is_full else {}
