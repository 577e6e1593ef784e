"""Indexing from the tables' streams: in a bounded time, and with nothing waiting behind what cannot be indexed."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

from annals.database.failures_queue import send_failure
from annals.errors import OutOfTime, SearchUnavailable
from annals.ledger.keys import entry_sk
from annals.memory import adapters
from annals.memory.indexing.indexer import IndexTarget, index_item, index_range
from annals.memory.keys import is_memory_sk
from annals.search.pipeline import always
from annals.search.profiles import index_profile
from annals.settings import settings

BATCH = 16
"""How many texts are embedded between two looks at the clock: a slow model takes seconds for each."""

TRIES = 3
"""How often a record is tried that fails while others don't, before it goes to the failures' queue."""

TRIED = 10_000
"""How many records' tries a process remembers."""

logger = logging.getLogger("annals")

_tries: OrderedDict[tuple[str, str], int] = OrderedDict()


def written(has_time: Callable[[], bool] = always) -> list[IndexTarget]:
    """The indexes that are written: the one in service, and the one that is being built, if there is one."""
    live, embedder = adapters.index(), adapters.embedder()
    targets = [IndexTarget(live, embedder, batch=BATCH, has_time=has_time)]
    if new := live.find_next():
        is_alike = new.find_profile() == index_profile(embedder.model, embedder.dimensions)
        model, known = (embedder, (live,)) if is_alike else (None, ())
        targets.append(IndexTarget(new, model, reuse_from=known, batch=BATCH, has_time=has_time))
    return targets


class StreamIndexing:
    """The work of one batch. What is not begun when its time is over is left to the next one."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + settings().index_budget_s
        self._targets: list[IndexTarget] = []
        self._down: SearchUnavailable | None = None

    def entries(self, pk: str, seqs: list[int]) -> Collection[int]:
        """Index entries of a conversation. Returns those that are to be sent again; raises SearchUnavailable."""
        if not self._has_time():
            return seqs
        failed: dict[int, str] = {}
        try:
            for target in self._open():
                failed |= index_range(target, pk, seqs[0], seqs[-1])
        except OutOfTime:
            logger.info("The time of a batch is over; what is left of it comes again")
            return seqs
        except SearchUnavailable as error:
            self._down = error
            raise
        return [seq for seq in seqs if seq in failed and not _given_up(pk, entry_sk(seq), failed[seq])]

    def item(self, keys: Mapping[str, Any]) -> None:
        """Index a memory or a fact. Raises SearchUnavailable, or OutOfTime, where it is to be sent again."""
        pk, sk = keys["pk"]["S"], keys["sk"]["S"]
        if not is_memory_sk(sk):
            return
        if not self._has_time():
            raise OutOfTime
        failed = [failure for target in self._open() for failure in index_item(target, pk, sk)]
        if failed and not _given_up(pk, sk, failed[0].reason):
            raise SearchUnavailable(failed[0].reason)

    def _has_time(self) -> bool:
        return time.monotonic() < self._deadline

    def _open(self) -> list[IndexTarget]:
        """The indexes that are written. What was down once in a batch is not asked again."""
        if self._down is not None:
            raise self._down
        self._targets = self._targets or written(self._has_time)
        return self._targets


def _given_up(pk: str, sk: str, reason: str) -> bool:
    """Whether a record was tried often enough; it is in the failures' queue then, where there is one."""
    tries = _tries.pop((pk, sk), 0) + 1
    if tries >= TRIES and settings().failures_queue_url:
        logger.warning("A record cannot be indexed and goes to the failures' queue: %s", reason)
        send_failure(pk, sk, reason)
        return True
    _tries[pk, sk] = tries
    if len(_tries) > TRIED:
        _tries.popitem(last=False)
    return False
