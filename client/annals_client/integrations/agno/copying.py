"""Move to Annals from a database of agno's own: ``annals import agno.db --from agno``.

agno's own classes read it: any of its databases can be the source, and what older versions wrote is read, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

from agno.db.base import BaseDb, SessionType
from agno.db.schemas import UserMemory
from agno.db.utils import detect_session_type

from annals_client.integrations.agno.db import AnnalsDb
from annals_client.integrations.agno.sessions import to_session
from annals_client.integrations.support import framework

Json = dict[str, Any]

DYNAMODB = "dynamodb"
"""What names agno's tables in DynamoDB, instead of a file. Region and credentials are the environment's."""


@dataclass
class Copied:
    """How much was copied, how much was there before, and which sessions another user has in Annals."""

    sessions: int = 0
    runs: int = 0
    memories: int = 0
    sessions_there: int = 0
    runs_there: int = 0
    memories_there: int = 0
    refused: list[str] = field(default_factory=list)


def open_database(source: Path) -> BaseDb:
    """agno's database in an SQLite file, or its tables in DynamoDB.

    Raises
    ------
    FileNotFoundError : there is no such file
    UnsupportedFramework : SQLAlchemy or boto3 is missing
    """
    if str(source) == DYNAMODB and not source.exists():
        with framework("agno"):
            from agno.db.dynamo import DynamoDb
        return DynamoDb()
    if not source.is_file():
        raise FileNotFoundError(2, "No such file", str(source))
    with framework("agno"):
        from agno.db.sqlite import SqliteDb
    return SqliteDb(db_file=str(source))


def copy_database(source: BaseDb, target: AnnalsDb, *, dry_run: bool = False) -> Copied:
    """Copy all sessions with their runs, and all memories. What the target has already is left as it is there.

    A copy that broke off is completed by another one. With ``dry_run`` nothing is stored, and what would be is counted.

    Raises
    ------
    AnnalsError : something could not be stored
    """
    copied = Copied()
    for row in _sessions(source):
        _copy_session(row, target, copied, dry_run=dry_run)
    for memory in source.get_user_memories():
        if isinstance(memory, UserMemory):
            _copy_memory(memory, target, copied, dry_run=dry_run)
    return copied


def _sessions(source: BaseDb) -> Iterator[Json]:
    """All sessions as rows, each with its runs, one after the other."""
    alone: Json = {"include_runs": False} if "include_runs" in signature(source.get_sessions).parameters else {}
    rows: Any = source.get_sessions(deserialize=False, **alone)
    for session_id in [row["session_id"] for row in rows[0]]:
        row = source.get_session(session_id, deserialize=False)
        if isinstance(row, dict):
            yield row


def _copy_session(row: Json, target: AnnalsDb, copied: Copied, *, dry_run: bool) -> None:
    session_id, user_id = row["session_id"], row.get("user_id")
    there: Any = target.get_session(session_id, deserialize=False)
    if there is not None and there["user_id"] not in (None, user_id):
        copied.refused.append(session_id)
        return
    if there is None:
        copied.sessions += 1
        if not dry_run:
            session = to_session({**row, "runs": None}, SessionType(detect_session_type(row)))
            target.upsert_sessions([session], preserve_updated_at=True)
    else:
        copied.sessions_there += 1
    known = {run["run_id"] for run in (there["runs"] if there else [])}
    for run in row.get("runs") or []:
        if run["run_id"] in known:
            copied.runs_there += 1
            continue
        copied.runs += 1
        if not dry_run:
            target.upsert_run(run, session_id, user_id)


def _copy_memory(memory: UserMemory, target: AnnalsDb, copied: Copied, *, dry_run: bool) -> None:
    if memory.memory_id and target.get_user_memory(memory.memory_id, user_id=memory.user_id):
        copied.memories_there += 1
        return
    copied.memories += 1
    if not dry_run:
        target.upsert_memories([memory], preserve_updated_at=True)
