"""The template's tables, made where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def create_missing(dynamodb: DynamoDBClient, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Create each table that does not exist. ``local.expiry`` is their time to live.

    Parameters
    ----------
    dynamodb : a DynamoDB client
    tables : CloudFormation properties of the tables, by their names here
    """
    existing = {name for page in dynamodb.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    for name, properties in tables.items():
        if name not in existing:
            _create(dynamodb, name, properties)


def _create(dynamodb: DynamoDBClient, name: str, properties: Mapping[str, Any]) -> None:
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=properties["AttributeDefinitions"],
        KeySchema=properties["KeySchema"],
        GlobalSecondaryIndexes=properties["GlobalSecondaryIndexes"],
        StreamSpecification={
            "StreamEnabled": True,
            "StreamViewType": properties["StreamSpecification"]["StreamViewType"],
        },
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
