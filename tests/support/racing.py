"""Threads that begin together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from annals.errors import AnnalsError


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    """The answers, or the refusals, of as many threads that begin together."""
    start = Barrier(number)

    def begin(turn: int) -> Any:
        start.wait()
        try:
            return work(turn)
        except AnnalsError as refusal:
            return refusal

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))
