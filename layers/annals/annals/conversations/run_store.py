"""Storing, reading and deleting runs. Strongly consistent.

The first put of a run is a transaction, which gives it the next number, unless the conversation's erasure has begun. A
later one replaces the item on the condition that it is as it was read: nothing comes back that an erasure took.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from annals.answers import Room
from annals.blobs.store import BlobMissing
from annals.conversations.receipts import not_erased_check
from annals.conversations.run_items import (
    NUMBER,
    WITHOUT_DATA,
    NewRun,
    StoredRun,
    base_bytes,
    from_run_item,
    number_of_sk,
    number_sk,
    run_sk,
    to_run_item,
)
from annals.conversations.run_models import present_run
from annals.database.damage import decode_readable, report_damage
from annals.database.dynamodb import client, from_item, to_item
from annals.database.keys import item_key
from annals.database.state import find_item, put_if, read_items, read_partition
from annals.database.transactions import transact
from annals.errors import (
    AnnalsError,
    ConversationErased,
    DamagedItem,
    PreconditionFailed,
    RunNotFound,
    WriteConflict,
)
from annals.ledger.keys import split_conversation_pk
from annals.retries import tries
from annals.settings import settings
from annals.stored_values.values import delete_value, keep_value, read_value
from annals.times import now_ms

MAX_READS = 3
"""How often a run is read anew whose data are others by the time that they are read."""

BATCH = 100
"""How many runs one round trip brings at most."""

MAX_READ = 1_000
"""How many runs one page may look at; a selection that keeps few of them makes a short page."""


class PutResult(NamedTuple):
    """A run as it is stored now, and whether this put created it."""

    run: StoredRun
    created: bool


def put_run(pk: str, new: NewRun, expected_version: int | None = None) -> PutResult:
    """Store a run, and replace what is stored of it. One that says what is stored changes nothing.

    Parameters
    ----------
    pk : its conversation's partition
    expected_version : the version that must be there, 0 for none; None replaces any

    Raises
    ------
    PreconditionFailed : another version is there than the expected one, and it says something else
    ConversationErased : the erasure of the conversation has begun
    RequestTooLarge, WriteConflict
    """
    said = new.said
    for _ in tries(settings().append_patience_s):
        stored = find_run(pk, new.run_id)
        if stored and stored.said == said and expected_version in (None, stored.version, stored.version - 1):
            return PutResult(stored, created=False)
        current = stored.version if stored else 0
        if expected_version is not None and expected_version != current:
            raise PreconditionFailed(expected_version, current)
        if run := _put(pk, _next_version(pk, new, said, stored), new.data, stored):
            return PutResult(run, created=stored is None)
    raise WriteConflict(f"run {new.run_id!r}")


def create_run_if_missing(pk: str, new: NewRun) -> None:
    """Store a run, unless one of its id is there. Raises ConversationErased, RequestTooLarge, WriteConflict."""
    if find_run(pk, new.run_id) is None:
        try:
            put_run(pk, new, expected_version=0)
        except PreconditionFailed:
            return


def find_run(pk: str, run_id: str) -> StoredRun | None:
    """A run, or None. Raises DamagedItem."""
    item = find_item(item_key(pk, run_sk(run_id)))
    return from_run_item(item) if item else None


def get_run(pk: str, run_id: str) -> tuple[StoredRun, dict[str, Any]]:
    """A run, and its data as ``read_data`` gives them. Raises RunNotFound, DamagedItem."""
    run = find_run(pk, run_id)
    found = read_data(pk, run) if run else None
    if found is None:
        raise RunNotFound(run_id)
    return found


def read_data(pk: str, run: StoredRun) -> tuple[StoredRun, dict[str, Any]] | None:
    """A run with its data as the field of an answer, of which there is none where it has none.

    It is a newer version where it was changed meanwhile, and None where it is gone. Raises DamagedItem.
    """
    current: StoredRun | None = run
    for _ in range(MAX_READS):
        if current is None or not current.kept:
            return None if current is None else (current, {})
        try:
            return current, {"data": json.loads(read_value(pk, run_sk(current.run_id), current.kept))}
        except BlobMissing:
            newer = find_run(pk, current.run_id)
            if newer and newer.write_id == current.write_id:
                break
            current = newer
    raise report_damage(DamagedItem(pk, run_sk(run.run_id), "its data are missing"))


@dataclass(frozen=True)
class RunSelection:
    """Which runs of a conversation are listed; None does not matter."""

    status: str | None = None
    parent_run_id: str | None = None
    agent_id: str | None = None

    def matches(self, run: StoredRun) -> bool:
        """Whether a run is among them."""
        return (
            self.status in (None, run.status)
            and self.parent_run_id in (None, run.parent_run_id)
            and self.agent_id in (None, run.agent_id)
        )


@dataclass(frozen=True)
class RunPage:
    """Runs of a list with their fields of data, and the number after which there may be more, if there may."""

    runs: list[tuple[StoredRun, dict[str, Any]]]
    next_number: int | None


def list_runs(
    pk: str, selection: RunSelection, limit: int, *, after: int | None, newest_first: bool, with_data: bool
) -> RunPage:
    """A page of the runs behind a number, as many as an answer has room for. No more runs are read than are shown.

    Where a selection leaves some out, that holds for those that are looked at.
    """
    page: list[tuple[StoredRun, dict[str, Any]]] = []
    last, room, left = after, Room(), MAX_READ
    names = _named_runs(pk, after, newest_first=newest_first, page=min(limit + 1, BATCH))
    while some := list(islice(names, min(limit, BATCH, left))):
        left -= len(some)
        for run in _read_runs(pk, some, with_data=with_data):
            found = _find_data(pk, run) if selection.matches(run) else None
            if found:
                if len(page) == limit or not room.takes(present_run(*found)):
                    return RunPage(page, last)
                page.append(found)
            last = run.number
        last = some[-1][0]
        if left == 0 or len(page) == limit:
            return RunPage(page, None if next(names, None) is None else last)
    return RunPage(page, None)


def walk_runs(pk: str) -> Iterator[tuple[StoredRun, dict[str, Any]]]:
    """The runs of a conversation by their numbers, each with its field of data, without those that are damaged."""
    names = _named_runs(pk, None, newest_first=False, page=BATCH)
    while some := list(islice(names, BATCH)):
        yield from filter(None, (_find_data(pk, run) for run in _read_runs(pk, some, with_data=True)))


def _read_runs(pk: str, named: Sequence[tuple[int, str]], *, with_data: bool) -> Iterator[StoredRun]:
    """The runs of these numbers and ids that are there, in this order; without data, what holds them is not read."""
    projection: dict[str, Any] = {}
    if not with_data:
        projection["ProjectionExpression"] = ", ".join(f"#{name}" for name in WITHOUT_DATA)
        projection["ExpressionAttributeNames"] = {f"#{name}": name for name in WITHOUT_DATA}
    keys = [item_key(pk, run_sk(run_id)) for _, run_id in named]
    items = read_items(keys, consistent=True, **projection)
    runs = {run.run_id: run for run in decode_readable(items, from_run_item)}
    # A run that was deleted and made again has another number.
    return (runs[run_id] for number, run_id in named if run_id in runs and runs[run_id].number == number)


def _find_data(pk: str, run: StoredRun) -> tuple[StoredRun, dict[str, Any]] | None:
    """The same as ``read_data``, and None where the data are damaged: a list shows the other runs."""
    with suppress(DamagedItem):
        return read_data(pk, run)
    return None


def _named_runs(pk: str, after: int | None, *, newest_first: bool, page: int) -> Iterator[tuple[int, str]]:
    """The numbers of a conversation's runs behind one number, and whose they are."""
    start: dict[str, Any] = {} if after is None else {"ExclusiveStartKey": item_key(pk, number_sk(after))}
    items = read_partition(pk, NUMBER, ScanIndexForward=not newest_first, Limit=page, **start)
    return ((number_of_sk(item["sk"]["S"]), item["runId"]["S"]) for item in items if "runId" in item)


def delete_run(pk: str, run_id: str) -> None:
    """Delete a run; its number stays taken. Raises RunNotFound."""
    run = find_run(pk, run_id)
    if run is None:
        raise RunNotFound(run_id)
    answer = client().delete_item(
        TableName=settings().state_table, Key=item_key(pk, run_sk(run_id)), ReturnValues="ALL_OLD"
    )
    put_if(item_key(pk, number_sk(run.number)), "attribute_exists(pk)")
    deleted = answer.get("Attributes")
    delete_value(pk, run_sk(run_id), from_item(deleted) if deleted else run.kept)


def _next_version(pk: str, new: NewRun, said: bytes, stored: StoredRun | None) -> StoredRun:
    """A run as it is stored after what is stored of it, without its data."""
    now = now_ms()
    return StoredRun(
        run_id=new.run_id,
        number=stored.number if stored else _last_number(pk) + 1,
        status=new.status,
        version=stored.version + 1 if stored else 1,
        created_at=stored.created_at if stored else min(now, new.created_at or now),
        updated_at=now,
        said=said,
        write_id=secrets.token_hex(8),
        parent_run_id=new.parent_run_id,
        agent_id=new.agent_id,
        error=new.error,
        kept={},
    )


def _put(pk: str, run: StoredRun, text: str | None, before: StoredRun | None) -> StoredRun | None:
    """Store a run with its data; None where another writer was faster, and then nothing of it is left."""
    sk = run_sk(run.run_id)
    if text is not None:
        run = replace(run, kept=keep_value(pk, sk, text, base_bytes(pk, run), field="data"))
    try:
        is_stored = _replace(pk, run, before) if before else _create(pk, run)
    except AnnalsError:
        delete_value(pk, sk, run.kept)
        raise
    if not is_stored:
        delete_value(pk, sk, run.kept)
        return None
    if before:
        delete_value(pk, sk, before.kept)
    return run


def _create(pk: str, run: StoredRun) -> bool:
    """Store a run with its number; False where that, or its id, is taken by now. Raises ConversationErased."""
    tenant, conversation_id = split_conversation_pk(pk)
    number = {**item_key(pk, number_sk(run.number)), **to_item({"runId": run.run_id})}
    puts = [
        {
            "Put": {
                "TableName": settings().state_table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }
        for item in (to_run_item(pk, run), number)
    ]
    cancelled = transact([*puts, not_erased_check(tenant, conversation_id)])
    if cancelled is None:
        return True
    if cancelled.failed(2):
        raise ConversationErased(conversation_id)
    cancelled.require_lost_race()
    return False


def _replace(pk: str, run: StoredRun, before: StoredRun) -> bool:
    """Store a run in the place of a version; False where that is no longer there."""
    return put_if(to_run_item(pk, run), "writeId = :before", {":before": before.write_id}) is None


def _last_number(pk: str) -> int:
    """The highest number that was given to a run of a conversation; 0 for none."""
    newest = next(read_partition(pk, NUMBER, ScanIndexForward=False, Limit=1, ProjectionExpression="sk"), None)
    return number_of_sk(newest["sk"]["S"]) if newest else 0
