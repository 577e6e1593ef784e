"""The queue of events: reads it and invokes its function, with Lambda's rules for failures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.workers import FunctionFailed

log = logging.getLogger("annals")

QUEUE, FAILURES = "annals-ingest.fifo", "annals-ingest-failures"
STREAM_FAILURES = "annals-stream-failures"
ARN = f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}"
RETRY_S = 5
"""After how long a message that failed comes again."""
OUTAGE_S = 1.0


def queue_url(endpoint: str, name: str) -> str:
    """The URL of a queue of the emulator's only account."""
    return f"{endpoint}/000000000000/{name}"


class QueueReader:
    """A thread that hands messages to a function.

    Parameters
    ----------
    endpoint : the emulator's
    function : the function's name
    invoke : calls a function and waits for its answer
    """

    def __init__(self, endpoint: str, function: str, invoke: Callable[[str, dict[str, Any]], Any]) -> None:
        self._sqs: Any = boto3.client("sqs", endpoint_url=endpoint)
        self._url = queue_url(endpoint, QUEUE)
        self._function = function
        self._invoke = invoke
        self._stopping = threading.Event()
        self._thread = threading.Thread(name=QUEUE, target=self._run)

    def start(self) -> None:
        """Make the queues that are missing, and begin to read."""
        self._sqs.create_queue(QueueName=FAILURES)
        self._sqs.create_queue(QueueName=STREAM_FAILURES)
        self._sqs.create_queue(QueueName=QUEUE, Attributes={"FifoQueue": "true", "VisibilityTimeout": str(RETRY_S)})
        self._thread.start()

    def stop(self) -> None:
        """End, after what is worked on; what is in the queue stays there."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._poll()
            except (BotoCoreError, ClientError) as error:
                log.warning("The queue of events cannot be read: %s", error)
                self._stopping.wait(OUTAGE_S)

    def _poll(self) -> None:
        parameters = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "MessageSystemAttributeNames": ["All"]}
        messages = self._sqs.receive_message(QueueUrl=self._url, **parameters).get("Messages", [])
        failed = self._failed([_record(message) for message in messages]) if messages else set()
        for message in messages:
            if message["MessageId"] not in failed:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    def _failed(self, records: list[dict[str, Any]]) -> set[str]:
        """Hand a batch to the function; the ids of the messages that come again."""
        try:
            answer = self._invoke(self._function, {"Records": records})
        except BrokenProcessPool:
            answer = FunctionFailed("its process died", "")
        if isinstance(answer, FunctionFailed):
            log.error("%s failed and is tried again\n%s", self._function, answer.trace or answer.message)
            return {record["messageId"] for record in records}
        return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as Lambda hands it on."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "us-east-1",
    }
