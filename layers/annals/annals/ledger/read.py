"""Reads of a conversation's entries. All are strongly consistent."""

from __future__ import annotations

from collections.abc import Iterator

from annals.dynamodb import client
from annals.ledger.entry import Entry
from annals.ledger.items import from_ledger_item
from annals.ledger.keys import MAX_SEQ, entry_sk
from annals.settings import settings


def read_entry(pk: str, seq: int) -> Entry:
    """The entry whose first record is ``seq``. Raises KeyError where there is none."""
    key = {"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}}
    return from_ledger_item(client().get_item(TableName=settings().ledger_table, Key=key, ConsistentRead=True)["Item"])


def walk(
    pk: str, *, first: int = 0, last: int | None = None, newest_first: bool = False, page: int | None = None
) -> Iterator[Entry]:
    """Walk over the entries that begin at seq ``first`` to ``last``, inclusive, read as they are asked for.

    Parameters
    ----------
    page : how many entries one round trip may read; DynamoDB's own limit is 1 MB
    """
    if last is not None and last < first:
        return
    query = {
        "TableName": settings().ledger_table,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": {
            ":pk": {"S": pk},
            ":first": {"S": entry_sk(first)},
            ":last": {"S": entry_sk(MAX_SEQ if last is None else last)},
        },
        "ScanIndexForward": not newest_first,
        "ConsistentRead": True,
        **({"Limit": page} if page else {}),
    }
    while True:
        answer = client().query(**query)  # type: ignore[arg-type]
        yield from map(from_ledger_item, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def walk_records_from(pk: str, seq: int, *, last: int | None = None, page: int | None = None) -> Iterator[Entry]:
    """Walk, oldest first, over the entries that hold record ``seq`` or a later one.

    ``last`` is the seq at which the last of them may begin; ``page`` is as for ``walk``.
    """
    holder = next(walk(pk, last=seq, newest_first=True, page=1), None)
    return walk(pk, first=holder.seq if holder else 0, last=last, page=page)


def read_records(pk: str, first: int, last: int) -> Iterator[Entry]:
    """The entries that hold any of the records ``first`` to ``last``, oldest first."""
    return walk_records_from(pk, first, last=last)
