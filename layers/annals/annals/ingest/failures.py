"""The queue of what cannot be stored as it is: nothing that arrived is dropped, and nothing waits behind it."""

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
    """Whether trying again changes nothing: a refusal that does not say when to come back."""
    return isinstance(error, AnnalsError) and error.retry_after_s is None


def report(event: Mapping[str, Any], error: AnnalsError) -> None:
    """Put an event into the failures' queue.

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
    """A text in the characters that a queue takes, which are fewer than JSON's."""
    plain = value.encode("ascii", "backslashreplace").decode()
    return {"DataType": "String", "StringValue": plain[:MAX_DETAIL_CHARS]}
