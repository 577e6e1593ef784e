"""The state table's partitions: what may change, beside the ledger that never does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from annals.dynamodb import Item, client
from annals.settings import settings


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
