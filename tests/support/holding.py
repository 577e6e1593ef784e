"""Two at once, one switch at a time: one operation is held in front of a write until another one is through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from annals.database.dynamodb import client
from annals.settings import settings
from local.workers import Context
from tests.support import crashes
from tests.support.stack import function

PATIENCE_S = 60
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


@dataclass
class Held:
    """An operation for a thread of its own, which is held in front of one of its writes, from 1 on."""

    run: Callable[[], Any]
    at: int
    is_held: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    answers: list[Any] = field(default_factory=list)
    writes: int = 0

    def __call__(self) -> None:
        try:
            with _watching(self._stop):
                self.answers.append(self.run())
        finally:
            self.is_held.set()

    def _stop(self) -> None:
        self.writes += 1
        if self.writes == self.at:
            self.is_held.set()
            assert self.may_go_on.wait(PATIENCE_S)


def held(run: Callable[[], Any], at: int, meanwhile: Callable[[], Any]) -> tuple[Any, Any, bool]:
    """Run an operation, and another one while the first is held in front of its write ``at``.

    Returns
    -------
    tuple
        What both answered, and whether the first one had so many writes.
    """
    first = Held(run, at)
    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert first.is_held.wait(PATIENCE_S)
        second = meanwhile()
    finally:
        first.may_go_on.set()
        thread.join(PATIENCE_S)
    assert first.answers, "the operation that was held failed"
    return first.answers[0], second, first.writes >= at


@contextmanager
def _watching(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` in front of each write, but for those of the main thread, in which the other operation runs."""

    def before(**_: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            stop()

    hooks = client().meta.events
    for operation in WRITES:
        hooks.register(f"before-call.dynamodb.{operation}", before)
    try:
        yield
    finally:
        for operation in WRITES:
            hooks.unregister(f"before-call.dynamodb.{operation}", before)


def items_of(tenant: str) -> list[Any]:
    """All that both tables hold of a tenant."""
    tables = (settings().ledger_table, settings().state_table)
    return [item for table in tables for item in crashes.items_of(tenant, table)]


def places_of(tenant: str, word: str) -> list[tuple[str, str]]:
    """The keys of a tenant's items, in both tables, that hold a word; entries under 1 KB are not deflated."""
    return [(item["pk"]["S"], item["sk"]["S"]) for item in items_of(tenant) if word in repr(item)]


@dataclass
class TenantIndex:
    """The search index as it follows both tables for a tenant: it hears of all that is there, or was there before."""

    tenant: str
    seen: dict[tuple[str, str], Any] = field(default_factory=dict)

    def bring_up_to_date(self) -> None:
        """Tell the index function of it."""
        for item in items_of(self.tenant):
            self.seen[item["pk"]["S"], item["sk"]["S"]] = {"pk": item["pk"], "sk": item["sk"]}
        for begins in ("E#", "M#"):
            keys = [key for (_, sk), key in self.seen.items() if sk.startswith(begins)]
            records = [{"dynamodb": {"Keys": key, "SequenceNumber": str(at)}} for at, key in enumerate(keys)]
            if records:
                assert function("index").handler({"Records": records}, Context("index")) == {"batchItemFailures": []}
