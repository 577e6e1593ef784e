"""agno 1 (1.8.4) with Annals: a storage of sessions, and a database of user memories. For agno 3 there is ``agno``.

``AnnalsStorage`` implements ``Storage`` for agents, teams and workflows, ``AnnalsMemoryDb`` implements ``MemoryDb``::

    from annals_client.integrations.agno_v1 import AnnalsMemoryDb, AnnalsStorage

    memory = Memory(db=AnnalsMemoryDb(table_name="user_memories"))
    agent = Agent(storage=AnnalsStorage(table_name="agent_sessions"), memory=memory, enable_user_memories=True)
"""

from __future__ import annotations

from typing import Any, Literal

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.memory_rows import MemoryRows, StoredRow
from annals_client.integrations.support import Clients, framework
from annals_client.integrations.whole_sessions import Shape, WholeSessions

with framework("agno-v1"):
    from agno.memory.v2.db.base import MemoryDb
    from agno.memory.v2.db.schema import MemoryRow
    from agno.storage.base import Storage
    from agno.storage.session import AgentSession, Session, TeamSession, WorkflowSession, WorkflowSessionV2

SPACE = "agno"
SHAPE = Shape("agno", {"from_history": False})
Mode = Literal["agent", "team", "workflow", "workflow_v2"]
ENTITIES: dict[Mode, str] = {
    "agent": "agent_id",
    "team": "team_id",
    "workflow": "workflow_id",
    "workflow_v2": "workflow_id",
}
"""Of each mode, the field that says whose sessions they are."""


class AnnalsStorage(Storage):
    """Sessions of agents, teams or workflows. A turn stores what it adds; what fails raises AnnalsError.

    Threads and processes may share a storage. Where two add a run to a session at once, both are kept.

    Parameters
    ----------
    table_name : sessions of other tables are others
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id : of whom all sessions are; without it, a session id is one session, and another user's cannot have it
    memory_space_id : the memory space of all that is stored
    mode : whose sessions they are; agno sets it
    """

    def __init__(
        self,
        table_name: str = "agent_sessions",
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = SPACE,
        mode: Mode | None = "agent",
    ) -> None:
        super().__init__(mode)
        self.table_name = table_name
        clients = Clients(client, url=url, key=key)
        self._sessions = WholeSessions(
            clients, SHAPE, table=table_name, memory_space_id=memory_space_id, user_id=user_id
        )

    def create(self) -> None:
        """Nothing has to be made."""

    def read(self, session_id: str, user_id: str | None = None) -> Session | None:
        """A session, or None where there is none, or none of that user."""
        values = self._sessions.read(session_id)
        if values is None or (user_id and values.get("user_id") != user_id):
            return None
        return self._to_session(values)

    def get_all_session_ids(self, user_id: str | None = None, entity_id: str | None = None) -> list[str]:
        """The ids of all sessions, or those of a user, or of an agent, team or workflow; the newest first."""
        rows = self._sessions.rows(user_id=user_id, **{ENTITIES[self.mode]: entity_id})
        return [row["session_id"] for row in rows]

    def get_all_sessions(self, user_id: str | None = None, entity_id: str | None = None) -> list[Session]:
        """The sessions themselves."""
        return self.get_recent_sessions(user_id, entity_id, None)

    def get_recent_sessions(
        self, user_id: str | None = None, entity_id: str | None = None, limit: int | None = 2
    ) -> list[Session]:
        """The newest sessions, ``limit`` at most."""
        read = (self.read(session_id) for session_id in self.get_all_session_ids(user_id, entity_id)[:limit])
        return [session for session in read if session is not None]

    def upsert(self, session: Session) -> Session | None:
        """Store what is new of a session, and return it.

        Raises
        ------
        Conflict : DOCUMENT_OF_ANOTHER, where the session id is another user's
        TypeError, ValueError : it holds what is no JSON
        """
        values: dict[str, Any] = session.to_dict()
        if isinstance(session, WorkflowSessionV2):
            # Its runs are at its top; there, a workflow of the second kind has no memory.
            values["memory"] = {"runs": values.pop("runs") or []}
        return self._to_session(self._sessions.write(values))

    def delete_session(self, session_id: str | None = None) -> None:
        """Erase a session with all that was said in it; its id is free."""
        if session_id is not None:
            self._sessions.delete(session_id)

    def drop(self) -> None:
        """Erase all sessions of the table."""
        self._sessions.drop()

    def upgrade_schema(self) -> None:
        """There is nothing to upgrade."""

    def __deepcopy__(self, memo: dict[int, Any]) -> AnnalsStorage:
        """Agents that are copied share their storage."""
        return self

    def _to_session(self, values: dict[str, Any]) -> Session | None:
        if self.mode == "team":
            return TeamSession.from_dict(values)
        if self.mode == "workflow":
            return WorkflowSession.from_dict(values)
        if self.mode == "workflow_v2":
            return WorkflowSessionV2.from_dict({**values, "runs": (values.get("memory") or {}).get("runs")})
        return AgentSession.from_dict(values)


class AnnalsMemoryDb(MemoryDb):
    """Memories of users: each is a user memory of Annals, and found by its meaning as well.

    Parameters
    ----------
    table_name : memories of other tables are others
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id : of whom all memories are, whatever user a method names or doesn't; without it, they are of many
    memory_space_id : the memory space of all that is stored
    """

    def __init__(
        self,
        table_name: str = "memory",
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = SPACE,
    ) -> None:
        self.table_name = table_name
        clients = Clients(client, url=url, key=key)
        self._rows = MemoryRows(clients, "agno", table=table_name, memory_space_id=memory_space_id, user_id=user_id)

    def create(self) -> None:
        """Nothing has to be made."""

    def memory_exists(self, memory: MemoryRow) -> bool:
        """Whether a memory of this id is there, of its user."""
        return self._rows.find(_id(memory), memory.user_id) is not None

    def read_memories(
        self, user_id: str | None = None, limit: int | None = None, sort: str | None = None
    ) -> list[MemoryRow]:
        """Memories of a user, or of all: the newest first, or with ``sort="asc"`` the oldest; ``limit`` at most."""
        return [_row(each) for each in self._rows.read(user_id, limit, oldest_first=sort == "asc")]

    def upsert_memory(self, memory: MemoryRow) -> MemoryRow | None:
        """Store a memory, or replace the one of its id and user."""
        return _row(self._rows.put(_id(memory), memory.user_id, memory.memory))

    def delete_memory(self, memory_id: str) -> None:
        """Delete a memory, if it is there. Raises ValueError where several users have one of this id."""
        self._rows.delete(memory_id)

    def drop_table(self) -> None:
        """Delete all memories of the table, of all users."""
        self._rows.drop()

    def table_exists(self) -> bool:
        """It needs none, and is always there."""
        return True

    def clear(self) -> bool:
        """Delete all memories of the user. Raises ValueError where the database is of many: ``drop_table`` means all.

        A model can call this, by agno's tool ``clear_memory``, while it speaks with one of them.
        """
        self._rows.clear()
        return True

    def __deepcopy__(self, memo: dict[int, Any]) -> AnnalsMemoryDb:
        """Memories that are copied share their database."""
        return self


def _id(memory: MemoryRow) -> str:
    if memory.id is None:
        raise ValueError("A memory needs an id")
    return memory.id


def _row(stored: StoredRow) -> MemoryRow:
    return MemoryRow(id=stored.id, user_id=stored.user_id, memory=stored.memory, last_updated=stored.updated_at)
