"""Processes that each work on one thing at a time, and go on where they were: as Lambda uses environments again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

MOST_PLACES = 10_000
"""Of how many places it is known who worked there last."""

PATIENCE_S = 0.1
"""How long others may go before, because a process knows their place."""

STOP_S = 30.0
"""How long, when all stops, what is worked on may still take: a function has 29 s."""

Setup = Callable[..., None]


@dataclass(frozen=True, eq=False)
class Job:
    """Something to do, pickled; where, and who waits for it."""

    pickled: memoryview
    place: str
    future: Future[Any]
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Member:
    """A process, our end of the pipe to it, and what it works on."""

    process: ForkServerProcess
    end: Connection
    job: Job | None = None


class Pool:
    """Processes that work on what is submitted.

    A job goes to the process that was at its place last, if that one is free, since it may remember something of it;
    or else to the one that was busy last. A process that gets free takes what is at a place that it knows first.

    Parameters
    ----------
    context : how processes are made
    size : how many there are at most
    setup : what each of them does first, with ``arguments``
    """

    def __init__(self, context: ForkServerContext, size: int, setup: Setup, arguments: tuple[Any, ...]) -> None:
        self._context, self._size, self._setup, self._arguments = context, size, setup, arguments
        self._changed = threading.Condition()
        self._members: list[Member] = []
        self._idle: list[Member] = []
        self._waiting: deque[Job] = deque()
        self._places: OrderedDict[str, Member] = OrderedDict()
        self._stopped = False
        with self._changed:
            for _ in range(size):
                self._idle.append(self._start())

    def submit(self, work: Callable[..., Any], *arguments: Any, place: str) -> Future[Any]:
        """Have something done. The future raises BrokenProcessPool where the process died of it, or beside it.

        Parameters
        ----------
        work, arguments : what can be pickled, as its result; it raises nothing
        place : what it is about
        """
        job = Job(ForkingPickler.dumps((work, arguments)), place, Future())
        with self._changed:
            if self._stopped:
                raise RuntimeError("The processes are stopped already.")
            self._waiting.append(job)
            self._hand_out()
        return job.future

    def stop(self, patience_s: float = STOP_S) -> None:
        """End the processes, after what they are working on; what waits is cancelled.

        A process that is busy for longer than ``patience_s`` is killed.
        """
        with self._changed:
            self._stopped = True
            for job in self._waiting:
                job.future.cancel()
            self._waiting.clear()
            self._changed.wait_for(lambda: len(self._idle) == len(self._members), patience_s)
            busy = [member for member in self._members if member not in self._idle]
        for member in busy:
            member.process.kill()
        for member in list(self._members):
            with contextlib.suppress(OSError):  # it ended by itself just now
                member.end.send(None)
            member.process.join()

    def _hand_out(self) -> None:
        while self._waiting and (self._idle or len(self._members) < self._size):
            job = self._next()
            if job.future.set_running_or_notify_cancel():
                self._give(self._choose(job.place), job)

    def _next(self) -> Job:
        """Of what waits, the first that is at a place that an idle process knows; or else the first."""
        first = self._waiting[0]
        if time.monotonic() - first.since < PATIENCE_S:
            first = next((job for job in self._waiting if self._places.get(job.place) in self._idle), first)
        self._waiting.remove(first)
        return first

    def _choose(self, place: str) -> Member:
        if not self._idle:
            return self._start()
        known = self._places.get(place)
        chosen = known if known in self._idle else self._idle[-1]
        self._idle.remove(chosen)
        return chosen

    def _give(self, member: Member, job: Job) -> None:
        member.job = job
        self._places[job.place] = member
        self._places.move_to_end(job.place)
        if len(self._places) > MOST_PLACES:
            self._places.popitem(last=False)
        with contextlib.suppress(OSError):  # it died: who takes its results finds out
            member.end.send_bytes(job.pickled)

    def _start(self) -> Member:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._setup, self._arguments), daemon=True)
        process.start()
        theirs.close()
        member = Member(process, ours)
        self._members.append(member)
        threading.Thread(name="worker", target=self._receive, args=(member,), daemon=True).start()
        return member

    def _receive(self, member: Member) -> None:
        """Take a process' results, until it ends."""
        while True:
            try:
                pickled = member.end.recv_bytes()
            except (EOFError, OSError):
                self._bury(member)
                return
            with self._changed:
                job, member.job = member.job, None
                self._idle.append(member)
                self._hand_out()
                self._changed.notify_all()
            if job is not None:
                _settle(job.future, pickled)

    def _bury(self, member: Member) -> None:
        member.end.close()
        with self._changed:
            self._members.remove(member)
            if member in self._idle:
                self._idle.remove(member)
            self._hand_out()
            self._changed.notify_all()
        if member.job is not None:
            member.job.future.set_exception(BrokenProcessPool("The process that worked on it died."))


def _settle(future: Future[Any], pickled: bytes) -> None:
    """Hand a result to who waits for it; or the reason why it cannot be read."""
    try:
        result = ForkingPickler.loads(pickled)
    except Exception as error:  # noqa: BLE001 - whatever it is, who waits for the result must hear of it
        future.set_exception(error)
    else:
        future.set_result(result)


def _work(end: Connection, setup: Setup, arguments: tuple[Any, ...]) -> None:
    """What a process does: one thing after the other, until it is told that this is all."""
    setup(*arguments)
    while job := end.recv():
        work, given = job
        end.send(work(*given))
