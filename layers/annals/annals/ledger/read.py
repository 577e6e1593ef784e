"""Reads of a conversation's entries, strongly consistent all of them.

``walk`` and ``read_records`` raise DamagedEntry at an entry that cannot be read; ``walk_all`` yields it, and what has
``readable`` in its name leaves it out. Each is reported where it is met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from annals.database.damage import report_damage
from annals.database.dynamodb import Item, client
from annals.database.keys import item_key
from annals.errors import DamagedEntry
from annals.ledger.entry import Entry
from annals.ledger.entry_items import check_ledger_item, from_ledger_item
from annals.ledger.keys import MAX_SEQ, entry_sk
from annals.settings import settings


def read_entry(pk: str, seq: int) -> Entry:
    """The entry whose first record is ``seq``, which something stored names. Raises DamagedEntry if it is missing."""
    key = item_key(pk, entry_sk(seq))
    item = client().get_item(TableName=settings().ledger_table, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        raise report_damage(DamagedEntry(pk, entry_sk(seq), "it is missing"))
    return _read(item)


def _read(item: Mapping[str, Any]) -> Entry:
    try:
        return from_ledger_item(item)
    except DamagedEntry as damaged:
        raise report_damage(damaged) from None


def walk_checked(pk: str) -> Iterator[Entry | DamagedEntry]:
    """All that is under a conversation's key, in order: its entries, and what is not as an append writes it."""
    for item in _query("pk = :pk", {":pk": {"S": pk}}):
        checked = check_ledger_item(item)
        yield report_damage(checked) if isinstance(checked, DamagedEntry) else checked


def walk_other_items(pk: str) -> Iterator[Item]:
    """The stored items whose keys are before those of a conversation's messages, or after them.

    These are the genesis, and what somebody else put there.
    """
    yield from _query("pk = :pk AND sk < :first", {":pk": {"S": pk}, ":first": {"S": entry_sk(1)}})
    yield from _query("pk = :pk AND sk > :last", {":pk": {"S": pk}, ":last": {"S": entry_sk(MAX_SEQ)}})


def walk_all(pk: str, *, first: int = 0, last: int | None = None) -> Iterator[Entry | DamagedEntry]:
    """Walk over a conversation's entries, oldest first, with those that cannot be read; these are reported."""
    for item in walk_items(pk, first=first, last=last):
        try:
            yield _read(item)
        except DamagedEntry as damaged:
            yield damaged


def walk_readable(pk: str, *, first: int = 0, last: int | None = None) -> Iterator[Entry]:
    """Walk over the entries that can be read, oldest first; the others are reported and left out."""
    return (entry for entry in walk_all(pk, first=first, last=last) if isinstance(entry, Entry))


def walk(
    pk: str, *, first: int = 0, last: int | None = None, newest_first: bool = False, page: int | None = None
) -> Iterator[Entry]:
    """Walk over the entries that begin at seq ``first`` to ``last``, inclusive, read lazily.

    Raises DamagedEntry at one that cannot be read.

    Parameters
    ----------
    page : how many entries one round trip may read; DynamoDB's own limit is 1 MB
    """
    yield from map(_read, walk_items(pk, first=first, last=last, newest_first=newest_first, page=page))


def walk_items(
    pk: str, *, first: int = 0, last: int | None = None, newest_first: bool = False, page: int | None = None
) -> Iterator[Item]:
    """Walk over the stored items whose keys are those of entries that begin at seq ``first`` to ``last``."""
    if last is not None and last < first:
        return
    values = {
        ":pk": {"S": pk},
        ":first": {"S": entry_sk(first)},
        ":last": {"S": entry_sk(MAX_SEQ if last is None else last)},
    }
    more = {"ScanIndexForward": not newest_first, **({"Limit": page} if page else {})}
    yield from _query("pk = :pk AND sk BETWEEN :first AND :last", values, **more)


def _query(condition: str, values: Mapping[str, Any], **more: Any) -> Iterator[Item]:
    query = {
        "TableName": settings().ledger_table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ConsistentRead": True,
        **more,
    }
    while True:
        response = client().query(**query)
        yield from response["Items"]
        if "LastEvaluatedKey" not in response:
            return
        query["ExclusiveStartKey"] = response["LastEvaluatedKey"]


def walk_records_from(pk: str, seq: int, *, last: int | None = None, page: int | None = None) -> Iterator[Entry]:
    """Walk, oldest first, over the entries that hold record ``seq`` or a later one.

    ``last`` is the seq at which the last of them may begin; ``page`` is as for ``walk``.
    """
    if seq <= 1:
        # The genesis holds record 0 alone: the first message begins an entry.
        return walk(pk, first=seq, last=last, page=page)
    holder = next(walk(pk, last=seq, newest_first=True, page=1), None)
    return walk(pk, first=holder.seq if holder else 0, last=last, page=page)


def read_records(pk: str, first: int, last: int) -> Iterator[Entry]:
    """The entries that hold any of the records ``first`` to ``last``, oldest first."""
    return walk_records_from(pk, first, last=last)


def read_readable_records(pk: str, first: int, last: int) -> list[Entry]:
    """The entries that hold any of the records ``first`` to ``last``, without those that cannot be read."""
    try:
        return list(read_records(pk, first, last))
    except DamagedEntry:
        # Some of these may hold none of the records: where a damaged entry ends, only itself could have told.
        return list(walk_readable(pk, first=first, last=last))
