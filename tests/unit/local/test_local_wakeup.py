"""Whoever waits for writes wakes at once when there is one, and does not miss one that came meanwhile."""

from __future__ import annotations

import multiprocessing
import threading
import time

from local.wakeup import Wakeup, listen, ring_at

LONG_S = 20


def waited(wakeup: Wakeup, seen: int, timeout_s: float = LONG_S) -> float:
    start = time.monotonic()
    wakeup.wait(seen, timeout_s)
    return time.monotonic() - start


def test_a_ring_wakes_those_who_wait() -> None:
    wakeup = Wakeup()
    threading.Timer(0.05, wakeup.ring).start()
    assert waited(wakeup, wakeup.rung) < LONG_S / 2


def test_a_ring_before_the_wait_is_not_missed() -> None:
    wakeup = Wakeup()
    seen = wakeup.rung
    wakeup.ring()
    assert waited(wakeup, seen) < LONG_S / 2


def test_without_a_ring_the_wait_ends_by_itself() -> None:
    wakeup = Wakeup()
    assert waited(wakeup, wakeup.rung, 0.05) >= 0.04


def test_another_process_rings_through_a_pipe_however_often() -> None:
    wakeup = Wakeup()
    heard, bell = multiprocessing.Pipe(duplex=False)
    seen = wakeup.rung
    ring = ring_at(bell)
    for _ in range(100_000):
        ring()
    listen(heard, wakeup)
    assert waited(wakeup, seen) < LONG_S / 2
    bell.close()
