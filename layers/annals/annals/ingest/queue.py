"""Events from a queue: the envelope itself, or an SNS notification that holds one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from annals.errors import AnnalsError
from annals.ingest.failures import is_poison, set_aside
from annals.ingest.storing import IncomingEvent, store
from annals.json_text import parse

Record = Mapping[str, Any]

logger = logging.getLogger("annals")


def store_batch(event: Mapping[str, Any]) -> dict[str, Any]:
    """Store the messages of a batch, and answer which failed and come again.

    What can never be stored is set aside, so that its group goes on. What may be stored later fails, and so does every
    later message of its group: a FIFO queue keeps their order.
    """
    failed: list[str] = []
    failed_groups: set[str] = set()
    for record in event["Records"]:
        group = record["attributes"].get("MessageGroupId")
        if group in failed_groups or not _store(record):
            failed.append(record["messageId"])
            failed_groups |= {group} - {None}
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _store(record: Record) -> bool:
    """Store a message, or set it aside. False where it has to come again."""
    try:
        try:
            store(incoming_event(record))
        except AnnalsError as error:
            if not is_poison(error):
                raise
            set_aside({"Records": [record]}, error)
    except Exception:
        # Nothing is lost: the queue sends the message again, and at last to its dead-letter queue.
        logger.exception("Message %s was not stored", record["messageId"])
        return False
    return True


def incoming_event(record: Record) -> IncomingEvent:
    """The event of a message.

    A FIFO queue's messages are identified by the deduplication id that their sender gave, so that a sender who tries
    again after the queue's own five minutes stores nothing twice either.
    """
    source, attributes = record["eventSourceARN"], record["attributes"]
    notification = _find_notification(record["body"])
    if notification is not None:
        return IncomingEvent(source, str(notification["MessageId"]), str(notification["Message"]))
    deduplication_id = attributes.get("MessageDeduplicationId")
    event_id = f"{attributes['MessageGroupId']}\0{deduplication_id}" if deduplication_id else record["messageId"]
    return IncomingEvent(source, event_id, record["body"])


def _find_notification(body: str) -> Mapping[str, Any] | None:
    """The SNS notification in a body, where the subscription does not deliver raw messages; else None."""
    with suppress(AnnalsError):
        payload = parse(body)
        is_notification = isinstance(payload, dict) and payload.get("Type") == "Notification"
        if is_notification and {"MessageId", "Message"} <= payload.keys():
            notification: Mapping[str, Any] = payload
            return notification
    return None
