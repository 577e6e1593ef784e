"""Rows of a framework's table of memories: each is a user memory of Annals, under the row's own id.

Of each user of a table there is a document that says so, by which the table's users are found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Literal

from annals_client.errors import NotFound
from annals_client.integrations.support import Clients
from annals_client.models import UserMemory

NOBODY = "nobody"
"""Whose memories are those of no user."""

MEMORY, ROW, OF_NOBODY = "memory", "row", "ofNobody"
"""In the metadata of a memory: the framework's JSON, the row's id, and whether it is of no user."""

MAX_TOPIC_CHARS = 128
MAX_INPUT_CHARS = 50_000


@dataclass(frozen=True)
class StoredRow:
    """A row: its id in the framework, its user, the framework's JSON of the memory, and its times."""

    id: str
    user_id: str | None
    memory: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class MemoryRows:
    """The rows of one table. Every method raises AnnalsError.

    Parameters
    ----------
    framework : under which the JSON of a memory stands in its metadata
    table : rows of other tables are others
    memory_space_id : the memory space of all that is stored
    user_id : of whom all rows are, whatever user a method names; None for many
    """

    def __init__(
        self, clients: Clients, framework: str, *, table: str, memory_space_id: str, user_id: str | None = None
    ) -> None:
        self._clients = clients
        self._framework = framework
        self._table = table
        self._space = memory_space_id
        self._user_id = user_id
        self._noted: set[str] = set()
        self._lock = Lock()

    def put(self, row_id: str, user_id: str | None, memory: dict[str, Any]) -> StoredRow:
        """Store a row, or replace the one of its id and user."""
        owner = self._owner(user_id)
        self._note(owner)
        topics = memory.get("topics") or ([memory["topic"]] if memory.get("topic") else [])
        said = memory.get("input")
        stored = self._clients.sync.user_memories.put(
            owner,
            self._external_id(row_id),
            memory["memory"],
            topics=[topic[:MAX_TOPIC_CHARS] for topic in topics if topic.strip()],
            input=said[:MAX_INPUT_CHARS] if isinstance(said, str) and said.strip() else None,
            memory_space_id=self._space,
            metadata={self._framework: {MEMORY: memory, ROW: row_id, OF_NOBODY: owner == NOBODY}},
        )
        return self._row(stored)

    def find(self, row_id: str, user_id: str | None) -> StoredRow | None:
        """The row of an id and a user, or None."""
        try:
            found = self._clients.sync.user_memories.get_by_external_id(self._owner(user_id), self._external_id(row_id))
        except NotFound:
            return None
        return self._row(found)

    def read(self, user_id: str | None, limit: int | None, *, oldest_first: bool) -> list[StoredRow]:
        """The rows of a user, or of all where none is named, by when they came."""
        if self._user_id is not None or user_id is not None:
            return list(self._rows_of(self._owner(user_id), limit, oldest_first=oldest_first))
        rows = [row for owner in self._owners() for row in self._rows_of(owner, limit, oldest_first=oldest_first)]
        rows.sort(key=lambda row: row.created_at, reverse=not oldest_first)
        return rows if limit is None else rows[:limit]

    def delete(self, row_id: str) -> None:
        """Delete a row, if it is there. Raises ValueError where several users have one of this id."""
        owners = [self._user_id] if self._user_id is not None else [*self._owners()]
        having = [owner for owner in owners if self.find(row_id, owner) is not None]
        if len(having) > 1:
            raise ValueError(
                f"{len(having)} users have a memory {row_id!r}: make a database of one of them, with user_id="
            )
        for owner in having:
            self._clients.sync.user_memories.delete_by_external_id(owner, self._external_id(row_id))

    def clear(self) -> None:
        """Delete all rows of the user. Raises ValueError where the table is of many."""
        if self._user_id is None:
            raise ValueError("This would delete the memories of all users: make a database of one, with user_id=")
        self._clear(self._user_id)

    def drop(self) -> None:
        """Delete all rows of the table, of all users."""
        for owner in [self._user_id] if self._user_id is not None else [*self._owners()]:
            self._clear(owner)

    def _clear(self, owner: str) -> None:
        for row in [*self._rows_of(owner, None, oldest_first=True)]:
            self._clients.sync.user_memories.delete_by_external_id(owner, self._external_id(row.id))

    def _rows_of(self, owner: str, limit: int | None, *, oldest_first: bool) -> Iterator[StoredRow]:
        left = limit
        order: Literal["asc", "desc"] = "asc" if oldest_first else "desc"
        for memory in self._clients.sync.user_memories.list(owner, memory_space_id=self._space, order=order):
            if left == 0:
                return
            if memory.external_id is not None and memory.external_id == self._external_id(self._row(memory).id):
                yield self._row(memory)
                left = None if left is None else left - 1

    def _owner(self, user_id: str | None) -> str:
        return self._user_id or user_id or NOBODY

    def _external_id(self, row_id: str) -> str:
        return f"{self._framework}/{self._table}/{row_id}"

    def _owners(self) -> list[str]:
        documents = self._clients.sync.documents
        return [each.key for each in documents.list(self._users, memory_space_id=self._space, include_values=False)]

    def _note(self, owner: str) -> None:
        """Note that a user has rows here; first, so that no row is there whose user is not found."""
        with self._lock:
            if owner in self._noted:
                return
        user_id = None if owner == NOBODY else owner
        self._clients.sync.documents.put(self._users, owner, None, memory_space_id=self._space, user_id=user_id)
        with self._lock:
            self._noted.add(owner)

    @property
    def _users(self) -> str:
        return f"{self._framework}.{self._table}.users"

    def _row(self, memory: UserMemory) -> StoredRow:
        kept = memory.metadata.get(self._framework) or {}
        return StoredRow(
            id=kept.get(ROW, memory.memory_id),
            user_id=None if kept.get(OF_NOBODY) else memory.user_id,
            memory=kept.get(MEMORY, {"memory": memory.memory}),
            created_at=memory.created_at,
            updated_at=memory.updated_at,
        )
