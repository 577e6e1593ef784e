"""The DynamoDB client that every module shares, and its items as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from botocore.config import Config

from annals import costs
from annals.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


@cache
def client() -> DynamoDBClient:
    """The client; threads may share it. Its retries are botocore's standard ones, with jitter.

    A connection that falls silent is given up while there is still time for another try within a function's timeout.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=2,
        read_timeout=10,
        max_pool_connections=32,
    )
    dynamodb = boto3.client("dynamodb", endpoint_url=settings().dynamodb_url or None, config=config)
    costs.meter(dynamodb.meta.events)
    return dynamodb


def to_item(values: Mapping[str, Any]) -> Item:
    """Python values as a DynamoDB item."""
    return {name: _serializer.serialize(value) for name, value in values.items()}


def from_item(item: Mapping[str, Any]) -> Item:
    """A DynamoDB item as Python values: binary as bytes, whole numbers as int."""
    return {name: _plain(_deserializer.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Binary):
        return bytes(value.value)  # type: ignore[attr-defined]  # missing from the stubs
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value
    return value
