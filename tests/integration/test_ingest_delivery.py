"""Events in as AWS shapes them: sent by MiniStack's queue, topic, bus and bucket, and handed to the function."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3
import pytest

from annals.ledger.keys import conversation_pk
from tests.support.ingesting import BUCKET, Failures, call, failures_queue
from tests.support.ledgers import read_contents, verify_stored

pytestmark = pytest.mark.usefixtures("aws")

PEOPLE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
PATIENCE_S = 30


@dataclass(frozen=True)
class Queue:
    """A queue of MiniStack, read as Lambda reads it."""

    name: str
    sqs: Any = field(default_factory=lambda: boto3.client("sqs"), repr=False)

    @property
    def url(self) -> str:
        more = {"FifoQueue": "true"} if self.name.endswith(".fifo") else {}
        return str(self.sqs.create_queue(QueueName=self.name, Attributes=more)["QueueUrl"])

    @property
    def arn(self) -> str:
        response = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        return str(response["Attributes"]["QueueArn"])

    def read(self, count: int) -> list[dict[str, Any]]:
        """So many messages as the records that Lambda makes of them; they are taken out."""
        records: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(records) < count:
            assert time.monotonic() < deadline, f"{len(records)} of {count} messages came"
            parameters = {
                "QueueUrl": self.url,
                "MaxNumberOfMessages": 10,
                "WaitTimeSeconds": 1,
                "AttributeNames": ["All"],
            }
            for message in self.sqs.receive_message(**parameters).get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                named = {"messageId": message["MessageId"], "body": message["Body"]}
                records.append({**named, "attributes": message["Attributes"], "eventSourceARN": self.arn})
        return records


@pytest.fixture
def failures(aws: object, tenant: str) -> Iterator[Failures]:
    with failures_queue(tenant) as queue:
        yield queue


@pytest.fixture
def name() -> str:
    return f"ingest-{uuid4().hex[:8]}"


def envelope(content: str) -> dict[str, Any]:
    named = {"conversationId": "lisbon", **PEOPLE}
    return {"conversation": named, "messages": [{"role": "user", "content": content}]}


def contents(tenant: str) -> list[str]:
    pk = conversation_pk(tenant, "lisbon")
    assert verify_stored(pk).valid
    return [json.loads(body)["content"] for body in read_contents(pk)]


def test_a_queue_s_messages_are_stored_once_whoever_reads_them_again(
    tenant: str, failures: Failures, name: str
) -> None:
    queue = Queue(f"{name}.fifo")
    for number in range(3):
        for _ in range(2):
            body = json.dumps(envelope(str(number)))
            sent = {"MessageGroupId": "lisbon", "MessageDeduplicationId": f"turn-{number}"}
            queue.sqs.send_message(QueueUrl=queue.url, MessageBody=body, **sent)
    records = queue.read(3)
    assert call({"Records": records}) == call({"Records": records}) == {"batchItemFailures": []}
    assert contents(tenant) == ["0", "1", "2"]
    assert failures.reasons() == []


@pytest.mark.parametrize("raw", ["true", "false"])
def test_a_topic_s_messages_are_stored_raw_or_wrapped(tenant: str, failures: Failures, name: str, raw: str) -> None:
    queue, sns = Queue(f"{name}.fifo"), boto3.client("sns")
    topic = sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    how = {"RawMessageDelivery": raw}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn, Attributes=how, ReturnSubscriptionArn=True)
    for number in range(2):
        sent = {"MessageGroupId": "lisbon", "MessageDeduplicationId": f"{name}-{number}"}
        sns.publish(TopicArn=topic, Message=json.dumps(envelope(str(number))), **sent)
    records = queue.read(2)
    assert ("Notification" in records[0]["body"]) is (raw == "false")
    assert call({"Records": records}) == call({"Records": records}) == {"batchItemFailures": []}
    assert contents(tenant) == ["0", "1"]
    assert failures.reasons() == []


def test_a_bus_s_event_is_stored_once(tenant: str, failures: Failures, name: str) -> None:
    queue, events = Queue(name), boto3.client("events")
    events.create_event_bus(Name=name)
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": [{"prefix": ""}]}))
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    sent = {"Source": "planner", "DetailType": "said", "Detail": json.dumps(envelope("Hi")), "EventBusName": name}
    assert events.put_events(Entries=[sent])["FailedEntryCount"] == 0
    [record] = queue.read(1)
    call(json.loads(record["body"]))
    call(json.loads(record["body"]))
    assert contents(tenant) == ["Hi"]
    assert failures.reasons() == []


@pytest.mark.parametrize("key", ["a b+c/ü&=%.jsonl", "plain.jsonl"])
def test_a_bucket_s_object_is_found_by_its_key_and_stored_once(
    tenant: str, failures: Failures, name: str, key: str
) -> None:
    queue, s3 = Queue(name), boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    configuration = {"QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=configuration)
    lines = "\n".join(json.dumps(envelope(str(number))) for number in range(3))
    s3.put_object(Bucket=BUCKET, Key=key, Body=lines.encode())
    events = [json.loads(record["body"]) for record in queue.read(1)]
    for event in (event for event in events * 2 if "Records" in event):
        call(event)
    assert contents(tenant) == ["0", "1", "2"]
    assert failures.reasons() == []
