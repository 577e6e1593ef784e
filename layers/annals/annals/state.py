"""The state table's partitions: what may change, beside the ledger that never does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from annals.dynamodb import Item, client
from annals.errors import Unavailable
from annals.ledger.retry import tries
from annals.settings import settings

BATCH_KEYS = 100
"""How many items DynamoDB brings in one request by their keys."""


def read_partition(pk: str, prefix: str = "", **more: Any) -> Iterator[Item]:
    """The items of a partition, those whose sort keys begin so, in their order. Strongly consistent."""
    values = {":pk": {"S": pk}, **({":prefix": {"S": prefix}} if prefix else {})}
    query = client().get_paginator("query")
    pages = query.paginate(
        TableName=settings().state_table,
        KeyConditionExpression="pk = :pk" + (" AND begins_with(sk, :prefix)" if prefix else ""),
        ExpressionAttributeValues=values,
        ConsistentRead=True,
        **more,
    )
    return (item for page in pages for item in page["Items"])


def read_items(keys: Sequence[Item], *, consistent: bool = False) -> Iterator[Item]:
    """The items of these keys that are there, in no order. Raises Unavailable where DynamoDB does not bring all."""
    for start in range(0, len(keys), BATCH_KEYS):
        wanted: Any = {"Keys": keys[start : start + BATCH_KEYS], "ConsistentRead": consistent}
        asked: dict[str, Any] = {settings().state_table: wanted}
        for _ in tries(settings().append_patience_s):
            answer = client().batch_get_item(RequestItems=asked)
            yield from answer["Responses"].get(settings().state_table, [])
            asked = answer.get("UnprocessedKeys") or {}
            if not asked:
                break
        else:
            raise Unavailable("DynamoDB did not bring all items in time. Send the request again.")


def delete_partition(pk: str, prefix: str = "") -> None:
    """Delete the items of a partition, those whose sort keys begin so. Doing it again finishes what was begun."""
    for key in read_partition(pk, prefix, ProjectionExpression="pk, sk"):
        client().delete_item(TableName=settings().state_table, Key=key)


def cancellation_reasons(error: ClientError) -> list[Any]:
    """Why a transaction was called off, write by write; any other error is raised again."""
    if error.response["Error"]["Code"] != "TransactionCanceledException":
        raise error
    reasons: list[Any] = error.response["CancellationReasons"]
    return reasons
