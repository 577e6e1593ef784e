"""Batches of a DynamoDB stream. The streams carry keys only, so whoever reads one reads the items as they are now.

Nothing waits behind a record that cannot be worked off. Where the failure may pass, the record is sent again; where it
would fail the same way every time, it is set aside: counted, named in the log by its key, and put into the queue of
failures, from which it can be redriven.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from annals import telemetry
from annals.database.failures_queue import send_failure
from annals.database.keys import split_item_key
from annals.errors import ConfigurationError, DamagedItem, OutOfTime, Unavailable, WriteConflict
from annals.settings import settings

logger = logging.getLogger("annals")

StreamRecord = Mapping[str, Any]

TRANSIENT_ERRORS = (
    BotoCoreError,
    ClientError,
    ConfigurationError,
    MemoryError,
    OSError,
    OutOfTime,
    Unavailable,
    WriteConflict,
)
"""What may be over at the next try: AWS, the network, a model or the index that do not answer, a wrong setting."""


def answer_each(event: Mapping[str, Any], work: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Do the work of a batch, item by item, and answer which records failed.

    Parameters
    ----------
    work : takes the keys of an item
    """
    failed = []
    for record in event["Records"]:
        try:
            work(key_of(record))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing waits behind it
            if not set_aside(*split_item_key(key_of(record)), error):
                failed.append({"itemIdentifier": sequence_number(record)})
    return {"batchItemFailures": failed}


def note_lag(name: telemetry.TimeMetric, event: Mapping[str, Any]) -> None:
    """Note how old the oldest record of a batch is. Records that were made by hand have no time."""
    written = [at for record in event["Records"] if (at := record["dynamodb"].get("ApproximateCreationDateTime"))]
    if written:
        telemetry.record_time(name, max(0.0, 1000 * (time.time() - min(written))))


def set_aside(pk: str, sk: str, error: Exception) -> bool:
    """Set a record aside unless its failure may pass, and say whether it is; where it is not, Lambda sends it again."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"{type(error).__name__} in {place.name}, line {place.lineno}"
    reason = error.reason if isinstance(error, DamagedItem) else kind
    if isinstance(error, TRANSIENT_ERRORS) or not settings().failures_queue_url:
        logger.warning("The stream's work on %s of %s failed (%s) and is tried again", sk, pk, kind)
        return False
    telemetry.count("RecordsSetAside")
    logger.error("The stream's work on %s of %s always fails (%s): it goes to the failures' queue", sk, pk, reason)
    try:
        send_failure(pk, sk, reason)
    except (BotoCoreError, ClientError):
        logger.exception("The failures' queue did not take a record; it is tried again")
        return False
    return True


def key_of(record: StreamRecord) -> Mapping[str, Any]:
    """The key of the item that a record is about."""
    key: Mapping[str, Any] = record["dynamodb"]["Keys"]
    return key


def sequence_number(record: StreamRecord) -> str:
    """What Lambda knows a record by."""
    return str(record["dynamodb"]["SequenceNumber"])
