"""Batches of a DynamoDB stream. The streams carry keys only, so whoever reads one reads the items as they are now.

Nothing waits behind a record that cannot be worked off. Where the failure may pass, the record is sent again; where it
would fail the same way every time, it is set aside: counted, named in the log by its key, and put into the queue of
failures, from which it can be redriven.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from annals import telemetry
from annals.database.failures_queue import send_failure
from annals.errors import ConfigurationError, DamagedItem, OutOfTime, Unavailable, WriteConflict
from annals.ledger.keys import entry_sk, is_conversation_pk, seq_of_sk
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


def answer_batch(event: Mapping[str, Any], work: Callable[[str, list[int]], Collection[int]]) -> dict[str, Any]:
    """Do the work of a batch, conversation by conversation, and answer which records failed.

    Lambda sends everything from the lowest failed record again, so the work must bear being done twice.

    Parameters
    ----------
    work : takes a conversation's partition key and the seqs of the entries that the batch names, and returns those
        that it could not do, perhaps among others; where it raises, it did none
    """
    records = [record for record in event["Records"] if _is_entry(record)]
    failed = []
    by_pk = sorted(records, key=lambda record: _key(record)["pk"]["S"])
    for pk, group in groupby(by_pk, key=lambda record: _key(record)["pk"]["S"]):
        numbers: dict[int, str] = {}
        for record in group:
            # The lowest number that an entry has: what is sent again begins with the record that brought it.
            numbers.setdefault(_seq(record), _number(record))
        failed += [{"itemIdentifier": numbers[seq]} for seq in _failed(work, pk, sorted(numbers)) if seq in numbers]
    return {"batchItemFailures": failed}


def answer_each(event: Mapping[str, Any], work: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Do the work of a batch, item by item, and answer which records failed.

    Parameters
    ----------
    work : takes the keys of an item
    """
    failed = []
    for record in event["Records"]:
        try:
            work(_key(record))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing waits behind it
            if not _is_set_aside(_key(record)["pk"]["S"], _key(record)["sk"]["S"], error):
                failed.append({"itemIdentifier": _number(record)})
    return {"batchItemFailures": failed}


def note_lag(name: telemetry.TimeMetric, event: Mapping[str, Any]) -> None:
    """Note how old the oldest record of a batch is. Records that were made by hand have no time."""
    written = [at for record in event["Records"] if (at := record["dynamodb"].get("ApproximateCreationDateTime"))]
    if written:
        telemetry.record_time(name, max(0.0, 1000 * (time.time() - min(written))))


def changed_entries(event: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """What a batch of the ledger's stream says of entries that were there before: MODIFY or REMOVE.

    Returns
    -------
    dict
        The last word on each entry, by its conversation's partition key and its seq.
    """
    changed: dict[str, dict[int, str]] = {}
    for record in filter(_is_entry, event["Records"]):
        if record.get("eventName") in ("MODIFY", "REMOVE"):
            changed.setdefault(_key(record)["pk"]["S"], {})[_seq(record)] = record["eventName"]
    return changed


def new_entries(event: Mapping[str, Any]) -> dict[str, set[int]]:
    """The seqs of the entries that a batch of the ledger's stream brings, by their conversation's partition key."""
    new: dict[str, set[int]] = {}
    for record in filter(_is_entry, event["Records"]):
        if record.get("eventName") == "INSERT":
            new.setdefault(_key(record)["pk"]["S"], set()).add(_seq(record))
    return new


def unknown_items(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of the items that a batch of the ledger's stream brings and that are no entries of a conversation."""
    for record in event["Records"]:
        if not _is_entry(record) and record.get("eventName") != "REMOVE":
            yield _key(record)["pk"]["S"], _key(record)["sk"]["S"]


def is_ledger_batch(event: Mapping[str, Any]) -> bool:
    """Whether a batch is of the ledger table's stream; a batch never mixes tables."""
    return any(_is_entry(record) for record in event["Records"])


def _failed(work: Callable[[str, list[int]], Collection[int]], pk: str, seqs: list[int]) -> Collection[int]:
    """The seqs that are to be sent again. What fails the same way every time is done alone, to find what it is."""
    try:
        return work(pk, seqs)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing waits behind it
        if len(seqs) > 1 and not isinstance(error, TRANSIENT_ERRORS):
            return [seq for seq in seqs if seq in _failed(work, pk, [seq])]
        return () if _is_set_aside(pk, entry_sk(seqs[0]), error) else seqs


def _is_set_aside(pk: str, sk: str, error: Exception) -> bool:
    """Set a record aside unless its failure may pass; then Lambda sends it again. Whether it is set aside."""
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


def _is_entry(record: StreamRecord) -> bool:
    keys = _key(record)
    return is_conversation_pk(keys["pk"]["S"]) and seq_of_sk(keys["sk"]["S"]) is not None


def _seq(record: StreamRecord) -> int:
    return seq_of_sk(_key(record)["sk"]["S"]) or 0


def _key(record: StreamRecord) -> Mapping[str, Any]:
    keys: Mapping[str, Any] = record["dynamodb"]["Keys"]
    return keys


def _number(record: StreamRecord) -> str:
    return str(record["dynamodb"]["SequenceNumber"])
