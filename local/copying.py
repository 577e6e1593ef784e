"""All items of some tables, from one database into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3

from local import tables
from local.emulator import CREDENTIALS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH = 25
"""How many items DynamoDB takes in one request."""


class NotCopied(Exception):
    """The other database did not take all of it."""


def copy_tables(source_url: str, target_url: str, described: Mapping[str, Mapping[str, Any]]) -> int:
    """Make tables in an empty database and fill them with all items that another one has; how many that were.

    Parameters
    ----------
    source_url, target_url : endpoints of emulators
    described : CloudFormation properties of the tables, by their names
    """
    source, target = _client(source_url), _client(target_url)
    tables.create_missing(target, described)
    existing = {name for page in source.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    return sum(_copy(source, target, name) for name in described if name in existing)


def _copy(source: DynamoDBClient, target: DynamoDBClient, name: str) -> int:
    copied = 0
    for page in source.get_paginator("scan").paginate(TableName=name, ConsistentRead=True):
        for start in range(0, len(page["Items"]), BATCH):
            batch = page["Items"][start : start + BATCH]
            puts: Any = [{"PutRequest": {"Item": item}} for item in batch]
            if target.batch_write_item(RequestItems={name: puts})["UnprocessedItems"]:
                raise NotCopied(f"Not all items of {name} were taken.")
            copied += len(batch)
    return copied


def _client(url: str) -> DynamoDBClient:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
