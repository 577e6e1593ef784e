"""A reply while it grows, and the task that writes it into its draft, batch by batch."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from anyio.to_thread import run_sync

from annals.errors import StreamNotFound
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, Drafts
from annals.privacy import masking

logger = logging.getLogger("annals")

BATCH_S = 0.25
"""How long a delta may wait until it is written into the draft."""

BATCH_CHARS = 4096
"""How much one item of a draft holds."""


class GrowingReply:
    """The reply so far. A piece is taken in by appending it to ``pieces``; all else is done batch by batch.

    Parameters
    ----------
    first : the number of the first piece

    Attributes
    ----------
    pieces : one for each delta; none is longer than 65,535 characters, as the draft stores lengths in two bytes
    """

    def __init__(self, first: int = 1) -> None:
        self.pieces: list[str] = []
        self.first = first
        self._drained = 0

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    @property
    def last(self) -> int:
        """The number of the last piece."""
        return self.first + len(self.pieces) - 1

    @property
    def has_text(self) -> bool:
        """Whether there is more to it than whitespace."""
        return any(not piece.isspace() for piece in self.pieces)

    def drain(self) -> Iterator[DeltaBatch]:
        """What came since the last call, in batches."""
        begin, self._drained = self._drained, len(self.pieces)
        return _batches(self.first + begin, self.pieces[begin:])


def _batches(number: int, texts: list[str]) -> Iterator[DeltaBatch]:
    """Texts in batches that fit an item, found by halving: adding up text by text would take longer."""
    if len(texts) > 1 and len("".join(texts)) > BATCH_CHARS:
        half = len(texts) // 2
        yield from _batches(number, texts[:half])
        yield from _batches(number + half, texts[half:])
    elif texts:
        yield DeltaBatch(number, texts)


class DraftRecorder:
    """Writes a reply into its draft while it comes, so that others can follow it.

    A draft is a help, not the ledger: one that cannot be written delays and fails nothing. One that is gone
    with its turn is written no more.
    """

    def __init__(self, drafts: Drafts, draft: Draft, reply: GrowingReply) -> None:
        self._drafts = drafts
        self._draft = draft
        self._reply = reply
        self._unwritten: deque[DeltaBatch] = deque()
        self._context: Mapping[str, Any] | None = None
        self._is_context_new = False
        self._heartbeat_at = self._next_heartbeat()
        self._ended = asyncio.Event()
        self._is_gone = False

    def set_context(self, context: Mapping[str, Any]) -> None:
        """Set the data of the context event, to be written with the next sign of life."""
        self._context, self._is_context_new = context, True

    async def run(self) -> None:
        """Write what came, every quarter of a second, until ``finish`` is called."""
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(BATCH_S):
                    await self._ended.wait()
            except TimeoutError:
                await self._catch_up()

    async def finish(self, run_task: asyncio.Task[None], end: DraftEnd) -> None:
        """End ``run``, whose task is given, and then the draft."""
        self._ended.set()
        await run_task
        await self._catch_up(end)

    async def _catch_up(self, end: DraftEnd | None = None) -> None:
        if self._is_gone:
            return
        try:
            await self._write()
            if end:
                await run_sync(self._drafts.end, self._draft, end)
        except StreamNotFound:
            self._is_gone = True
        except Exception:
            logger.exception("The draft of %s is behind", self._draft.stream_id)

    async def _write(self) -> None:
        # Personal data can be masked in a whole reply only. Where it is, no delta is stored: followers get the reply at
        # its end, masked.
        if not masking.is_enabled():
            self._unwritten.extend(self._reply.drain())
        if self._is_context_new or (not self._unwritten and asyncio.get_running_loop().time() > self._heartbeat_at):
            await run_sync(self._drafts.heartbeat, self._draft, self._context)
            self._is_context_new = False
            self._heartbeat_at = self._next_heartbeat()
        while self._unwritten:
            await run_sync(self._drafts.add, self._draft, self._unwritten[0])
            self._unwritten.popleft()
            self._heartbeat_at = self._next_heartbeat()

    def _next_heartbeat(self) -> float:
        return asyncio.get_running_loop().time() + self._drafts.lease_s / 3
