"""Batches of a DynamoDB stream. The streams carry keys only, so whoever reads one reads the items as they are now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from itertools import groupby
from typing import Any

from annals import telemetry
from annals.ledger.keys import is_conversation_pk

logger = logging.getLogger("annals")

Record = Mapping[str, Any]


def answer_batch(event: Mapping[str, Any], work: Callable[[str, list[int]], Collection[int]]) -> dict[str, Any]:
    """Do the work of a batch, conversation by conversation, and answer which records failed.

    Lambda sends everything from the lowest failed record again, so the work must bear being done twice.

    Parameters
    ----------
    work : takes a conversation's partition key and the seqs of the entries that the batch names, and returns those
        that it could not do, perhaps among others; where it raises, it did none
    """
    records = [record for record in event["Records"] if is_conversation_pk(_key(record)["pk"]["S"])]
    failures = []
    by_pk = sorted(records, key=lambda record: _key(record)["pk"]["S"])
    for pk, group in groupby(by_pk, key=lambda record: _key(record)["pk"]["S"]):
        numbers: dict[int, str] = {}
        for record in group:
            # The lowest number that an entry has: what is sent again begins with the record that brought it.
            numbers.setdefault(_seq(record), _number(record))
        failures += [{"itemIdentifier": numbers[seq]} for seq in _failed(work, pk, sorted(numbers)) if seq in numbers]
    return {"batchItemFailures": failures}


def answer_each(event: Mapping[str, Any], work: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Do the work of a batch, item by item, and answer which records failed.

    Parameters
    ----------
    work : takes the keys of an item
    """
    failures = []
    for record in event["Records"]:
        try:
            work(_key(record))
        except Exception:
            # Nothing is lost: Lambda sends the record again, and at last to the dead-letter queue.
            logger.exception("The stream's work on record %s failed", _number(record))
            failures.append({"itemIdentifier": _number(record)})
    return {"batchItemFailures": failures}


def note_lag(name: telemetry.Timed, event: Mapping[str, Any]) -> None:
    """Note how old the oldest record of a batch is. Records that were made by hand have no time."""
    written = [at for record in event["Records"] if (at := record["dynamodb"].get("ApproximateCreationDateTime"))]
    if written:
        telemetry.timed(name, max(0.0, 1000 * (time.time() - min(written))))


def changed_entries(event: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """What a batch of the ledger's stream says of entries that were there before: MODIFY or REMOVE.

    Returns
    -------
    dict
        The last word on each entry, by its conversation's partition key and its seq.
    """
    changed: dict[str, dict[int, str]] = {}
    for record in event["Records"]:
        if record.get("eventName") in ("MODIFY", "REMOVE"):
            changed.setdefault(_key(record)["pk"]["S"], {})[_seq(record)] = record["eventName"]
    return changed


def new_entries(event: Mapping[str, Any]) -> dict[str, set[int]]:
    """The seqs of the entries that a batch of the ledger's stream brings, by their conversation's partition key."""
    new: dict[str, set[int]] = {}
    for record in event["Records"]:
        if record.get("eventName") == "INSERT":
            new.setdefault(_key(record)["pk"]["S"], set()).add(_seq(record))
    return new


def is_ledger_record(record: Record) -> bool:
    """Whether a stream record is of the ledger table; a batch never mixes tables."""
    return str(_key(record)["sk"]["S"]).startswith("E#")


def _failed(work: Callable[[str, list[int]], Collection[int]], pk: str, seqs: list[int]) -> Collection[int]:
    try:
        return work(pk, seqs)
    except Exception:
        # Nothing is lost: Lambda sends the records again, and at last to the dead-letter queue.
        logger.exception("The stream's work on seqs %s to %s of a conversation failed", seqs[0], seqs[-1])
        return seqs


def _seq(record: Record) -> int:
    return int(_key(record)["sk"]["S"].removeprefix("E#"))


def _key(record: Record) -> Mapping[str, Any]:
    keys: Mapping[str, Any] = record["dynamodb"]["Keys"]
    return keys


def _number(record: Record) -> str:
    return str(record["dynamodb"]["SequenceNumber"])
