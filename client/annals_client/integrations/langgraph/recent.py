"""What was used lately, up to a number of bytes. Threads may share it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key; the ones that were not used for the longest time go when there is no room.

    Parameters
    ----------
    room_bytes : what all values may weigh together
    """

    def __init__(self, room_bytes: int) -> None:
        self._room = room_bytes
        self._used = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def find(self, key: K) -> V | None:
        """The value of a key, if it is still there."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def keep(self, key: K, value: V, weight: int) -> None:
        """Keep a value that weighs so many bytes."""
        with self._lock:
            self._drop(key)
            self._values[key] = value, weight
            self._used += weight
            while self._used > self._room and self._values:
                self._drop(next(iter(self._values)))

    def forget(self, key: K) -> None:
        """Keep it no longer."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        if key in self._values:
            self._used -= self._values.pop(key)[1]
