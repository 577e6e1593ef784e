"""What DynamoDB's TTL does: deletes the items that have run out, some time after, and the stream tells of it.

The emulator's own tells the stream nothing, so it is not switched on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from annals.database.transactions import condition_failed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger("annals")

EVERY_S = 60.0


class Expiry:
    """A thread that looks through the tables once a minute.

    Parameters
    ----------
    attributes : by table name, the attribute that says in Unix seconds when an item has run out
    """

    def __init__(self, dynamodb: DynamoDBClient, attributes: Mapping[str, str]) -> None:
        self._dynamodb = dynamodb
        self._attributes = attributes
        self._stopping = threading.Event()
        self._thread = threading.Thread(name="expiry", target=self._run)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> None:
        """Delete what has run out by now, unless it was given more time meanwhile."""
        for table, attribute in self._attributes.items():
            run_out: dict[str, Any] = {
                "ExpressionAttributeNames": {"#until": attribute},
                "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
            }
            for key in self._keys(table, FilterExpression="#until < :now", **run_out):
                self._delete(table, key, ConditionExpression="#until < :now", **run_out)

    def _keys(self, table: str, **where: Any) -> Iterator[Any]:
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=table, ProjectionExpression="pk, sk", **where)
        return (item for page in pages for item in page["Items"])

    def _delete(self, table: str, key: Any, **where: Any) -> None:
        try:
            self._dynamodb.delete_item(TableName=table, Key=key, **where)
        except ClientError as error:
            if not condition_failed(error):
                raise

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                self.sweep()
            except (BotoCoreError, ClientError) as error:
                log.warning("What has run out cannot be deleted: %s", error)
