"""Batches of the ledger's stream: which entries of which conversations they name, and what happened to these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from typing import Any

from annals.database.keys import split_item_key
from annals.database.streams import TRANSIENT_ERRORS, StreamRecord, key_of, sequence_number, set_aside
from annals.ledger.keys import entry_sk, is_entry_key, seq_of_sk


def answer_batch(event: Mapping[str, Any], work: Callable[[str, list[int]], Collection[int]]) -> dict[str, Any]:
    """Do the work of a batch, conversation by conversation, and answer which records failed.

    Lambda sends everything from the lowest failed record again, so the work must bear being done twice.

    Parameters
    ----------
    work : takes a conversation's partition key and the seqs of the entries that the batch names, and returns those
        that it could not do, perhaps among others; where it raises, it did none
    """
    failed = []
    by_pk = sorted(filter(_is_entry, event["Records"]), key=_pk)
    for pk, group in groupby(by_pk, key=_pk):
        numbers: dict[int, str] = {}
        for record in group:
            # The lowest number that an entry has: what is sent again begins with the record that named it first.
            numbers.setdefault(_seq(record), sequence_number(record))
        failed += [{"itemIdentifier": numbers[seq]} for seq in _failed(work, pk, sorted(numbers)) if seq in numbers]
    return {"batchItemFailures": failed}


def changed_entries(event: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """What a batch says of entries that were there before: MODIFY or REMOVE.

    Returns
    -------
    dict
        The last word on each entry, by its conversation's partition key and its seq.
    """
    changed: dict[str, dict[int, str]] = {}
    for record in filter(_is_entry, event["Records"]):
        if record.get("eventName") in ("MODIFY", "REMOVE"):
            changed.setdefault(_pk(record), {})[_seq(record)] = record["eventName"]
    return changed


def new_entries(event: Mapping[str, Any]) -> dict[str, set[int]]:
    """The seqs of the entries that a batch says were appended, by their conversation's partition key."""
    new: dict[str, set[int]] = {}
    for record in filter(_is_entry, event["Records"]):
        if record.get("eventName") == "INSERT":
            new.setdefault(_pk(record), set()).add(_seq(record))
    return new


def unknown_items(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of the items that a batch names and that are no entries of a conversation."""
    for record in event["Records"]:
        if not _is_entry(record) and record.get("eventName") != "REMOVE":
            yield split_item_key(key_of(record))


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
        return () if set_aside(pk, entry_sk(seqs[0]), error) else seqs


def _is_entry(record: StreamRecord) -> bool:
    return is_entry_key(*split_item_key(key_of(record)))


def _pk(record: StreamRecord) -> str:
    return split_item_key(key_of(record))[0]


def _seq(record: StreamRecord) -> int:
    return seq_of_sk(split_item_key(key_of(record))[1]) or 0
