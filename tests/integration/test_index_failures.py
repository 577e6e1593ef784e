"""What cannot be indexed: nothing waits behind it, it is queued with its reason, and can be redriven from there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from annals.cli.main import main
from annals.database.dynamodb import client
from annals.errors import EmbeddingUnavailable
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory import adapters
from annals.memory.erasure.user_receipts import find_repeat_request, put_repeat_request, user_receipt_id
from annals.providers.offline_embedding import OfflineEmbedder
from annals.settings import settings
from local.emulator import Emulator
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.searching import followed, index_in_settings, wait_for
from tests.support.stack import on_emulator

REASON = "The model does not take this text."


class PickyEmbedder(OfflineEmbedder):
    """Takes no text, or batch, with this word in it."""

    refuses = "poison"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.refuses and any(self.refuses in text for text in texts):
            raise EmbeddingUnavailable(REASON)
        return super().embed(texts)


@pytest.fixture
def queue(running_aws: Emulator) -> Iterator[str]:
    """A queue of failures. Its messages are hidden for a moment only, so that a test can look again."""
    with on_emulator(running_aws):
        sqs: Any = boto3.client("sqs", endpoint_url=running_aws.url)
        yield sqs.create_queue(QueueName=f"failures-{uuid4().hex[:8]}")["QueueUrl"]


@pytest.fixture
def model(
    queue: str, running_aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PickyEmbedder]:
    """A model that does not take everything, behind the index function that reports to the queue."""
    picky = PickyEmbedder()
    with index_in_settings(tmp_path, FAILURES_QUEUE_URL=queue), monkeypatch.context() as patch:
        patch.setattr(adapters, "embedder", cache(lambda: picky))
        yield picky


@pytest.fixture
def service(model: PickyEmbedder, running_aws: Emulator, tmp_path: Path, api: Api) -> Iterator[Api]:
    """A tenant with a conversation that the index follows."""
    with followed(running_aws, tmp_path / "streams"):
        converse(api)
        yield api


def converse(api: Api) -> None:
    people = {"userId": "ada", "memorySpaceId": "home"}
    created = {"type": "user-agent", "conversationId": "talk", "participants": people}
    assert api.post("/v1/conversations", created).status == 201


def say(api: Api, text: str) -> None:
    assert api.post("/v1/conversations/talk/messages", {"role": "user", "content": text}).status == 201


def found(api: Api, query: str) -> set[str]:
    answer = api.post("/v1/memory/search", {"query": query, "memorySpaceId": "home"})
    return {hit["memoryId"] for hit in answer.json["items"]}


def sqs(queue: str) -> Any:
    return boto3.client("sqs", endpoint_url=queue.rsplit("/", 2)[0])


def in_queue(queue: str) -> int:
    """How many messages a queue holds, hidden ones too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    said = sqs(queue).get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(said[name]) for name in names)


def look(queue: str) -> list[Any]:
    """The messages, which are shown again at once."""
    answer = sqs(queue).receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def test_a_text_that_the_model_does_not_take_goes_to_the_queue_and_nothing_waits_behind_it(
    service: Api, queue: str
) -> None:
    pk = conversation_pk(service.caller.tenant, "talk")
    for text in ("before it", "a poison pill", "another thing", "behind it", "still behind it"):
        say(service, text)
    wait_for(lambda: in_queue(queue))
    assert look(queue) == [{"pk": pk, "sk": entry_sk(2), "reason": REASON}]
    wait_for(lambda: {"mem:talk:4", "mem:talk:5"} <= found(service, "behind"))
    assert "mem:talk:1" in found(service, "before")
    assert "mem:talk:3" in found(service, "another")


def test_a_message_is_redriven_when_its_work_succeeds_and_stays_until_then(
    service: Api, queue: str, model: PickyEmbedder, capsys: pytest.CaptureFixture[str]
) -> None:
    say(service, "a poison pill")
    wait_for(lambda: in_queue(queue) == 1)
    sqs(queue).send_message(QueueUrl=queue, MessageBody='{"of": "another kind"}')
    assert main(["redrive", "--queue", queue]) == 1
    assert f"0 done, 1 failed, 1 of another kind\n  the last one: {REASON}\n" in capsys.readouterr().out
    assert in_queue(queue) == 2

    again = {"pk": conversation_pk(service.caller.tenant, "talk"), "sk": entry_sk(1), "reason": REASON}
    sqs(queue).send_message(QueueUrl=queue, MessageBody=json.dumps(again))
    model.refuses = ""
    assert main(["redrive", "--queue", queue]) == 0
    assert "1 done, 0 failed" in capsys.readouterr().out
    assert found(service, "pill") == {"mem:talk:1"}
    assert in_queue(queue) == 2


def test_what_lambda_gave_up_on_is_read_from_the_stream_again(
    model: PickyEmbedder, queue: str, running_aws: Emulator, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody follows the stream here: only the redrive brings the messages into the index."""
    converse(api)
    say(api, "the first tulip")
    say(api, "the second tulip")
    sqs(queue).send_message(QueueUrl=queue, MessageBody=json.dumps(gave_up(running_aws, 1)))
    assert main(["redrive", "--queue", queue]) == 0
    assert found(api, "tulip") == {"mem:talk:1"}
    assert in_queue(queue) == 0
    assert api.get("/v1/conversations").json["items"][0]["messageCount"] == 2


def gave_up(emulator: Emulator, last: int, table: str = "") -> dict[str, Any]:
    """What Lambda sends for a batch of a stream, the ledger's unless another is named: its records up to this one."""
    streams = boto3.client("dynamodbstreams", endpoint_url=emulator.url, config=Config(parameter_validation=False))
    arn = client().describe_table(TableName=table or settings().ledger_table)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    begin = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    records = streams.get_records(ShardIterator=streams.get_shard_iterator(**begin)["ShardIterator"])["Records"]
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    return {
        "requestContext": {"functionArn": "arn:aws:lambda:us-east-1:000000000000:function:annals-IndexFunction"},
        "DDBStreamBatchInfo": {
            "shardId": shard["ShardId"],
            "startSequenceNumber": numbers[0],
            "endSequenceNumber": numbers[last],
            "streamArn": arn,
        },
    }


def test_what_the_stream_has_lost_is_told_and_kept(
    model: PickyEmbedder, queue: str, running_aws: Emulator, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(api)
    say(api, "the first tulip")
    message = gave_up(running_aws, 1)
    message["DDBStreamBatchInfo"]["streamArn"] += "-of-a-table-that-is-gone"
    sqs(queue).send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    assert main(["redrive", "--queue", queue]) == 1
    assert "annals drift --repair" in capsys.readouterr().out
    assert in_queue(queue) == 1


def test_an_erasure_that_lambda_gave_up_on_is_gone_on_with(
    model: PickyEmbedder, queue: str, running_aws: Emulator, api: Api, setting: Setting
) -> None:
    converse(api)
    say(api, "the first tulip")
    setting("ERASE_BUDGET_S", "0")
    receipt = api.delete("/v1/conversations/talk").json
    assert receipt["status"] == "erasing"
    setting("ERASE_BUDGET_S", "20")
    message = gave_up(running_aws, -1, settings().state_table)
    message["requestContext"]["functionArn"] += "-FinishErasureFunction-1"
    sqs(queue).send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    assert main(["redrive", "--queue", queue]) == 0
    assert in_queue(queue) == 0
    assert api.get(f"/v1/receipts/{receipt['receiptId']}").json["status"] == "erased"


def test_a_repeated_erasure_of_a_user_that_lambda_gave_up_on_is_gone_on_with(
    model: PickyEmbedder, queue: str, running_aws: Emulator, api: Api
) -> None:
    converse(api)
    assert api.delete("/v1/users/ada").json["status"] == "erased"
    tenant, receipt_id = api.caller.tenant, user_receipt_id(api.caller.tenant, "ada")
    put_repeat_request(tenant, receipt_id, "ada")
    message = gave_up(running_aws, -1, settings().state_table)
    message["requestContext"]["functionArn"] += "-FinishErasureFunction-1"
    sqs(queue).send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    assert main(["redrive", "--queue", queue]) == 0
    assert in_queue(queue) == 0
    assert find_repeat_request(tenant, receipt_id) is None
