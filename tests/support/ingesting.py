"""Events as the ingest function gets them, and the queue into which it puts what it cannot store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest

from annals.database.failures_queue import sqs_client
from annals.ingest.objects import s3_client
from annals.settings import settings
from local.workers import Context
from tests.support.stack import function

QUEUE = "arn:aws:sqs:us-east-1:000000000000:ingest.fifo"
BUCKET = "annals-ingest"
BUS = "arn:aws:events:us-east-1:000000000000:event-bus/ingest"

_numbers = count(1)


def record(body: Any, group: str = "g", *, dedup: str | None = None, source: str = QUEUE) -> dict[str, Any]:
    """A record of a FIFO queue; each has an id of its own, and its sender's, unless that one is given."""
    number = next(_numbers)
    return {
        "messageId": f"message-{number}",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"MessageGroupId": group, "MessageDeduplicationId": dedup or f"sent-{number}"},
        "eventSource": "aws:sqs",
        "eventSourceARN": source,
    }


def bus_event(detail: Any, event_id: str | None = None) -> dict[str, Any]:
    """An event of the bus."""
    named = {"id": event_id or f"event-{next(_numbers)}", "detail-type": "annals.ingest", "source": "planner"}
    return {**named, "detail": detail}


def call(event: dict[str, Any]) -> Any:
    """Hand an event to the function."""
    return function("ingest").handler(event, Context("ingest"))


def take(*records: dict[str, Any]) -> list[str]:
    """Hand a batch of a queue's records to the function; the ids of those that come again."""
    return [failure["itemIdentifier"] for failure in call({"Records": list(records)})["batchItemFailures"]]


def put_object(key: str, content: bytes) -> dict[str, Any]:
    """Put an object into a bucket, which is made if it is missing; what the function hears of that."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    etag = s3.put_object(Bucket=BUCKET, Key=key, Body=content)["ETag"]
    named = {"key": quote_plus(key, safe="/"), "size": len(content), "eTag": etag.strip('"')}
    entity = {"bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"}, "object": named}
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}


@dataclass(frozen=True)
class Failures:
    """The queue of what could not be stored."""

    url: str
    sqs: Any = field(repr=False)

    def read(self) -> list[tuple[str, Any]]:
        """What is in it, which is taken out: reason and event."""
        failures = []
        parameters = {"QueueUrl": self.url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        while messages := self.sqs.receive_message(**parameters).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                reason = message["MessageAttributes"]["reason"]["StringValue"]
                failures.append((reason, json.loads(message["Body"])))
        return failures

    def count(self) -> int:
        """How many messages are in it, those that somebody works on, too."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        failures = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(failures[name]) for name in names)

    def reasons(self) -> list[str]:
        """The reasons of what is in it, which is taken out."""
        return [reason for reason, _ in self.read()]


@contextmanager
def failures_queue(tenant: str) -> Iterator[Failures]:
    """A queue for what cannot be stored, which the settings name; what can be is a tenant's."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=f"failures-{next(_numbers)}")["QueueUrl"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGEST_FAILURES", url)
        patch.setenv("INGEST_BUS", BUS)
        patch.setenv("ROOT_TENANT", tenant)
        forget()
        yield Failures(url, sqs)
    forget()


def forget() -> None:
    """Empty the caches of what reads these settings."""
    settings.cache_clear()
    sqs_client.cache_clear()
    s3_client.cache_clear()
