"""Redriving: what was put aside is stored after all, once what stood in its way is gone.

Only what was stored is deleted from the failures' queue; the rest stays, and says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from annals.errors import AnnalsError
from annals.ingest import bus, queue
from annals.ingest.objects import store_object
from annals.ingest.storing import store
from annals.memory.failures import queues
from annals.settings import settings

HIDDEN_S = 900
"""How long a message is hidden from others while it is worked on."""


@dataclass
class Redriven:
    """How many events were stored, and the codes of those that could not be, by the message's id."""

    stored: int = 0
    left: dict[str, str] = field(default_factory=dict)


def redrive(progress: Callable[[], object]) -> Redriven:
    """Store the events of the failures' queue, each tried once."""
    url, done = settings().ingest_failures, Redriven()
    for message in _messages(url, done.left):
        try:
            _store(json.loads(message["Body"]))
        except AnnalsError as error:
            done.left[message["MessageId"]] = error.code
        else:
            queues(url).delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            done.stored += 1
        progress()
    return done


def _store(said: Mapping[str, Any]) -> None:
    """Store what a message holds: an event, or Lambda's own report of one that it gave up on. Raises AnnalsError."""
    event = said.get("requestPayload", said)
    if "Records" not in event:
        store(bus.arrived(event))
        return
    for record in event["Records"]:
        if "s3" in record:
            store_object(record, lambda: True)
        else:
            store(queue.arrived(record))


def _messages(url: str, left: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The messages of a queue, each once; those that are left can be read by others again at the end."""
    handles: dict[str, str] = {}
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": HIDDEN_S, "WaitTimeSeconds": 1}
    try:
        while messages := queues(url).receive_message(**asked).get("Messages"):
            new = [message for message in messages if message["MessageId"] not in handles]
            handles |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            if not new:
                return
            yield from new
    finally:
        for message_id in left:
            queues(url).change_message_visibility(QueueUrl=url, ReceiptHandle=handles[message_id], VisibilityTimeout=0)
