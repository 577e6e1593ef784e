"""phidata (2.7.10) with Annals: a storage of agents' sessions, and a database of user memories.

``AnnalsAgentStorage`` implements ``AgentStorage``, ``AnnalsMemoryDb`` implements ``MemoryDb``::

    from annals_client.integrations.phidata import AnnalsAgentStorage, AnnalsMemoryDb

    storage = AnnalsAgentStorage(table_name="agent_sessions")
    agent = Agent(storage=storage, memory=AgentMemory(db=AnnalsMemoryDb(), create_user_memories=True))
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.memory_rows import MemoryRows, StoredRow
from annals_client.integrations.support import Clients, framework
from annals_client.integrations.whole_sessions import Shape, WholeSessions

with framework("phidata"):
    import phi.agent  # noqa: F401 - before all others: phidata's modules import each other in a circle
    from phi.agent.session import AgentSession
    from phi.memory.db.base import MemoryDb
    from phi.memory.row import MemoryRow
    from phi.storage.agent.base import AgentStorage

SPACE = "phidata"
SHAPE = Shape("phidata")


class AnnalsAgentStorage(AgentStorage):
    """Sessions of agents. A turn stores what it adds, however long the session is; what fails raises AnnalsError.

    Threads and processes may share a storage. Where two add a run to a session at once, both are kept.

    Parameters
    ----------
    table_name : sessions of other tables are others
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id : of whom all sessions are; without it, a session id is one session, and another user's cannot have it
    memory_space_id : the memory space of all that is stored
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
    ) -> None:
        self.table_name = table_name
        clients = Clients(client, url=url, key=key)
        self._user_id = user_id
        self._sessions = WholeSessions(
            clients, SHAPE, table=table_name, memory_space_id=memory_space_id, user_id=user_id
        )

    def create(self) -> None:
        """Nothing has to be made."""

    def read(self, session_id: str, user_id: str | None = None) -> AgentSession | None:
        """A session, or None where there is none, or none of that user."""
        values = self._sessions.read(session_id)
        if values is None or (user_id and values.get("user_id") != user_id):
            return None
        return AgentSession.model_validate(values)

    def get_all_session_ids(self, user_id: str | None = None, agent_id: str | None = None) -> list[str]:
        """The ids of all sessions, or those of a user or an agent, the newest first."""
        return [row["session_id"] for row in self._sessions.rows(user_id=user_id, agent_id=agent_id)]

    def get_all_sessions(self, user_id: str | None = None, agent_id: str | None = None) -> list[AgentSession]:
        """The sessions themselves."""
        read = (self.read(session_id) for session_id in self.get_all_session_ids(user_id, agent_id))
        return [session for session in read if session is not None]

    def upsert(self, session: AgentSession) -> AgentSession | None:
        """Store what is new of a session, and return it.

        Raises
        ------
        Conflict : DOCUMENT_OF_ANOTHER, where the session id is another user's
        TypeError, ValueError : it holds what is no JSON
        """
        return AgentSession.model_validate(self._sessions.write(session.model_dump()))

    def delete_session(self, session_id: str | None = None) -> None:
        """Erase a session with all that was said in it; its id is free."""
        if session_id is not None:
            self._sessions.delete(session_id)

    def drop(self) -> None:
        """Erase all sessions of the table."""
        self._sessions.drop()

    def upgrade_schema(self) -> None:
        """There is nothing to upgrade."""

    def __deepcopy__(self, memo: dict[int, Any]) -> AnnalsAgentStorage:
        """Agents that are copied share their storage."""
        return self


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
        table_name: str = "agent_memory",
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = SPACE,
    ) -> None:
        self.table_name = table_name
        clients = Clients(client, url=url, key=key)
        self._rows = MemoryRows(clients, "phidata", table=table_name, memory_space_id=memory_space_id, user_id=user_id)

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
        """Store a memory, or replace the one of its id and user. Equal memories of two users are two."""
        return _row(self._rows.put(_id(memory), memory.user_id, memory.memory))

    def delete_memory(self, id: str) -> None:  # noqa: A002 - phidata's name
        """Delete a memory, if it is there. Raises ValueError where several users have one of this id."""
        self._rows.delete(id)

    def drop_table(self) -> None:
        """Delete all memories of the table, of all users."""
        self._rows.drop()

    def table_exists(self) -> bool:
        """It needs none, and is always there."""
        return True

    def clear(self) -> bool:
        """Delete all memories of the user. Raises ValueError where the database is of many: ``drop_table`` means all.

        A model can call this, by phidata's tool ``clear_memory``, while it speaks with one of them.
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
    created_at: datetime = stored.created_at
    return MemoryRow(
        id=stored.id,
        user_id=stored.user_id,
        memory=stored.memory,
        created_at=created_at,
        updated_at=stored.updated_at,
    )
