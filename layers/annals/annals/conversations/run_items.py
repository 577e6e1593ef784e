"""Runs as items of the state table, beside their conversation's head.

A run is one item, found by its id. Another one, small, stands in the order of the runs' numbers and names it; it stays
when its run is deleted, so that no number is given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from annals.answers import sent_bytes
from annals.database.damage import AttributeTypes, decode_item, find_mismatch
from annals.database.dynamodb import Item, from_item, to_item
from annals.database.item_size import item_size
from annals.database.keys import item_key
from annals.errors import DamagedItem, RequestTooLarge
from annals.json_text import dump
from annals.stored_values.values import BLOB, VALUE

RUN, NUMBER = "RUN#", "RUNNUMBER#"
"""How the sort keys of runs, and of what names them in the order of their numbers, begin."""

NUMBER_DIGITS = 12

ATTRIBUTES: AttributeTypes = {
    "runId": str, "number": int, "status": str, "version": int, "createdAt": int, "updatedAt": int, "said": bytes,
    "writeId": str,
}  # fmt: skip
OPTIONAL: AttributeTypes = {"parentRunId": str, "agentId": str, "error": str, VALUE: (str, bytes), BLOB: str}
"""The attributes of a run, with their types: first those that are always there, then those that may be."""

WITHOUT_DATA = ("pk", "sk", *ATTRIBUTES, "parentRunId", "agentId", "error")
"""The attributes that say all of a run but its data."""


MAX_SENT_BYTES = 6_000_000
"""The most that a run's data may take in an answer, where they are JSON inside of JSON: what is stored can be read."""


@dataclass(frozen=True)
class NewRun:
    """A run as it is put.

    ``data`` is JSON text, or None for none. ``created_at`` is when it was created elsewhere, in Unix milliseconds.
    """

    run_id: str
    status: str
    parent_run_id: str | None = None
    agent_id: str | None = None
    error: str | None = None
    data: str | None = None
    created_at: int | None = None

    @property
    def said(self) -> bytes:
        """What tells it from another one that is put under its id."""
        fields = [self.status, self.parent_run_id, self.agent_id, self.error, self.data]
        return sha256(dump(fields).encode()).digest()


def to_data_text(data: Any) -> str:
    """The data of a run as they are stored. Raises RequestTooLarge."""
    text = dump(data)
    # Escapes take more room than the text, and only those of large data may take too much.
    if len(text) > MAX_SENT_BYTES // 12 and (size := sent_bytes(data)) > MAX_SENT_BYTES:
        detail = f"data takes {size} bytes where it is sent, and at most {MAX_SENT_BYTES} can be."
        raise RequestTooLarge(detail, field="data")
    return text


@dataclass(frozen=True)
class StoredRun:
    """A run of an agent in a conversation. Times are Unix milliseconds.

    Parameters
    ----------
    number : its place among the conversation's runs, from 1
    parent_run_id : the run that began it
    said : a digest of what was sent of it, by which the same request is known again
    write_id : tells the write that made this version
    kept : the attributes that hold its data, or name the blob that does; empty where it has none, or they were not read
    """

    run_id: str
    number: int
    status: str
    version: int
    created_at: int
    updated_at: int
    said: bytes
    write_id: str
    parent_run_id: str | None
    agent_id: str | None
    error: str | None
    kept: Mapping[str, Any]


def run_sk(run_id: str) -> str:
    """The sort key of a run: a digest of its id, which may be longer than a key."""
    return RUN + sha256(run_id.encode()).hexdigest()


def number_sk(number: int) -> str:
    """The sort key of what names the run of a number."""
    return f"{NUMBER}{number:0{NUMBER_DIGITS}d}"


def number_of_sk(sk: str) -> int:
    """The number that such a sort key is for."""
    return int(sk.removeprefix(NUMBER))


def to_run_item(pk: str, run: StoredRun) -> Item:
    """The item of a run."""
    return {**item_key(pk, run_sk(run.run_id)), **to_item(_to_attributes(run))}


def base_bytes(pk: str, run: StoredRun) -> int:
    """What a run's item weighs without its data."""
    return item_size({"pk": pk, "sk": run_sk(run.run_id), **_to_attributes(run)})


def from_run_item(item: Mapping[str, Any]) -> StoredRun:
    """The run of a stored item. Raises DamagedItem."""
    return decode_item(item, _from_item)


def _to_attributes(run: StoredRun) -> dict[str, Any]:
    values = {
        "runId": run.run_id,
        "number": run.number,
        "status": run.status,
        "version": run.version,
        "createdAt": run.created_at,
        "updatedAt": run.updated_at,
        "said": run.said,
        "writeId": run.write_id,
        "parentRunId": run.parent_run_id,
        "agentId": run.agent_id,
        "error": run.error,
        **run.kept,
    }
    return {name: value for name, value in values.items() if value is not None}


def _from_item(item: Mapping[str, Any]) -> StoredRun:
    values = from_item(item)
    if reason := find_mismatch(values, ATTRIBUTES, OPTIONAL):
        raise DamagedItem(values["pk"], values["sk"], reason)
    return StoredRun(
        run_id=values["runId"],
        number=values["number"],
        status=values["status"],
        version=values["version"],
        created_at=values["createdAt"],
        updated_at=values["updatedAt"],
        said=values["said"],
        write_id=values["writeId"],
        parent_run_id=values.get("parentRunId"),
        agent_id=values.get("agentId"),
        error=values.get("error"),
        kept={name: values[name] for name in (VALUE, BLOB) if name in values},
    )
