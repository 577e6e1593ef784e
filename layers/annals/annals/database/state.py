"""Reads and writes of the state table: all that may change, beside the ledger that never does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from annals.database.dynamodb import Item, client, to_item
from annals.database.item_size import MAX_ITEM_BYTES, item_size
from annals.database.transactions import condition_failed, current_item
from annals.errors import RequestTooLarge, Unavailable
from annals.retries import tries
from annals.settings import settings

BATCH_KEYS = 100
"""How many items DynamoDB reads in one request by their keys."""


def state_item(key: Item, values: Mapping[str, Any], *, kind: str, fields: Mapping[str, Any]) -> Item:
    """An item with this key and these values, small enough for DynamoDB.

    Parameters
    ----------
    kind : what it is, such as ``memory``, for the refusal
    fields : what the caller sent that is in it, by the names of the API's fields

    Raises
    ------
    RequestTooLarge : it weighs more than an item can; the refusal names the field that takes most of it
    """
    size = item_size(values) + sum(len(name) + len(part["S"].encode()) for name, part in key.items())
    if size > MAX_ITEM_BYTES:
        field = max(fields, key=lambda name: item_size(fields[name]))
        detail = f"The {kind} takes {size} bytes as it is stored, and at most {MAX_ITEM_BYTES} are; {field} takes most."
        raise RequestTooLarge(detail, field=field)
    return {**key, **to_item(values)}


def read_partition(pk: str, prefix: str = "", **more: Any) -> Iterator[Item]:
    """The items of a partition whose sort keys begin so, in their order. Strongly consistent."""
    values = {":pk": {"S": pk}, **({":prefix": {"S": prefix}} if prefix else {})}
    query = client().get_paginator("query")
    pages = query.paginate(
        TableName=settings().state_table,
        KeyConditionExpression="pk = :pk" + (" AND begins_with(sk, :prefix)" if prefix else ""),
        ExpressionAttributeValues=values,
        ConsistentRead=True,
        **more,
    )
    items = (item for page in pages for item in page["Items"])
    # dynoxide takes A for a where a key begins so; DynamoDB does not, and there nothing is left out.
    return (item for item in items if "sk" not in item or item["sk"]["S"].startswith(prefix))


def find_item(key: Item) -> Item | None:
    """The item of a key, or None. Strongly consistent."""
    return client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")


def read_items(keys: Sequence[Item], *, consistent: bool = False, table: str = "", **more: Any) -> Iterator[Item]:
    """The items of these keys that exist, in no order; of the state table, or of another.

    Raises Unavailable where DynamoDB does not read them all in time.
    """
    name = table or settings().state_table
    for start in range(0, len(keys), BATCH_KEYS):
        batch: Any = {"Keys": keys[start : start + BATCH_KEYS], "ConsistentRead": consistent, **more}
        remaining: dict[str, Any] = {name: batch}
        for _ in tries(settings().append_patience_s):
            response = client().batch_get_item(RequestItems=remaining)
            yield from response["Responses"].get(name, [])
            remaining = response.get("UnprocessedKeys") or {}
            if not remaining:
                break
        else:
            raise Unavailable("DynamoDB did not read all items in time. Send the request again.")


def put_if(item: Item, condition: str, values: Mapping[str, Any] | None = None, **more: Any) -> Item | None:
    """Put an item on a condition. Where the reply is lost, the client library sends the put again: that finds its own
    write id, and counts as stored. (Transactions need none: the client library gives each one a token.)

    Parameters
    ----------
    item : as DynamoDB has it; ``writeId`` is added
    condition : the condition
    values : what the condition compares with, as plain values
    more : further parameters of the request

    Returns
    -------
    Item or None
        None where the item is stored; else the item that is there instead, empty for none.
    """
    write_id = {"S": secrets.token_hex(8)}
    if values:
        more["ExpressionAttributeValues"] = to_item(values)
    try:
        client().put_item(
            TableName=settings().state_table,
            Item={**item, "writeId": write_id},
            ConditionExpression=condition,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **more,
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        current = current_item(error.response)
        return None if current.get("writeId") == write_id else current
    return None


def delete_if(key: Item, condition: str, values: Mapping[str, Any]) -> bool:
    """Delete an item on a condition, which compares with plain values; False where it does not hold."""
    try:
        client().delete_item(
            TableName=settings().state_table,
            Key=key,
            ConditionExpression=condition,
            ExpressionAttributeValues=to_item(values),
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        return False
    return True


def delete_partition(pk: str, prefix: str = "") -> None:
    """Delete the items of a partition whose sort keys begin so. It can be done again, and then finishes."""
    for key in read_partition(pk, prefix, ProjectionExpression="pk, sk"):
        client().delete_item(TableName=settings().state_table, Key=key)


def empty_partition(pk: str) -> None:
    """Delete all items of a partition, even those that come meanwhile. Raises Unavailable where these don't end."""
    for _ in tries(settings().append_patience_s):
        delete_partition(pk)
        if next(read_partition(pk, ProjectionExpression="pk", Limit=1), None) is None:
            return
    raise Unavailable("Something is stored faster than it can be deleted. Send the request again.")
