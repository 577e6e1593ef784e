"""Memories of users: each is what Annals remembers of that user, under agno's id for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from agno.db.schemas import UserMemory

from annals_client.calls import Steps
from annals_client.errors import NotFound
from annals_client.integrations.agno.directory import SPACE
from annals_client.integrations.agno.order import Order
from annals_client.listing import collect_items
from annals_client.models import UserMemory as Remembered
from annals_client.resources.documents import DocumentDelete, Documents
from annals_client.resources.users import UserMemories

Json = dict[str, Any]

MEMORIES = "agno.memories"
"""The collection that leads from a memory's id to its user, since agno may ask for memories by their ids alone."""

NOBODY = "agno-nobody"
"""The user of memories that have none in agno."""

OWN_ID = "um:"
"""How Annals' own ids of users' memories begin."""

OURS = "agno"
"""The field of a memory's metadata that holds what agno knows of it besides."""


@dataclass(frozen=True)
class MemoryFilter:
    """Which memories are listed; what is None doesn't count. A memory has all ``topics``, and the text somewhere."""

    user_id: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    topics: Sequence[str] | None = None
    search_content: str | None = None

    @property
    def is_of_user_alone(self) -> bool:
        """Whether all memories of one user are meant."""
        others = (self.agent_id, self.team_id, self.topics, self.search_content)
        return self.user_id is not None and all(each is None for each in others)

    def takes(self, row: Json) -> bool:
        """Whether a memory is meant."""
        return (
            self.agent_id in (None, row["agent_id"])
            and self.team_id in (None, row["team_id"])
            and set(self.topics or ()) <= set(row["topics"] or ())
            and (self.search_content is None or self.search_content.casefold() in row["memory"].casefold())
        )


class MemoryStore:
    """The memories of a memory space's users.

    Agno clears memories without a word of whose. Here, they are those of the user with whom the running task was
    concerned last.
    """

    def __init__(self, memory_space_id: str) -> None:
        self._space = memory_space_id
        self._user: ContextVar[str | None] = ContextVar("annals_agno_user", default=None)

    def upsert(self, memory: UserMemory, *, keep_updated_at: bool = False) -> Steps[Json]:
        """Store a memory, which gets an id if it has none; its row. ``created_at`` stays that of the first time."""
        is_new = memory.memory_id is None
        memory.memory_id = memory.memory_id or str(uuid4())
        before = None if is_new else (yield from self._find(memory.memory_id, _user_of(memory)))
        is_ours = not _is_annals_own(memory.memory_id)
        if before is None and is_ours:
            yield from self._lead_to(memory.memory_id, memory.user_id)
        updated_at = int(time.time()) if before else memory.created_at
        kept = {"created_at": before["created_at"] if before else memory.created_at}
        kept["updated_at"] = memory.updated_at if keep_updated_at else updated_at
        more: Json = {
            "team_id": memory.team_id,
            "feedback": memory.feedback,
            "topics": [] if memory.topics == [] else None,
        }
        if memory.user_id is not None:
            self.concern(memory.user_id)
        said: Json = {
            "memory": memory.memory,
            "topics": memory.topics or None,
            "input": memory.input,
            "agent_id": memory.agent_id,
            "metadata": {OURS: {name: value for name, value in {**kept, **more}.items() if value is not None}},
        }
        user_id = _user_of(memory)
        if is_ours:
            call = UserMemories.put.call(user_id, self._name(memory.memory_id), memory_space_id=self._space, **said)
        else:
            call = UserMemories.update.call(user_id, memory.memory_id, **said)
        return self._row((yield call))

    def upsert_many(self, memories: Iterable[UserMemory], *, keep_updated_at: bool) -> Steps[list[Json]]:
        """Store memories; their rows."""
        rows = []
        for memory in memories:
            rows.append((yield from self.upsert(memory, keep_updated_at=keep_updated_at)))
        return rows

    def find(self, memory_id: str, user_id: str | None) -> Steps[Json | None]:
        """A memory's row; that of any user if none is named."""
        for each in (yield from self._users_of(memory_id, user_id)):
            found = yield from self._find(memory_id, each)
            if found is not None:
                return found
        return None

    def page(self, wanted: MemoryFilter, order: Order, *, with_total: bool) -> Steps[tuple[list[Json], int]]:
        """A page of rows, and how many there are in all; without the total, as few are read as the page takes."""
        if wanted.user_id is not None:
            self.concern(wanted.user_id)
            if wanted.is_of_user_alone and order.reads_up_to is not None and not with_total:
                rows = yield from self._of_user(wanted.user_id, order.reads_up_to)
                return order.page_of(rows), len(rows)
        rows = yield from self._all(wanted.user_id)
        rows = [row for row in rows if wanted.takes(row)]
        return order.page_of(order.sort(rows)), len(rows)

    def delete(self, memory_ids: Iterable[str], user_id: str | None) -> Steps[None]:
        """Delete memories of a user, or whoever's they are."""
        for memory_id in memory_ids:
            for each in (yield from self._users_of(memory_id, user_id)):
                yield from self._delete(memory_id, each)

    def clear(self, user_id: str | None) -> Steps[None]:
        """Delete all memories of one user. Raises ValueError where nothing tells whose."""
        user_id = user_id if user_id is not None else self._user.get()
        if user_id is None:
            detail = "clear_memories() deletes what is remembered of one user: say clear_memories(user_id=...)"
            raise ValueError(f"{detail}, or clear_memories_of_all_users()")
        yield from self._clear(user_id)

    def clear_all(self) -> Steps[None]:
        """Delete all memories of all users."""
        for user_id in (yield from self._users()):
            yield from self._clear(user_id)

    def topics(self, user_id: str | None) -> Steps[list[str]]:
        """The topics of a user's memories, or of all."""
        rows = yield from self._all(user_id)
        return sorted({topic for row in rows for topic in row["topics"] or ()})

    def stats(self, limit: int | None, page: int | None, user_id: str | None) -> Steps[tuple[list[Json], int]]:
        """How many memories there are of each user, and when the last one changed; that user first."""
        stats = []
        for each in [user_id] if user_id is not None else (yield from self._users()):
            rows = yield from self._of_user(each)
            if rows and each != NOBODY:
                last = max(row["updated_at"] or 0 for row in rows)
                stats.append({"user_id": each, "total_memories": len(rows), "last_memory_updated_at": last})
        order = Order(limit, page, sort_by="last_memory_updated_at")
        return order.page_of(order.sort(stats)), len(stats)

    def concern(self, user_id: str) -> None:
        """Note with whom the running task is concerned."""
        self._user.set(user_id)

    def _find(self, memory_id: str, user_id: str) -> Steps[Json | None]:
        if _is_annals_own(memory_id):
            rows = yield from self._of_user(user_id)
            return next((row for row in rows if row["memory_id"] == memory_id), None)
        try:
            found = yield UserMemories.get_by_external_id.call(user_id, self._name(memory_id))
        except NotFound:
            return None
        return self._row(found) if found.memory_space_id == self._space else None

    def _of_user(self, user_id: str, limit: int | None = None) -> Steps[list[Json]]:
        walk = UserMemories.list.walk(
            user_id, memory_space_id=self._space, order="asc", limit=limit, page_size=min(limit or 1000, 1000) or 1
        )
        memories = yield from collect_items(walk)
        return [self._row(memory) for memory in memories]

    def _all(self, user_id: str | None) -> Steps[list[Json]]:
        rows: list[Json] = []
        for each in [user_id] if user_id is not None else (yield from self._users()):
            rows += yield from self._of_user(each)
        return rows

    def _users(self) -> Steps[list[str]]:
        """The users of whom there are memories, in the order in which they were first remembered."""
        walk = Documents.list.walk(
            MEMORIES, namespace_prefix=(), memory_space_id=self._space, include_values=False, page_size=1000
        )
        documents = yield from collect_items(walk)
        documents.sort(key=lambda document: document.created_at)
        return list(dict.fromkeys(document.key for document in documents))

    def _users_of(self, memory_id: str, user_id: str | None) -> Steps[list[str]]:
        """Whose a memory may be."""
        if user_id is not None:
            return [user_id]
        walk = Documents.list.walk(MEMORIES, namespace=(memory_id,), memory_space_id=self._space)
        documents = yield from collect_items(walk)
        return [document.key for document in documents]

    def _lead_to(self, memory_id: str, user_id: str | None) -> Steps[None]:
        yield from Documents.put.steps(
            None,
            MEMORIES,
            user_id if user_id is not None else NOBODY,
            {},
            namespace=(memory_id,),
            memory_space_id=self._space,
            user_id=user_id,
        )

    def _delete(self, memory_id: str, user_id: str) -> Steps[None]:
        if (yield from self._find(memory_id, user_id)) is None:
            return
        if _is_annals_own(memory_id):
            yield UserMemories.delete.call(user_id, memory_id)
        else:
            yield UserMemories.delete_by_external_id.call(user_id, self._name(memory_id))
            yield from Documents.batch.steps(None, self._deletes([memory_id], user_id))

    def _clear(self, user_id: str) -> Steps[None]:
        walk = UserMemories.list.walk(user_id, memory_space_id=self._space, page_size=1000)
        memories = yield from collect_items(walk)
        for memory in memories:
            yield UserMemories.delete.call(user_id, memory.memory_id)
        ids = [self._row(memory)["memory_id"] for memory in memories if memory.external_id]
        yield from Documents.batch.steps(None, self._deletes(ids, user_id))

    def _name(self, memory_id: str) -> str:
        """The external id of a memory: a user has each but once, so that it names all spaces but the usual one."""
        return memory_id if self._space == SPACE else f"{self._space}/{memory_id}"

    def _row(self, memory: Remembered) -> Json:
        """A memory as a row, and as agno's ``from_dict`` takes it. One that is not agno's has Annals' id and times."""
        row = _row(memory)
        prefix = self._name("")
        return {**row, "memory_id": row["memory_id"].removeprefix(prefix)} if memory.external_id else row

    def _deletes(self, memory_ids: Sequence[str], user_id: str) -> list[DocumentDelete]:
        return [
            DocumentDelete(collection=MEMORIES, key=user_id, namespace=(memory_id,), memory_space_id=self._space)
            for memory_id in memory_ids
        ]


def _is_annals_own(memory_id: str) -> bool:
    """Whether an id is Annals' own: that of a memory which another program put into the space."""
    return memory_id.startswith(OWN_ID)


def _user_of(memory: UserMemory) -> str:
    return memory.user_id if memory.user_id is not None else NOBODY


def _row(memory: Remembered) -> Json:
    known = memory.metadata.get(OURS, {})
    created, updated = int(memory.created_at.timestamp()), int(memory.updated_at.timestamp())
    return {
        "memory_id": memory.external_id or memory.memory_id,
        "memory": memory.memory,
        "topics": memory.topics or known.get("topics"),
        "user_id": None if memory.user_id == NOBODY else memory.user_id,
        "agent_id": memory.agent_id,
        "team_id": known.get("team_id"),
        "input": memory.input,
        "feedback": known.get("feedback"),
        "created_at": known.get("created_at", created),
        "updated_at": known.get("updated_at", updated),
    }
