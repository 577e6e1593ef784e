"""Events from a queue: the envelope itself, or an SNS notification that holds one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from annals.errors import AnnalsError
from annals.ingest.failures import is_poison, report
from annals.ingest.storing import Arrived, store
from annals.json_text import parse

Record = Mapping[str, Any]

logger = logging.getLogger("annals")


def take_batch(event: Mapping[str, Any]) -> dict[str, Any]:
    """Store the messages of a batch, and answer which failed and come again.

    What can never be stored is put aside, so that its group goes on. What may be stored later fails, and so does all
    that stands behind it in its group.
    """
    failed: list[str] = []
    waiting: set[str] = set()
    for record in event["Records"]:
        group = record["attributes"].get("MessageGroupId")
        if group in waiting or not _take(record):
            failed.append(record["messageId"])
            waiting |= {group} - {None}
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _take(record: Record) -> bool:
    """Store a message, or put it aside; False where it has to come again."""
    try:
        try:
            store(arrived(record))
        except AnnalsError as error:
            if not is_poison(error):
                raise
            report({"Records": [record]}, error)
    except Exception:
        # Nothing is lost: the queue sends the message again, and at last to its dead-letter queue.
        logger.exception("Message %s was not stored", record["messageId"])
        return False
    return True


def arrived(record: Record) -> Arrived:
    """What a message of the queue brings.

    A FIFO queue's messages are told apart by the deduplication id that their sender gave, so that a sender who tries
    again after the queue's own five minutes stores nothing twice either.
    """
    source, attributes = record["eventSourceARN"], record["attributes"]
    notification = _notification(record["body"])
    if notification is not None:
        return Arrived(source, str(notification["MessageId"]), str(notification["Message"]))
    chosen = attributes.get("MessageDeduplicationId")
    event_id = f"{attributes['MessageGroupId']}\0{chosen}" if chosen else record["messageId"]
    return Arrived(source, event_id, record["body"])


def _notification(body: str) -> Mapping[str, Any] | None:
    """The SNS notification that a body is, where the subscription does not deliver raw messages."""
    with suppress(AnnalsError):
        said = parse(body)
        if isinstance(said, dict) and said.get("Type") == "Notification" and {"MessageId", "Message"} <= said.keys():
            return said
    return None
