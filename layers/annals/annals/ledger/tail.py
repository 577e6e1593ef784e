"""The tail of a conversation: where the next entry goes, and what it must be chained to; and its newest message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from threading import Lock
from typing import Any

from annals.database.damage import AttributeTypes, find_mismatch, report_damage
from annals.database.dynamodb import Item, client, from_item
from annals.errors import DamagedEntry
from annals.ledger.entry import MESSAGE, NO_HASH, RECENT, SEALED, Tail
from annals.ledger.entry_items import idempotency_of
from annals.ledger.keys import MAX_SEQ, entry_sk, is_entry_sk, seq_of_sk
from annals.ledger.read import walk, walk_items
from annals.ledger.scrub import chain_attributes, count_records
from annals.settings import settings
from annals.times import now_ms

TAIL: AttributeTypes = {"sk": str, "n": int, "count": int, "state": str, "at": int, "hash": bytes}
OPTIONAL: AttributeTypes = {"preamble": int, "archived": int, "rewind": int, "said": int, "records": list}
"""What is read of the last entry, with its types."""

PAGE = 10
"""How many entries one round trip reads when the newest that can be read, or that has a message, is looked for."""


def read_tail(pk: str, *, with_recent: bool = False) -> Tail | None:
    """The tail as it is now (a strongly consistent read of one item), or None where no conversation is.

    ``with_recent`` reads RECENT items, for ``Tail.recent``. Raises DamagedEntry where the last entry cannot be read:
    nothing is appended to it then.
    """
    newest_first = _read_newest(pk, RECENT if with_recent else 1)
    if not newest_first:
        return None
    tail = _tail(pk, from_item(newest_first[0]))
    return replace(tail, recent=tuple(_recent(newest_first))) if with_recent else tail


def _read_newest(pk: str, limit: int) -> Sequence[Mapping[str, Any]]:
    """The attributes of the last entries that a tail needs, the newest first; items with other keys are left out."""
    query: dict[str, Any] = {
        "TableName": settings().ledger_table,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": {
            ":pk": {"S": pk},
            ":first": {"S": entry_sk(0)},
            ":last": {"S": entry_sk(MAX_SEQ)},
        },
        "ProjectionExpression": (
            "sk, n, #count, #state, #at, #hash, records[0].kind, preamble, archived, rewind, said, idem"
        ),
        "ExpressionAttributeNames": {"#count": "count", "#state": "state", "#at": "at", "#hash": "hash"},
        "ScanIndexForward": False,
        "ConsistentRead": True,
        "Limit": limit,
    }
    while True:
        response = client().query(**query)
        entries = [item for item in response["Items"] if is_entry_sk(item["sk"]["S"])]
        if entries or "LastEvaluatedKey" not in response:
            return entries
        query["ExclusiveStartKey"] = response["LastEvaluatedKey"]


def salvage_tail(pk: str) -> Tail | None:
    """The tail, even where the last entry cannot be read: then as much of it as is still what an append wrote.

    It is for a redaction or an erasure, which has to be stored whatever is damaged. A state that cannot be told is that
    of a sealed conversation, so that nobody appends messages to it unawares. None where there is no conversation.
    """
    try:
        return read_tail(pk)
    except DamagedEntry:
        newest = walk_items(pk, newest_first=True, page=PAGE)
        last = next(item for item in newest if is_entry_sk(item["sk"]["S"]))
        return _salvaged(last, newest)


def _salvaged(last: Item, before: Iterable[Item]) -> Tail:
    attributes = chain_attributes(last)
    known: dict[str, Any] = {}
    for item in chain([last], before):
        known = {**chain_attributes(item), **known}
        if {"count", "at"} <= known.keys():
            break
    return Tail(
        seq=(seq_of_sk(attributes["sk"]) or 0) + max(count_records(last), 1) - 1,
        count=known.get("count", 0),
        state=attributes.get("state", SEALED),
        at=min(known.get("at", 0), now_ms()),
        hash=attributes.get("hash", NO_HASH),
        preamble=attributes.get("preamble", 0),
        archived=attributes.get("archived", 0),
        rewind=attributes.get("rewind", 0),
    )


def _tail(pk: str, values: Mapping[str, Any]) -> Tail:
    reason, first = find_mismatch(values, TAIL, OPTIONAL), seq_of_sk(values["sk"])
    kind = next((record["kind"] for record in values.get("records", []) if not reason), MESSAGE)
    if first is None or reason or values["n"] < 1 or not isinstance(kind, str):
        raise report_damage(DamagedEntry(pk, values["sk"], reason or "it cannot be the last one"))
    return Tail(
        seq=first + values["n"] - 1,
        count=values["count"],
        state=values["state"],
        at=values["at"],
        hash=values["hash"],
        kind=kind,
        preamble=values.get("preamble", 0),
        archived=values.get("archived", 0),
        rewind=values.get("rewind", 0),
        last_message_at=values.get("said", values["at"] if kind == MESSAGE else None),
    )


def _recent(newest_first: Sequence[Mapping[str, Any]]) -> Iterator[tuple[bytes, int]]:
    for values in map(from_item, reversed(newest_first)):
        seq = seq_of_sk(values["sk"])
        if seq is not None and (idem := idempotency_of(values.get("idem"))):
            yield idem.id, seq


@dataclass(frozen=True)
class LastMessage:
    """The newest message's seq, and when it was stored; and when the latest message was said. In Unix milliseconds.

    A message is said at its own ``timestamp`` where it has one, and otherwise, or where that is later, when it is
    stored. The latest one need not be the newest: messages may be appended that were said long before.
    """

    seq: int
    stored_at: int
    said_at: int


def find_last_message(pk: str, tail: Tail) -> LastMessage | None:
    """The newest message, or None where there is none. Read only where the tail is another kind of entry."""
    if not tail.count:
        return None
    if tail.kind == MESSAGE:
        return LastMessage(tail.seq, tail.at, tail.at if tail.last_message_at is None else tail.last_message_at)
    for entry in walk(pk, newest_first=True, page=PAGE):
        if entry.records[0].kind == MESSAGE:
            return LastMessage(entry.last_seq, entry.at, entry.at if entry.said is None else entry.said)
    raise report_damage(DamagedEntry(pk, entry_sk(tail.seq), f"it counts {tail.count} messages where there are none"))


class TailCache:
    """The tails that this process knows, the least recently used dropped first.

    A tail in here may be stale, which costs a lost race and no more: the conditional put decides.
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
