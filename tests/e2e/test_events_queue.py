"""Events on a laptop: what is sent to the development server's queue is stored, in order, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import pytest

from local.emulator import CREDENTIALS
from local.queue import FAILURES, QUEUE, queue_url
from tests.e2e.asking import unique
from tests.e2e.servers import Server, start_server, stop_server

PATIENCE_S = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A development server that has queues."""
    process, running = start_server(tmp_path_factory.mktemp("events"), "--events")
    yield running
    assert stop_server(process) == 0


@pytest.fixture
def sqs(server: Server) -> Any:
    """A client of the server's queues."""
    endpoint = f"http://127.0.0.1:{json.loads((server.data / 'queues/ministack.json').read_text())['port']}"
    keys = {"aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": "local"}
    return boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1", **keys)


def send(sqs: Any, group: str, body: str, number: int) -> None:
    url = queue_url(sqs.meta.endpoint_url, QUEUE)
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=f"{group}-{number}")


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_is_sent_to_the_queue_is_stored_in_its_order(server: Server, api: httpx.Client, sqs: Any) -> None:
    name = unique("conv")
    people = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": name}}
    for number in range(5):
        said = [{"role": "user", "content": str(number)}]
        send(sqs, name, json.dumps({"conversation": {"conversationId": name, **people}, "messages": said}), number)

    def contents() -> list[str]:
        answer = api.get(f"/v1/conversations/{name}/messages", params={"order": "asc"})
        return [message["content"] for message in answer.json().get("items", [])]

    wait_until(lambda: len(contents()) == 5)
    assert contents() == ["0", "1", "2", "3", "4"]
    assert f"{QUEUE}\n" in (server.data / "server.log").read_text()


def test_what_cannot_be_stored_is_put_aside(sqs: Any) -> None:
    body = unique("no-JSON")
    send(sqs, body, body, 0)
    found: list[str] = []

    def is_there() -> bool:
        url = queue_url(sqs.meta.endpoint_url, FAILURES)
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        found.extend(
            message["MessageAttributes"]["reason"]["StringValue"]
            for message in messages.get("Messages", [])
            if body in message["Body"]
        )
        return bool(found)

    wait_until(is_there)
    assert found == ["INVALID_JSON"]
