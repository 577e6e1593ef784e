"""The proxy of the benchmark of frameworks, before a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from bench.frameworks.counting import CountingProxy, Used
from local import dynoxide, emulator

KEY = {"pk": {"S": "trip"}, "sk": {"S": "1"}}


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[CountingProxy]:
    """A proxy before an empty database."""
    with dynoxide.in_memory(tmp_path) as running, CountingProxy(running.url).serving() as proxy:
        yield proxy


@pytest.fixture
def dynamodb(proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of it, and a table with an index."""
    for name, value in emulator.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("dynamodb", endpoint_url=proxy.url)
    client.create_table(
        TableName="trips",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "city")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "cities",
                "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def put(dynamodb: Any, size: int, **more: Any) -> Any:
    """Put an item of about a size."""
    return dynamodb.put_item(TableName="trips", Item={**KEY, "text": {"S": "x" * size}, **more})


def test_it_counts_the_units_of_writes_with_their_indexes(proxy: CountingProxy, dynamodb: Any) -> None:
    before = proxy.used()
    put(dynamodb, 1500)
    put(dynamodb, 1500, city={"S": "Lisbon"})
    dynamodb.transact_write_items(TransactItems=[{"Delete": {"TableName": "trips", "Key": KEY}}])
    used = proxy.used().minus(before)
    assert used.requests == {"PutItem": 2, "TransactWriteItems": 1}
    assert used.written == {"trips": 2 + (2 + 2) + (2 * 2 + 2)}  # an index takes no part in a transaction


def test_it_counts_the_units_of_reads(proxy: CountingProxy, dynamodb: Any) -> None:
    put(dynamodb, 5000)
    before = proxy.used()
    dynamodb.get_item(TableName="trips", Key=KEY)
    dynamodb.get_item(TableName="trips", Key=KEY, ConsistentRead=True)
    used = proxy.used().minus(before)
    assert used == Used(used.requests, used.written, 3.0)
    assert used.written.total() == 0


def test_what_is_refused_is_passed_on_and_counted_as_a_request(proxy: CountingProxy, dynamodb: Any) -> None:
    put(dynamodb, 10)
    before = proxy.used()
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.put_item(TableName="trips", Item=KEY, ConditionExpression="attribute_not_exists(pk)")
    assert proxy.used().minus(before).requests == {"PutItem": 1}


def test_it_counts_requests_that_are_none_of_a_database(proxy: CountingProxy) -> None:
    before = proxy.used()
    httpx.get(f"{proxy.url}/v1/health")
    httpx.put(f"{proxy.url}/v1/documents", content=b"{}")
    assert proxy.used().minus(before).requests == {"GET": 1, "PUT": 1}
