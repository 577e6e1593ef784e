"""Tells those who wait for changes that something was written, so that nobody has to look all the time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")


class Wakeup:
    """A bell that wakes every waiting thread. Who missed it while busy is not kept waiting the next time."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rung = 0

    def ring(self, *_: object, **__: object) -> None:
        """Wake all who wait."""
        with self._condition:
            self._rung += 1
            self._condition.notify_all()

    @property
    def rung(self) -> int:
        """How often it rang: what to pass to ``wait`` as ``seen``."""
        return self._rung

    def wait(self, seen: int, timeout_s: float) -> None:
        """Wait until it rings, at most so long; not at all if it has rung since ``seen`` was read."""
        with self._condition:
            self._condition.wait_for(lambda: self._rung != seen, timeout_s)


def ring_on_writes(ring: Callable[..., None]) -> None:
    """Ring after each write to a database by this process, whose clients are made from now on."""
    import boto3  # not before a server needs it: a sandbox has much to do until then

    session = boto3.Session()
    boto3.DEFAULT_SESSION = session
    for operation in WRITES:
        session.events.register(f"after-call.dynamodb.{operation}", ring)


def ring_at(end: Connection) -> Callable[..., None]:
    """What rings a wakeup of another process, at the other end of a pipe."""
    os.set_blocking(end.fileno(), False)

    def ring(*_: object, **__: object) -> None:
        with contextlib.suppress(BlockingIOError):  # so many rings wait there already that one more says nothing new
            os.write(end.fileno(), b"!")

    return ring


def listen(end: Connection, wakeup: Wakeup) -> None:
    """Ring for those at the other end of a pipe, from a thread that ends with this process."""

    def run() -> None:
        while os.read(end.fileno(), 4096):
            wakeup.ring()

    threading.Thread(name="wakeup", target=run, daemon=True).start()
