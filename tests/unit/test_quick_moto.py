"""moto's short ways store, refuse and answer what its long ones do."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from annals.settings import settings

ALL_TYPES: dict[str, dict[str, Any]] = {
    "text": {"S": ""},
    "number": {"N": "1.5"},
    "bytes": {"B": b"\x00\xff"},
    "texts": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "blobs": {"BS": [b"\x00", b"\x01"]},
    "truth": {"BOOL": False},
    "nothing": {"NULL": True},
    "list": {"L": [{"B": b"\xff"}, {"L": []}, {"M": {}}]},
    "map": {"M": {"list": {"L": [{"S": "a"}, {"N": "1"}]}, "map": {"M": {"blobs": {"BS": [b"\xff"]}}}}},
}
KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}


def test_an_item_of_all_types_is_answered_as_it_was_stored(moto: None) -> None:
    table, dynamodb = settings().state_table, boto3.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**KEY, **ALL_TYPES})
    assert dynamodb.get_item(TableName=table, Key=KEY)["Item"] == {**KEY, **ALL_TYPES}
    assert dynamodb.scan(TableName=table)["Items"] == [{**KEY, **ALL_TYPES}]


def test_a_transaction_that_is_called_off_leaves_items_and_streams_as_they_were(moto: None) -> None:
    table, dynamodb = settings().state_table, boto3.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**KEY, "n": {"N": "1"}})
    dynamodb.put_item(TableName=table, Item={**KEY, "sk": {"S": "goes"}})
    before = dynamodb.scan(TableName=table)["Items"], records(table)
    one = {"TableName": table, "ExpressionAttributeValues": {":n": {"N": "2"}}}
    writes: list[dict[str, Any]] = [
        {"Update": {**one, "Key": KEY, "UpdateExpression": "SET n = :n"}},
        {"Update": {**one, "Key": {**KEY, "sk": {"S": "new"}}, "UpdateExpression": "SET n = :n"}},
        {"Delete": {"TableName": table, "Key": {**KEY, "sk": {"S": "goes"}}}},
        {"Put": {"TableName": table, "Item": {**KEY, "sk": {"S": "put"}}}},
        {
            "ConditionCheck": {
                "TableName": table,
                "Key": {**KEY, "sk": {"S": "x"}},
                "ConditionExpression": "attribute_exists(pk)",
            }
        },
    ]
    with pytest.raises(ClientError) as refused:
        dynamodb.transact_write_items(TransactItems=writes)
    reasons = [reason["Code"] for reason in refused.value.response["CancellationReasons"]]
    assert reasons == ["None"] * 4 + ["ConditionalCheckFailed"]
    assert (dynamodb.scan(TableName=table)["Items"], records(table)) == before
    dynamodb.transact_write_items(TransactItems=writes[:-1])
    assert {item["sk"]["S"]: item.get("n") for item in dynamodb.scan(TableName=table)["Items"]} == {
        "s": {"N": "2"},
        "new": {"N": "2"},
        "put": None,
    }


def records(table: str) -> list[dict[str, Any]]:
    """All records of a table's stream."""
    streams = boto3.client("dynamodbstreams")
    arn = boto3.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    place: Any = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    place = streams.get_shard_iterator(**place)["ShardIterator"]
    found: list[Any] = streams.get_records(ShardIterator=place)["Records"]
    return found
