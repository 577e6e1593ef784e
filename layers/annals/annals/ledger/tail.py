"""The tail of a conversation: where the next entry goes, and what it must be chained to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from annals.dynamodb import client, from_item
from annals.ledger.entry import MESSAGE, RECENT, Tail
from annals.ledger.items import idempotency_of
from annals.ledger.read import walk
from annals.settings import settings


def read_tail(pk: str, *, with_recent: bool = False) -> Tail | None:
    """The tail as it is now (a strongly consistent read of one item), or None where no conversation is.

    ``with_recent`` reads RECENT items, for ``Tail.recent``.
    """
    found = client().query(
        TableName=settings().ledger_table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :entry)",
        ExpressionAttributeValues={":pk": {"S": pk}, ":entry": {"S": "E#"}},
        ProjectionExpression="sk, n, #count, #state, #at, #hash, records[0].kind, preamble, archived, idem",
        ExpressionAttributeNames={"#count": "count", "#state": "state", "#at": "at", "#hash": "hash"},
        ScanIndexForward=False,
        ConsistentRead=True,
        Limit=RECENT if with_recent else 1,
    )["Items"]
    if not found:
        return None
    values = from_item(found[0])
    last_seq = int(values["sk"].removeprefix("E#")) + values["n"] - 1
    kind = next((record["kind"] for record in values.get("records", [])), MESSAGE)
    return Tail(
        seq=last_seq,
        count=values["count"],
        state=values["state"],
        at=values["at"],
        hash=values["hash"],
        kind=kind,
        preamble=values.get("preamble", 0),
        archived=values.get("archived", 0),
        recent=tuple(_recent(found)) if with_recent else None,
    )


def _recent(newest_first: Sequence[Mapping[str, Any]]) -> Iterator[tuple[bytes, int]]:
    for values in map(from_item, reversed(newest_first)):
        if idem := idempotency_of(values.get("idem")):
            yield idem.id, int(values["sk"].removeprefix("E#"))


@dataclass(frozen=True)
class LastMessage:
    """The newest message's seq, and when it was appended, in Unix milliseconds."""

    seq: int
    at: int


def last_message(pk: str, tail: Tail) -> LastMessage | None:
    """The newest message, or None where there is none. Read only where the tail is another kind of entry."""
    if not tail.count:
        return None
    if tail.kind == MESSAGE:
        return LastMessage(tail.seq, tail.at)
    newest_first = walk(pk, newest_first=True, page=10)
    return next(LastMessage(entry.last_seq, entry.at) for entry in newest_first if entry.records[0].kind == MESSAGE)


class TailCache:
    """The tails that this process has seen, the least recently used dropped first.

    A tail in here may be stale, which costs its user a lost race and no more: the conditional put decides.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._lock = Lock()

    def get(self, pk: str) -> Tail | None:
        with self._lock:
            if pk in self._tails:
                self._tails.move_to_end(pk)
            return self._tails.get(pk)

    def put(self, pk: str, tail: Tail) -> None:
        with self._lock:
            self._tails[pk] = tail
            self._tails.move_to_end(pk)
            if len(self._tails) > self._capacity:
                self._tails.popitem(last=False)

    def forget(self, pk: str) -> None:
        with self._lock:
            self._tails.pop(pk, None)


tails = TailCache()
