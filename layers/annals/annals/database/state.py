"""The state table's partitions: what may change, beside the ledger that never does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from annals.database.dynamodb import Item, client, to_item
from annals.database.retries import tries
from annals.errors import AppendConflict, RequestTooLarge, Unavailable
from annals.ledger.append import RETRIED_REASONS
from annals.ledger.entry_items import item_size
from annals.settings import settings

BATCH_KEYS = 100
"""How many items DynamoDB brings in one request by their keys."""

MAX_ITEM_BYTES = 399 * 1024
"""The most that an item may weigh, its key and its names with it. DynamoDB takes 400 KB; ``writeId`` may be added."""


def state_item(key: Item, values: Mapping[str, Any], *, of: str, said: Mapping[str, Any]) -> Item:
    """An item with this key and these values, which DynamoDB has room for.

    Parameters
    ----------
    of : what it is, for whoever reads the refusal
    said : what the caller said that is in it, by the names of the API's fields

    Raises
    ------
    RequestTooLarge : it weighs more than an item can; the field is what takes most of it
    """
    size = item_size(values) + sum(len(name) + len(part["S"].encode()) for name, part in key.items())
    if size > MAX_ITEM_BYTES:
        field = max(said, key=lambda name: item_size(said[name]))
        detail = f"The {of} takes {size} bytes as it is stored, and at most {MAX_ITEM_BYTES} are; {field} takes most."
        raise RequestTooLarge(detail, field=field)
    return {**key, **to_item(values)}


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


def read_items(keys: Sequence[Item], *, consistent: bool = False, table: str = "", **more: Any) -> Iterator[Item]:
    """The items of these keys that are there, in no order; of the state table, or of another.

    Raises Unavailable where DynamoDB does not bring all.
    """
    name = table or settings().state_table
    for start in range(0, len(keys), BATCH_KEYS):
        wanted: Any = {"Keys": keys[start : start + BATCH_KEYS], "ConsistentRead": consistent, **more}
        asked: dict[str, Any] = {name: wanted}
        for _ in tries(settings().append_patience_s):
            answer = client().batch_get_item(RequestItems=asked)
            yield from answer["Responses"].get(name, [])
            asked = answer.get("UnprocessedKeys") or {}
            if not asked:
                break
        else:
            raise Unavailable("DynamoDB did not bring all items in time. Send the request again.")


def put_if(item: Item, condition: str, values: Mapping[str, Any] | None = None, **more: Any) -> Item | None:
    """Put an item on a condition. The client library sends it again where the reply was lost, and it finds itself.
    (Transactions need no such thing: the client library gives each one a token, by which DynamoDB knows it again.)

    Parameters
    ----------
    item : as DynamoDB has it; ``writeId`` is added, by which the put is known again
    condition : the condition; of an item that this very put has stored it need not hold any more
    values : what the condition compares with, as plain values
    more : what else the request says

    Returns
    -------
    Item or None
        None where the item is stored; else what stands in its place, empty for nothing.
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
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        found: Item = error.response.get("Item", {})  # type: ignore[assignment]
        return None if found.get("writeId") == write_id else found
    return None


def delete_partition(pk: str, prefix: str = "") -> None:
    """Delete the items of a partition, those whose sort keys begin so. Doing it again finishes what was begun."""
    for key in read_partition(pk, prefix, ProjectionExpression="pk, sk"):
        client().delete_item(TableName=settings().state_table, Key=key)


def empty_partition(pk: str) -> None:
    """Delete all items of a partition, also those that come meanwhile. Raises Unavailable where these don't end."""
    for _ in tries(settings().append_patience_s):
        delete_partition(pk)
        if next(read_partition(pk, ProjectionExpression="pk", Limit=1), None) is None:
            return
    raise Unavailable("Something is stored faster than it can be deleted. Send the request again.")


def try_transaction(writes: Sequence[Mapping[str, Any]]) -> bool:
    """Write all, or nothing where a condition does not hold, or another writer was faster: then False."""
    together: Any = list(writes)
    try:
        client().transact_write_items(TransactItems=together)
    except ClientError as error:
        codes = {reason["Code"] for reason in cancellation_reasons(error)}
        if not codes <= RETRIED_REASONS | {"ConditionalCheckFailed"}:
            raise
        return False
    return True


def run_transaction(writes: Sequence[Mapping[str, Any]], subject: str) -> bool:
    """Write all, as soon as nobody else is at the same items; False where a condition does not hold.

    Raises AppendConflict, which names the subject.
    """
    together: Any = list(writes)
    for _ in tries(settings().append_patience_s):
        try:
            client().transact_write_items(TransactItems=together)
        except ClientError as error:
            codes = {reason["Code"] for reason in cancellation_reasons(error)}
            if "ConditionalCheckFailed" in codes:
                return False
            if not codes <= RETRIED_REASONS:
                raise
        else:
            return True
    raise AppendConflict(subject)


def cancellation_reasons(error: ClientError) -> list[Any]:
    """Why a transaction was called off, write by write; any other error is raised again."""
    if error.response["Error"]["Code"] != "TransactionCanceledException":
        raise error
    reasons: list[Any] = error.response["CancellationReasons"]
    return reasons
