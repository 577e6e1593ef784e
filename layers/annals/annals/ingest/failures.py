"""The queue of events that can never be stored as they are: none of them is dropped, and none holds others up."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from annals.database.failures_queue import sqs_client
from annals.errors import AnnalsError
from annals.settings import settings

MAX_DETAIL_CHARS = 1000

logger = logging.getLogger("annals")


def is_poison(error: Exception) -> bool:
    """Whether another try would fail the same way: a refusal that names no time for it."""
    return isinstance(error, AnnalsError) and error.retry_after_s is None


def set_aside(event: Mapping[str, Any], error: AnnalsError) -> None:
    """Put an event into the queue of failures.

    Parameters
    ----------
    event : what the function would be called with for this event alone
    """
    logger.warning("An event cannot be stored: %s", error.code)
    reason = {"reason": error.code, "detail": error.detail, "field": error.field}
    url = settings().ingest_failures
    sqs_client(url).send_message(
        QueueUrl=url,
        MessageBody=json.dumps(event),
        MessageAttributes={name: _attribute(value) for name, value in reason.items() if value},
    )


def _attribute(value: str) -> dict[str, str]:
    """An attribute of a message; a queue takes fewer characters than JSON does."""
    plain = value.encode("ascii", "backslashreplace").decode()
    return {"DataType": "String", "StringValue": plain[:MAX_DETAIL_CHARS]}
