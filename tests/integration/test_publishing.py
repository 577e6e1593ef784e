"""Events out: what changes reaches a queue behind a rule of the bus, and nothing is lost when the bus takes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from pydantic import ConfigDict, TypeAdapter, with_config

from annals.conversations.create import NewConversation, create
from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory.facts.fact_items import find_fact_key
from annals.memory.memories.memory_items import Address
from annals.operations.redrive import redrive
from annals.publishing import events
from annals.publishing.bus import Event, events_client, publish
from annals.settings import settings
from local.workers import Context
from tests.support import faults
from tests.support.api import Api
from tests.support.indexing import embedded_index
from tests.support.ledgers import new_conversation, say
from tests.support.pages import blocks
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("aws")

Record = dict[str, Any]


@dataclass(frozen=True)
class Consumer:
    """A queue behind a rule for all that comes from Annals."""

    url: str
    sqs: Any = field(repr=False)

    def read(self) -> list[dict[str, Any]]:
        """The events that came, as the rule saw them, each of the documented form; they are taken out."""
        received = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                event = json.loads(message["Body"])
                received.append({name: event[name] for name in ("source", "detail-type", "detail")})
        for event in received:
            DOCUMENTED.validate_python(event)
        return sorted(received, key=lambda event: event["detail"].get("fromSeq", 0))

    def kinds(self) -> list[str]:
        """The kinds of the events that came; they are taken out."""
        return [event["detail-type"] for event in self.read()]


for detail in (events.ConversationEvent, events.MemoryEvent, events.FactEvent):
    with_config(ConfigDict(extra="forbid"))(detail)
DOCUMENTED: TypeAdapter[Any] = TypeAdapter(events.Change)


def queue_arn(sqs: Any, url: str) -> str:
    """A queue's ARN."""
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn


@pytest.fixture(scope="module")
def bus(aws: object) -> Iterator[tuple[str, Consumer]]:
    """A bus, and a consumer behind it."""
    name, events, sqs = f"out-{uuid4().hex[:8]}", boto3.client("events"), boto3.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    bus_arn = events.create_event_bus(Name=name)["EventBusArn"]
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["annals"]}))
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": queue_arn(sqs, url)}])
    return bus_arn, Consumer(url, sqs)


@pytest.fixture
def consumer(bus: tuple[str, Consumer], monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    monkeypatch.setenv("EVENTS_BUS", bus[0])
    settings.cache_clear()
    events_client.cache_clear()
    bus[1].read()
    yield bus[1]
    monkeypatch.undo()
    settings.cache_clear()
    events_client.cache_clear()


def record(pk: str, seq: int, number: int | None = None, kind: str = "INSERT") -> Record:
    keys = {"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}}
    return {"eventName": kind, "dynamodb": {"Keys": keys, "SequenceNumber": str(number or seq)}}


def project(*records: Record) -> list[str]:
    """Hand a batch of the ledger's stream to its function; the numbers of the records that come again."""
    answer = function("project").handler({"Records": list(records)}, Context("project"))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def index(*keys: Record) -> list[str]:
    """Hand a batch of the state table's stream to its function; the numbers of the records that come again."""
    records = [{"dynamodb": {"Keys": key, "SequenceNumber": str(number)}} for number, key in enumerate(keys)]
    answer = function("index").handler({"Records": records}, Context("index"))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_each_entry_of_a_conversation_is_published(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1", "2")
    assert project(record(pk, 0), record(pk, 1)) == []
    created, appended = consumer.read()
    named = {"tenant": tenant, "conversationId": "conv-1", "memorySpaceId": "space-1"}
    assert created["detail-type"] == "ConversationCreated"
    assert appended["detail-type"] == "MessagesAppended"
    detail = {name: value for name, value in appended["detail"].items() if name not in ("eventId", "at")}
    assert detail == {**named, "fromSeq": 1, "toSeq": 2, "messageCount": 2, "messageIds": ["msg-001", "msg-002"]}


def test_what_an_event_tells_can_be_listed(api: Api, consumer: Consumer) -> None:
    pk = new_conversation(api.caller.tenant)
    say(api.caller.tenant, "1")
    project(record(pk, 1))
    [event] = consumer.read()
    [listed] = api.get("/v1/conversations").json["items"]
    assert listed["messageCount"] == event["detail"]["messageCount"] == 1


def test_what_is_told_again_has_the_same_id(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    for _ in range(2):
        project(record(pk, 0), record(pk, 1))
    created, again, appended, once_more = (event["detail"]["eventId"] for event in consumer.read())
    assert (created, appended) == (again, once_more)
    assert created != appended


def test_redaction_archive_seal_and_erasure_are_published(api: Api, consumer: Consumer) -> None:
    pk = new_conversation(api.caller.tenant)
    say(api.caller.tenant, "1", "2", "3")
    path = "/v1/conversations/conv-1"
    assert api.post(f"{path}/archive", {"before": 2}).status == 200
    assert api.post(f"{path}/messages/msg-002/redact", {"reason": "asked for"}).status == 200
    assert api.post(f"{path}/seal").status == 200
    assert project(*(record(pk, seq) for seq in (1, 4, 5, 6))) == []
    appended, archived, redacted, sealed = consumer.read()
    assert appended["detail"]["redacted"] == ["msg-002"]
    assert (archived["detail-type"], archived["detail"]["archivedToSeq"]) == ("ConversationArchived", 1)
    assert (redacted["detail-type"], redacted["detail"]["messageIds"]) == ("MessageRedacted", ["msg-002"])
    assert sealed["detail-type"] == "ConversationSealed"
    assert api.delete(path).status == 200
    assert project(record(pk, 1), record(pk, 5), record(pk, 7)) == []
    appended, _, erased = consumer.read()
    assert appended["detail"]["redacted"] == ["msg-001", "msg-002", "msg-003"]
    assert (erased["detail-type"], erased["detail"]["memorySpaceId"]) == ("ConversationErased", "space-1")


def test_no_content_is_published(api: Api, consumer: Consumer) -> None:
    pk = new_conversation(api.caller.tenant)
    say(api.caller.tenant, "Byron")
    api.post("/v1/conversations/conv-1/messages/msg-001/redact", {"reason": "Byron"})
    project(record(pk, 0), record(pk, 1), record(pk, 2))
    events = json.dumps(consumer.read())
    assert "Byron" not in events
    assert "user-1" not in events


def test_a_change_of_an_entry_that_is_there_is_not_told_as_a_new_one(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    assert project(record(pk, 1, kind="MODIFY")) == []
    assert consumer.read() == []


@pytest.mark.usefixtures("bus")
def test_without_a_bus_nobody_is_published(tenant: str, bus: tuple[str, Consumer]) -> None:
    pk = new_conversation(tenant)
    assert project(record(pk, 0)) == []
    assert bus[1].read() == []


def refuse(*indexes: int) -> faults.Fault:
    """The bus takes a request's events, but for those at these indexes."""

    def answer(request: AWSPreparedRequest) -> AWSResponse:
        count = len(json.loads(request.body or b"")["Entries"])
        entries = [
            {"ErrorCode": "ThrottlingException", "ErrorMessage": "busy"} if index in indexes else {"EventId": "1"}
            for index in range(count)
        ]
        response = AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.1"}, None)
        response._content = json.dumps({"FailedEntryCount": len(indexes), "Entries": entries}).encode()
        return response

    return answer


def test_the_records_of_events_that_were_not_taken_come_again(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    for content in ("1", "2", "3"):
        say(tenant, content)
    records = [record(pk, seq) for seq in (1, 2, 3)]
    with faults.on("PutEvents", refuse(1), of=events_client()):
        assert project(*records) == ["2"]
    assert project(*records[1:]) == []
    assert [event["detail"]["fromSeq"] for event in consumer.read()] == [2, 3]


def test_a_bus_that_does_not_answer_fails_every_record_of_the_conversation(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    with faults.on("PutEvents", *[faults.lose_request] * 10, of=events_client()):
        assert project(record(pk, 0, 10), record(pk, 1, 11)) == ["10", "11"]
    assert project(record(pk, 0, 10), record(pk, 1, 11)) == []
    assert consumer.kinds() == ["ConversationCreated", "MessagesAppended"]


def test_a_record_that_comes_again_is_the_one_that_brought_the_entry(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    with faults.on("PutEvents", refuse(0), of=events_client()):
        assert project(record(pk, 1, 10), record(pk, 1, 12, kind="MODIFY")) == ["10"]


def test_more_events_than_a_request_takes_are_all_published(tenant: str, consumer: Consumer) -> None:
    pk = new_conversation(tenant)
    for number in range(25):
        say(tenant, str(number))
    with faults.on("PutEvents", faults.go_through, faults.go_through, refuse(4), of=events_client()):
        assert project(*(record(pk, seq) for seq in range(1, 26))) == ["25"]
    assert [event["detail"]["fromSeq"] for event in consumer.read()] == [*range(1, 21)]


def test_the_page_s_rule_passes_on_what_it_is_for(
    tenant: str, bus: tuple[str, Consumer], consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_BUS", bus[0])
    url = consumer.sqs.create_queue(QueueName=f"listening-{uuid4().hex[:8]}")["QueueUrl"]
    monkeypatch.setenv("QUEUE_ARN", queue_arn(consumer.sqs, url))
    exec(blocks("events.md", "python")[1], {})  # noqa: S102 - the page's own program
    pks = {space: new_conversation_in(tenant, space) for space in ("demo", "other")}
    for pk in pks.values():
        assert project(record(pk, 0), record(pk, 1)) == []
    assert [event["detail"]["memorySpaceId"] for event in Consumer(url, consumer.sqs).read()] == ["demo"]


def new_conversation_in(tenant: str, space: str) -> str:
    """A conversation of a memory space, in which something was said; its partition key."""
    named = NewConversation("user-agent", {"userId": "ada", "memorySpaceId": space}, {}, f"in-{space}")
    create(tenant, named, "key-1")
    say(tenant, "Hi", conversation_id=f"in-{space}")
    return conversation_pk(tenant, f"in-{space}")


@pytest.mark.usefixtures("consumer")
def test_a_request_says_no_more_than_a_bus_takes() -> None:
    events = [Event.of("MessagesAppended", {"messageIds": ["msg-001" * 10_000]}) for _ in range(7)]
    with faults.on("PutEvents", *[refuse()] * 7, of=events_client()) as left:
        assert publish(events) == []
    assert len(left) == 7 - 4  # two at a time


@pytest.fixture
def failures() -> Iterator[str]:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=f"failures-{uuid4().hex[:8]}")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def abandoned_batch(pk: str) -> Record:
    """What Lambda says of a batch that it gave up on: the records of a conversation, which stand side by side."""
    streams = boto3.client("dynamodbstreams", config=Config(parameter_validation=False))
    arn = client().describe_table(TableName=settings().ledger_table)["Table"]["LatestStreamArn"]
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        named = {"StreamArn": arn, "ShardId": shard["ShardId"]}
        iterator = streams.get_shard_iterator(**named, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        records = streams.get_records(ShardIterator=iterator)["Records"]
        numbers = [each["dynamodb"]["SequenceNumber"] for each in records if each["dynamodb"]["Keys"]["pk"]["S"] == pk]
        if numbers:
            batch = {"shardId": shard["ShardId"], "streamArn": arn}
            ends = {"startSequenceNumber": numbers[0], "endSequenceNumber": numbers[-1]}
            return {"requestContext": {"functionArn": "…:ProjectFunction"}, "DDBStreamBatchInfo": batch | ends}
    raise AssertionError("the stream does not hold the conversation")


@pytest.mark.usefixtures("indexed")
def test_what_a_bus_did_not_take_until_lambda_gave_up_is_told_by_a_redrive(
    tenant: str, consumer: Consumer, failures: str
) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    message = json.dumps(abandoned_batch(pk))
    boto3.client("sqs").send_message(QueueUrl=failures, MessageBody=message)
    assert redrive(failures).done == 1
    assert consumer.kinds() == ["ConversationCreated", "MessagesAppended"]


@pytest.mark.usefixtures("indexed")
def test_a_redrive_keeps_what_the_bus_does_not_take(tenant: str, consumer: Consumer, failures: str) -> None:
    pk = new_conversation(tenant)
    boto3.client("sqs").send_message(QueueUrl=failures, MessageBody=json.dumps(abandoned_batch(pk)))
    with faults.on("PutEvents", refuse(0), of=events_client()):
        assert redrive(failures).failed == 1
    assert consumer.kinds() == []


@pytest.fixture
def indexed(tmp_path: Path) -> Iterator[None]:
    with embedded_index(tmp_path):
        yield


@pytest.mark.usefixtures("indexed")
def test_a_memory_s_changes_are_published(api: Api, consumer: Consumer) -> None:
    body = {"memorySpaceId": "demo", "userId": "ada", "content": "Ada is allergic to peanuts."}
    memory_id = api.post("/v1/memories", body).json["memoryId"]
    key = Address.of(api.caller.tenant, memory_id).current
    steps = [
        lambda: api.patch(f"/v1/memories/{memory_id}", {"importance": 90}),
        lambda: api.post(f"/v1/memories/{memory_id}/archive"),
        lambda: api.delete(f"/v1/memories/{memory_id}"),
    ]
    events = []
    for step in (lambda: None, *steps):
        step()
        assert index(key) == []
        events += consumer.read()
    states = [(event["detail-type"], event["detail"].get("version"), event["detail"].get("status")) for event in events]
    assert states == [
        ("MemoryUpdated", 1, "active"),
        ("MemoryUpdated", 2, "active"),
        ("MemoryUpdated", 2, "archived"),
        ("MemoryDeleted", None, None),
    ]
    assert len({event["detail"]["eventId"] for event in events}) == 4
    assert {event["detail"]["memoryId"] for event in events} == {memory_id}
    assert "peanuts" not in json.dumps(events)


@pytest.mark.usefixtures("indexed")
def test_a_message_that_is_changed_as_a_memory_is_published(api: Api, consumer: Consumer) -> None:
    new_conversation(api.caller.tenant)
    say(api.caller.tenant, "1")
    key = {"pk": {"S": conversation_pk(api.caller.tenant, "conv-1")}, "sk": {"S": "M#000000000001"}}
    assert api.patch("/v1/memories/mem:conv-1:1", {"importance": 90}).status == 200
    index(key)
    assert api.delete("/v1/memories/mem:conv-1:1").status < 300
    index(key)
    updated, deleted = consumer.read()
    assert (updated["detail-type"], deleted["detail-type"]) == ("MemoryUpdated", "MemoryDeleted")
    assert updated["detail"]["memoryId"] == deleted["detail"]["memoryId"] == "mem:conv-1:1"


@pytest.mark.usefixtures("indexed")
def test_a_fact_is_published_when_it_is_stored_and_when_it_goes(api: Api, consumer: Consumer) -> None:
    fact = {"fact": "Ada lives in Rome.", "subject": "Ada", "predicate": "lives in", "object": "Rome"}
    fact_id = api.post("/v1/facts", {"memorySpaceId": "demo", **fact}).json["factId"]
    fact_key = find_fact_key(api.caller.tenant, fact_id)
    assert fact_key
    key = {"pk": {"S": fact_key[0]}, "sk": {"S": fact_key[1]}}
    index(key)
    assert api.delete(f"/v1/facts/{fact_id}").status < 300
    index(key)
    stored, deleted = consumer.read()
    assert (stored["detail-type"], deleted["detail-type"]) == ("FactStored", "FactDeleted")
    assert stored["detail"]["factId"] == deleted["detail"]["factId"] == fact_id


@pytest.mark.usefixtures("indexed")
def test_the_record_of_a_memory_s_event_that_was_not_taken_comes_again(api: Api, consumer: Consumer) -> None:
    body = {"memorySpaceId": "demo", "userId": "ada", "content": "Ada is allergic to peanuts."}
    key = Address.of(api.caller.tenant, api.post("/v1/memories", body).json["memoryId"]).current
    with faults.on("PutEvents", refuse(0), of=events_client()):
        assert index(key) == ["0"]
    assert index(key) == []
    assert consumer.kinds() == ["MemoryUpdated"]
