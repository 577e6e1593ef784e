"""The development server's queue of events: what fails comes again, in its order, and nothing else does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import boto3
import pytest

from local import queue
from local.emulator import Emulator
from local.queue import QUEUE, QueueReader, queue_url
from local.workers import FunctionFailed

PATIENCE_S = 30


class Function:
    """A function that answers what it is told to, in turn, and then that all is well; it notes what it got."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.batches: list[list[str]] = []
        self.done = threading.Event()

    def __call__(self, name: str, event: dict[str, Any]) -> Any:
        self.batches.append([record["body"] for record in event["Records"]])
        answer = self._answers.pop(0) if self._answers else {"batchItemFailures": []}
        if not self._answers and not self._fails(answer):
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer(event) if callable(answer) else answer

    def _fails(self, answer: Any) -> bool:
        return callable(answer) or isinstance(answer, Exception | FunctionFailed)


@pytest.fixture
def sqs(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(queue, "RETRY_S", 1)
    client: Any = boto3.client("sqs")
    yield client
    client.delete_queue(QueueUrl=queue_url(aws.url, QUEUE))


def deliver(aws: Emulator, sqs: Any, function: Function, *bodies: str) -> list[list[str]]:
    """Send messages of one group, and let the function have them until it took all; the batches that it got."""
    reader = QueueReader(aws.url, "ingest", function)
    reader.start()
    try:
        for body in bodies:
            named = {"MessageGroupId": "g", "MessageDeduplicationId": body}
            sqs.send_message(QueueUrl=queue_url(aws.url, QUEUE), MessageBody=body, **named)
        assert function.done.wait(PATIENCE_S)
    finally:
        reader.stop()
    return function.batches


@pytest.mark.parametrize("failure", [FunctionFailed("no", "trace"), BrokenProcessPool()])
def test_what_a_function_fails_at_comes_again(aws: Emulator, sqs: Any, failure: Any) -> None:
    assert deliver(aws, sqs, Function(failure), "1") == [["1"], ["1"]]


def test_only_what_is_reported_as_failed_comes_again(aws: Emulator, sqs: Any) -> None:
    def last(event: dict[str, Any]) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": event["Records"][-1]["messageId"]}]}

    function = Function(last)
    batches = deliver(aws, sqs, function, "1", "2")
    assert batches[0][-1] == batches[1][0]
    assert sorted({body for batch in batches for body in batch}) == ["1", "2"]
