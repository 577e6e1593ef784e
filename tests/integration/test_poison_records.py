"""What cannot be read holds up nobody: its neighbours are projected and found in time, with real stream readers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from annals.conversations.heads import head_key
from annals.database.dynamodb import client
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import REDACTION
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.tail import tails
from annals.memory.memories.memory_items import user_memories_pk
from annals.publishing.bus import events_client
from annals.settings import settings
from local.emulator import Emulator
from tests.support.api import Api
from tests.support.following import following
from tests.support.searching import index_in_settings, wait_for
from tests.support.stack import on_emulator

IN_TIME_S = 10.0


@pytest.fixture
def service(running_aws: Emulator, tmp_path: Path, api: Api) -> Iterator[Api]:
    """A tenant whose tables the functions that project and index follow, and that finish erasures."""
    with on_emulator(running_aws):
        sqs: Any = boto3.client("sqs", endpoint_url=running_aws.url)
        queue = sqs.create_queue(QueueName=f"failures-{uuid4().hex[:8]}")["QueueUrl"]
        functions = ("project", "index", "finish_erasure")
        with (
            index_in_settings(tmp_path, FAILURES_QUEUE_URL=queue),
            following(running_aws, tmp_path, *functions),
        ):
            yield api


def converse(api: Api, name: str, text: str) -> str:
    people = {"userId": "ada", "memorySpaceId": "home"}
    created = {"type": "user-agent", "conversationId": name, "participants": people}
    assert api.post("/v1/conversations", created).status == 201
    said = {"role": "user", "content": text}
    assert api.post(f"/v1/conversations/{name}/messages", said).status == 201
    return conversation_pk(api.caller.tenant, name)


def found(api: Api, query: str) -> set[str]:
    answer = api.post("/v1/memory/search", {"query": query, "memorySpaceId": "home"})
    return {hit["memoryId"] for hit in answer.json["items"]}


def change(table: str, key: Any, expression: str, **values: Any) -> None:
    more: Any = {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}
    names = {"#count": "count", "#hash": "hash"}
    used = {name: each for name, each in names.items() if name in expression}
    client().update_item(
        TableName=table,
        Key=key,
        UpdateExpression=expression,
        **more,
        **({"ExpressionAttributeNames": used} if used else {}),
    )


def entry_change(expression: str, seq: int = 1, **values: Any) -> Callable[[Api], None]:
    def poison(api: Api) -> None:
        pk = converse(api, "poisoned", "what nobody can read any more")
        key = {"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}}
        change(settings().ledger_table, key, expression, **values)
        tails.forget(pk)

    return poison


def stranger(sk: str) -> Callable[[Api], None]:
    def poison(api: Api) -> None:
        pk = converse(api, "poisoned", "a conversation with a stranger in it")
        client().put_item(TableName=settings().ledger_table, Item={"pk": {"S": pk}, "sk": {"S": sk}})

    return poison


def no_conversation(api: Api) -> None:
    client().put_item(TableName=settings().ledger_table, Item={"pk": {"S": "T#x"}, "sk": {"S": entry_sk(0)}})


def head_that_does_not_parse(api: Api) -> None:
    pk = converse(api, "poisoned", "a conversation without a head")
    change(settings().state_table, head_key(pk), "SET metadata = :bad, version = :bad", bad={"S": "{"})


def memory_that_does_not_parse(api: Api) -> None:
    pk = user_memories_pk(api.caller.tenant, "ada")
    item = {"pk": {"S": pk}, "sk": {"S": "M#bad"}, "memory": {"S": "{"}}
    client().put_item(TableName=settings().state_table, Item=item)


def receipt_that_does_not_parse(api: Api) -> None:
    item = {"pk": {"S": f"T#{api.caller.tenant}#R#bad"}, "sk": {"S": "RECEIPT"}}
    client().put_item(TableName=settings().state_table, Item=item)


POISON: dict[str, Callable[[Api], None]] = {
    "a count that is text": entry_change("SET #count = :bad", bad={"S": "two"}),
    "no hash": entry_change("REMOVE #hash"),
    "no records": entry_change("SET records = :bad", bad={"L": []}),
    "a broken body": entry_change("SET records[0].body = :bad", bad={"B": b"\xff\xff"}),
    "a body that is no JSON": entry_change("SET records[0].body = :bad", bad={"S": "{"}),
    "a key that is none": stranger("E#x"),
    "another key that is none": stranger("Z"),
    "an entry of nothing": no_conversation,
    "a head": head_that_does_not_parse,
    "a memory": memory_that_does_not_parse,
    "a receipt": receipt_that_does_not_parse,
}


@pytest.mark.parametrize("name", POISON)
def test_the_neighbour_of_what_cannot_be_read_is_listed_and_found_in_time(name: str, service: Api) -> None:
    converse(service, "before", "a tulip before it")
    POISON[name](service)
    began = time.monotonic()
    converse(service, "behind", "a tulip behind it")
    wait_for(lambda: {"mem:before:1", "mem:behind:1"} <= found(service, "tulip"))
    wait_for(lambda: listed(service))
    converse(service, "last", "a tulip at last")
    wait_for(lambda: "mem:last:1" in found(service, "tulip"))
    assert service.delete("/v1/conversations/last").status in (200, 202)
    assert time.monotonic() - began < IN_TIME_S


@pytest.fixture
def told(running_aws: Emulator, service: Api) -> Iterator[Callable[[], set[str]]]:
    """A bus on which the functions tell of what changes; also of which conversations and memories they told so far."""
    events: Any = boto3.client("events", endpoint_url=running_aws.url)
    sqs: Any = boto3.client("sqs", endpoint_url=running_aws.url)
    name = f"told-{uuid4().hex[:8]}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["annals"]}))
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
    seen: set[str] = set()

    def read() -> set[str]:
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                event = json.loads(message["Body"])
                name = event["detail"].get("conversationId") or event["detail"].get("memoryId")
                seen.add(f"{event['detail-type']} {name or event['detail'].get('factId')}")
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", running_aws.url)
        patch.setenv("EVENTS_BUS", bus)
        forget()
        yield read
    forget()


def forget() -> None:
    settings.cache_clear()
    events_client.cache_clear()


def fact_that_does_not_parse(api: Api) -> None:
    put_poison(f"T#{api.caller.tenant}#F#{'0' * 64}", "M#000000000000001#000000000000001#fact-bad", fact={"S": "{"})


def memory_of_no_message(api: Api) -> None:
    put_poison(conversation_pk(api.caller.tenant, "poisoned"), "M#x", memory={"S": "{"})


def memory_under_no_key(api: Api) -> None:
    put_poison(f"T#{api.caller.tenant}", "M#", memory={"S": "{"})


def redaction_of_nothing(api: Api) -> None:
    pk = converse(api, "poisoned", "what was said")
    append(api.caller.tenant, "poisoned", [NewRecord(REDACTION, b'{"seq":"two"}')])
    tails.forget(pk)


def put_poison(pk: str, sk: str, **values: Any) -> None:
    client().put_item(TableName=settings().state_table, Item={"pk": {"S": pk}, "sk": {"S": sk}, **values})


TOLD_POISON: dict[str, Callable[[Api], None]] = {
    **POISON,
    "a genesis": entry_change("REMOVE #hash", seq=0),
    "a fact": fact_that_does_not_parse,
    "a memory of no message": memory_of_no_message,
    "a memory under no key": memory_under_no_key,
    "a redaction of nothing": redaction_of_nothing,
}


@pytest.mark.parametrize("name", TOLD_POISON)
def test_what_happens_beside_what_cannot_be_read_is_told_of_in_time(
    name: str, told: Callable[[], set[str]], service: Api
) -> None:
    converse(service, "before", "a tulip before it")
    TOLD_POISON[name](service)
    began = time.monotonic()
    converse(service, "behind", "a tulip behind it")
    made = service.post("/v1/memories", {"memorySpaceId": "home", "userId": "eve", "content": "a tulip"}).json[
        "memoryId"
    ]
    loggable_parts = {
        f"{kind} {name}" for kind in ("ConversationCreated", "MessagesAppended") for name in ("before", "behind")
    }
    wait_for(lambda: {*loggable_parts, f"MemoryUpdated {made}"} <= told())
    assert service.delete("/v1/conversations/behind").status in (200, 202)
    wait_for(lambda: "ConversationErased behind" in told())
    assert time.monotonic() - began < IN_TIME_S


def listed(api: Api) -> bool:
    items = api.get("/v1/conversations").json["items"]
    return {("before", 1), ("behind", 1)} <= {(each["conversationId"], each["messageCount"]) for each in items}
