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
from annals.memory.indexing.indexer import IndexTarget, index_entries, index_item
from annals.memory.keys import is_memory_sk
from annals.search.pipeline import always
from annals.search.profiles import index_profile
from annals.settings import settings

BATCH_SIZE = 16
"""How many texts are embedded before the clock is read again: a slow model takes seconds for each."""

MAX_TRIES = 3
"""How often a record is tried that fails while others don't, before it goes to the queue of failures."""

MAX_REMEMBERED = 10_000
"""Of how many records a process remembers how often they were tried."""

logger = logging.getLogger("annals")

_tries: OrderedDict[tuple[str, str], int] = OrderedDict()


def open_targets(has_time: Callable[[], bool] = always) -> list[IndexTarget]:
    """The indexes that are written: the one in service, and the one that is being built, if there is one."""
    live, embedder = adapters.index(), adapters.embedder()
    targets = [IndexTarget(live, embedder, batch=BATCH_SIZE, has_time=has_time)]
    if new := live.find_next():
        is_alike = new.find_profile() == index_profile(embedder.model, embedder.dimensions)
        model, reuse_from = (embedder, (live,)) if is_alike else (None, ())
        targets.append(IndexTarget(new, model, reuse_from=reuse_from, batch=BATCH_SIZE, has_time=has_time))
    return targets


class StreamIndexing:
    """The work of one batch. What is not begun when its time is over is left to the next one."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + settings().index_budget_s
        self._targets: list[IndexTarget] = []
        self._unavailable: SearchUnavailable | None = None

    def index_entries(self, pk: str, seqs: list[int]) -> Collection[int]:
        """Index entries of a conversation. Returns the seqs that are to be sent again; raises SearchUnavailable."""
        if not self._has_time():
            return seqs
        failed: dict[int, str] = {}
        try:
            for target in self._open_targets():
                failed |= index_entries(target, pk, seqs[0], seqs[-1])
        except OutOfTime:
            logger.info("The time of a batch is over; what is left of it comes again")
            return seqs
        except SearchUnavailable as error:
            self._unavailable = error
            raise
        return [seq for seq in seqs if seq in failed and not _is_given_up(pk, entry_sk(seq), failed[seq])]

    def index_item(self, keys: Mapping[str, Any]) -> None:
        """Index a memory or a fact. Raises SearchUnavailable, or OutOfTime, where it is to be sent again."""
        pk, sk = keys["pk"]["S"], keys["sk"]["S"]
        if not is_memory_sk(sk):
            return
        if not self._has_time():
            raise OutOfTime
        failed = [failure for target in self._open_targets() for failure in index_item(target, pk, sk)]
        if failed and not _is_given_up(pk, sk, failed[0].reason):
            raise SearchUnavailable(failed[0].reason)

    def _has_time(self) -> bool:
        return time.monotonic() < self._deadline

    def _open_targets(self) -> list[IndexTarget]:
        """The indexes that are written. An index that did not answer once in a batch is not asked again."""
        if self._unavailable is not None:
            raise self._unavailable
        self._targets = self._targets or open_targets(self._has_time)
        return self._targets


def _is_given_up(pk: str, sk: str, reason: str) -> bool:
    """Whether a record was tried often enough; it is in the queue of failures then, where there is one."""
    tries = _tries.pop((pk, sk), 0) + 1
    if tries >= MAX_TRIES and settings().failures_queue_url:
        logger.warning("A record cannot be indexed and goes to the queue of failures: %s", reason)
        send_failure(pk, sk, reason)
        return True
    _tries[pk, sk] = tries
    if len(_tries) > MAX_REMEMBERED:
        _tries.popitem(last=False)
    return False
