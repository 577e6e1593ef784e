"""What writes messages while they are said, so that no one who speaks waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from annals_client.errors import AnnalsError, ConnectionFailed, RateLimited, ServerFailed, Unavailable
from annals_client.integrations.support import framework

with framework("vision-agents"):
    from vision_agents.core.agents.conversation import Message

logger = logging.getLogger(__name__)

PASSING = (ConnectionFailed, RateLimited, ServerFailed, Unavailable)
"""What may be over when it is tried again."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass
class Said:
    """A message that is not stored as it is now.

    Parameters
    ----------
    due : when it is to be written, on ``time.monotonic()``'s clock; None where nothing is new
    is_whole : nothing will be added to it
    is_cut_off : its speaker went on to say something else, or the call ended
    changes : how often it changed
    drafted : the text that its draft has; None where that is not known
    revision : the last one of its draft; 0 where there is none
    failure : why it is not stored
    """

    message: Message
    due: float | None = None
    is_whole: bool = False
    is_cut_off: bool = False
    changes: int = 0
    drafted: str | None = None
    revision: int = 0
    failure: AnnalsError | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is to become a message, not a draft."""
        return self.is_whole or self.is_cut_off


class Store(Protocol):
    """Where messages go."""

    async def draft(self, said: Said) -> None:
        """Show what was said so far. Raises AnnalsError."""

    async def commit(self, said: Said) -> None:
        """Store the message. Raises AnnalsError."""


class Writer:
    """Writes what is new, one request at a time, in a task that lives as long as there is something to write.

    Parameters
    ----------
    store : where it goes
    interval_s : how long changes of a draft are collected; None for no drafts at all
    """

    def __init__(self, store: Store, interval_s: float | None) -> None:
        self._store = store
        self._interval_s = interval_s
        self._said: dict[str, Said] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pause_s = 0.0
        self._paused_until = 0.0

    def note(self, message: Message, *, is_whole: bool) -> None:
        """Have a message written that is new or has changed. It returns at once."""
        now = time.monotonic()
        said = self._said.get(str(message.id))
        if said is None:
            self._cut_off_earlier(message, now)
            said = self._said[str(message.id)] = Said(message)
        said.changes += 1
        said.is_whole, said.is_cut_off = is_whole, False
        if is_whole:
            said.due = now
        elif said.due is None and self._interval_s is not None and said.failure is None:
            said.due = now + self._interval_s
        self._wake()
        self._changed.set()

    def _cut_off_earlier(self, message: Message, now: float) -> None:
        """Who begins to say something else does not go on with what was being said."""
        for said in self._said.values():
            of_same = (said.message.role, said.message.user_id) == (message.role, message.user_id)
            if of_same and not said.is_over:
                said.is_cut_off, said.due = True, now

    def _wake(self) -> None:
        """Have the task running, if an event loop is."""
        with suppress(RuntimeError):  # there is none: what is next in one wakes it, or waits for all
            loop = asyncio.get_running_loop()
            if loop is not self._loop:
                self._loop, self._lock, self._changed = loop, asyncio.Lock(), asyncio.Event()
                self._task = None
            if self._task is None or self._task.done():
                self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        while (said := self._next()) is not None:
            pause_s = self._pause_before(said)
            if pause_s > 0:
                self._changed.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause_s)
                continue
            async with self._lock:
                if said is self._next() and self._pause_before(said) <= 0:  # it is still its turn
                    await self._write(said)

    def _next(self) -> Said | None:
        waiting = [said for said in self._said.values() if said.due is not None]
        return min(waiting, key=lambda said: said.due or 0.0, default=None)

    def _pause_before(self, said: Said) -> float:
        return max(said.due or 0.0, self._paused_until) - time.monotonic()

    async def drain(self, *, ends: bool) -> list[Said]:
        """Write all that is waiting, each once, and give back what could not be.

        Parameters
        ----------
        ends : whether nothing more will be said, so that what is not whole is stored as it is
        """
        for said in self._said.values():
            if ends and not said.is_over:
                said.is_cut_off, said.due = True, time.monotonic()
        self._wake()
        async with self._lock:
            for said in self._to_be_written():
                await self._write(said)
                if isinstance(said.failure, PASSING):
                    break
        self._wake()
        self._changed.set()  # the task may have nothing left to wait for, or something new
        return self._to_be_written()

    def _to_be_written(self) -> list[Said]:
        waiting = [said for said in self._said.values() if said.due is not None or said.failure is not None]
        return sorted(waiting, key=lambda said: said.due or 0.0)

    async def _write(self, said: Said) -> None:
        changes, is_over, due = said.changes, said.is_over, said.due
        said.due = None
        try:
            await (self._store.commit(said) if is_over else self._store.draft(said))
        except AnnalsError as failure:
            self._failed(said, failure, due)
            return
        except BaseException:  # it is cancelled, perhaps: what is being written counts as not written
            said.due = due or 0.0
            raise
        said.failure, self._pause_s, self._paused_until = None, 0.0, 0.0
        if said.changes == changes and is_over:
            del self._said[str(said.message.id)]
        elif is_over:
            said.drafted = None

    def _failed(self, said: Said, failure: AnnalsError, due: float | None) -> None:
        """Say so, and try again where that may help; what is refused stays until somebody waits for it."""
        logger.error("A message is not stored yet (id %r): %s", said.message.id, failure)
        said.failure, said.drafted = failure, None
        if isinstance(failure, PASSING):
            self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self._paused_until = time.monotonic() + self._pause_s
            said.due = due or 0.0  # its place before what was said later
