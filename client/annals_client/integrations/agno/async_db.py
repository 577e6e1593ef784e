"""agno's database on Annals, for asyncio."""

from __future__ import annotations

from datetime import date
from typing import Any, TypeVar

from agno.db.base import AsyncBaseDb, SessionType
from agno.db.schemas import UserMemory
from agno.db.utils import deserialize_run
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.run.workflow import WorkflowRunOutput
from agno.session import Session

from annals_client.calls import Steps
from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.agno.directory import SPACE
from annals_client.integrations.agno.memories import MemoryFilter
from annals_client.integrations.agno.order import Order
from annals_client.integrations.agno.runs import RunFilter
from annals_client.integrations.agno.sessions import SessionFilter, row_of, stored_session, to_session
from annals_client.integrations.agno.stores import LOG, SCHEMA_VERSION, NotKept, Stores
from annals_client.integrations.support import Clients

T = TypeVar("T")

Json = dict[str, Any]
AnyRun = RunOutput | TeamRunOutput | WorkflowRunOutput


class AsyncAnnalsDb(NotKept, AsyncBaseDb):
    """The same as ``AnnalsDb``, for asyncio, in any event loop; see there for its parameters."""

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        memory_space_id: str = SPACE,
        id: str | None = None,  # noqa: A002 - agno's word
    ) -> None:
        super().__init__(id=id or f"annals-{memory_space_id}")
        self.memory_space_id = memory_space_id
        self._clients = Clients(client, url=url, key=key)
        self._stores = Stores(memory_space_id)

    async def _run(self, steps: Steps[T]) -> T:
        return await self._clients.asynchronous.sender.run(steps)

    async def _write(self, steps: Steps[T]) -> T:
        """Run what writes. Agno takes no notice where that fails, so that it is logged here."""
        try:
            return await self._run(steps)
        except Exception as failure:
            LOG.error("Annals did not store it: %s", failure)
            raise

    async def close(self) -> None:
        """Close the connections, unless they are a given client's."""
        await self._clients.aclose()

    def to_dict(self) -> Json:
        """What names this database; its URL and its key are the environment's."""
        return {**super().to_dict(), "memory_space_id": self.memory_space_id, "type": "annals"}

    @classmethod
    def from_dict(cls, data: Json) -> AsyncAnnalsDb:
        """The database that ``to_dict`` names."""
        return cls(memory_space_id=data.get("memory_space_id") or SPACE, id=data.get("id"))

    async def table_exists(self, table_name: str) -> bool:
        """True: there are no tables to be made."""
        return True

    async def get_latest_schema_version(self, table_name: str = "") -> str:
        """The newest: nothing is to be migrated."""
        return SCHEMA_VERSION

    async def upsert_schema_version(self, table_name: str = "", version: str = "") -> None:
        """Do nothing: nothing is to be migrated."""

    async def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """Erase a session with all that is in it; False where there is none for that user."""
        return await self._run(self._stores.sessions.delete([session_id], user_id)) == 1

    async def delete_sessions(self, session_ids: list[str], user_id: str | None = None) -> None:
        """Erase the sessions among these that are that user's, or all of them."""
        await self._run(self._stores.sessions.delete(session_ids, user_id))

    async def get_session(
        self,
        session_id: str,
        session_type: SessionType | None = None,
        user_id: str | None = None,
        deserialize: bool | None = True,
        runs_limit: int | None = None,
    ) -> Session | Json | None:
        """A session with its runs, with the newest ``runs_limit`` that histories show, or None."""
        row = await self._run(self._stores.sessions.get(session_id, user_id, runs_limit))
        return to_session(row, session_type) if row is not None and deserialize else row

    async def get_sessions(
        self,
        session_type: SessionType | None = None,
        user_id: str | None = None,
        component_id: str | None = None,
        session_name: str | None = None,
        start_timestamp: int | None = None,
        end_timestamp: int | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        deserialize: bool | None = True,
        include_runs: bool = True,
    ) -> list[Session] | tuple[list[Json], int]:
        """Sessions, ``limit`` at most, in the order in which they were made by default; as rows, with the total."""
        kind = session_type.value if session_type else None
        wanted = SessionFilter(kind, user_id, component_id, session_name, start_timestamp, end_timestamp)
        order = Order(limit, page, sort_by, sort_order)
        rows, total = await self._run(self._stores.sessions.page(wanted, order, include_runs=include_runs))
        return [to_session(row, session_type) for row in rows] if deserialize else (rows, total)

    async def rename_session(
        self,
        session_id: str,
        session_type: SessionType | None,
        session_name: str,
        user_id: str | None = None,
        deserialize: bool | None = True,
    ) -> Session | Json | None:
        """Give a session a name; None where there is none for that user."""
        row = await self._run(self._stores.sessions.rename(session_id, session_name, user_id))
        return to_session(row, session_type) if row is not None and deserialize else row

    async def upsert_session(self, session: Session, deserialize: bool | None = True) -> Session | Json | None:
        """Store a session without its runs; None where it is another user's."""
        row = await self._write(self._stores.sessions.upsert(row_of(session)))
        return None if row is None else stored_session(row, session, deserialize=bool(deserialize))

    async def upsert_sessions(
        self, sessions: list[Session], deserialize: bool | None = True, preserve_updated_at: bool = False
    ) -> list[Session | Json]:
        """Store many sessions; those of other users are left out."""
        some = [session for session in sessions if session is not None]
        rows = [row_of(each, each.updated_at if preserve_updated_at else None) for each in some]
        stored = zip(await self._write(self._stores.sessions.upsert_many(rows)), some, strict=True)
        return [stored_session(row, each, deserialize=bool(deserialize)) for row, each in stored if row is not None]

    async def get_run(self, run_id: str, deserialize: bool | None = True) -> AnyRun | Json | None:
        """A run of any session; as a row, ``run_data`` holds it."""
        row = await self._run(self._stores.runs.find(run_id))
        return deserialize_run(row["run_type"], row["run_data"]) if row is not None and deserialize else row

    async def get_runs(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        workflow_id: str | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        deserialize: bool | None = True,
    ) -> list[AnyRun] | tuple[list[Json], int]:
        """Runs, ``limit`` at most, in the order in which they were made by default; as rows, with the total."""
        wanted_status = status.value if isinstance(status, RunStatus) else status
        wanted = RunFilter(session_id, user_id, agent_id, team_id, workflow_id, wanted_status)
        rows, total = await self._run(self._stores.runs.page(wanted, Order(limit, page, sort_by, sort_order)))
        return [deserialize_run(row["run_type"], row["run_data"]) for row in rows] if deserialize else (rows, total)

    async def upsert_run(
        self, run: AnyRun | Json, session_id: str, user_id: str | None = None, run_index: int | None = None
    ) -> None:
        """Store a run, or what is new of it. Runs keep the order in which they were first stored.

        Raises
        ------
        ValueError : there is no such session, it is another user's, or the run has no id
        """
        await self._write(self._stores.runs.upsert(run, session_id, user_id, run_index))

    async def cancel_pending_run(
        self,
        run_id: str,
        *,
        session_id: str,
        reason: str,
        user_id: str | None = None,
        expected_status: str = "PENDING",
    ) -> bool:
        """Cancel a run that is pending or running, as is expected; whether it was changed."""
        return await self._run(self._stores.runs.cancel(run_id, session_id, reason, user_id, expected_status))

    async def delete_run(self, run_id: str) -> bool:
        """Delete a run, and redact its messages; False where there is none."""
        return await self._run(self._stores.runs.delete([run_id])) == 1

    async def delete_runs(self, run_ids: list[str]) -> None:
        """Delete runs, and redact their messages."""
        await self._run(self._stores.runs.delete(run_ids))

    async def clear_memories(self, user_id: str | None = None) -> None:
        """Delete the memories of one user: this one, or the one whose memories the running task read or wrote last.

        Raises ValueError where neither is known.
        """
        await self._run(self._stores.memories.clear(user_id))

    async def clear_memories_of_all_users(self) -> None:
        """Delete the memories of all users."""
        await self._run(self._stores.memories.clear_all())

    async def delete_user_memory(self, memory_id: str, user_id: str | None = None) -> None:
        """Delete a memory, if it is that user's."""
        await self._run(self._stores.memories.delete([memory_id], user_id))

    async def delete_user_memories(self, memory_ids: list[str], user_id: str | None = None) -> None:
        """Delete the memories among these that are that user's."""
        await self._run(self._stores.memories.delete(memory_ids, user_id))

    async def get_all_memory_topics(self, user_id: str | None = None) -> list[str]:
        """The topics of a user's memories, or of all, in the order of the alphabet."""
        return await self._run(self._stores.memories.topics(user_id))

    async def get_user_memory(
        self, memory_id: str, deserialize: bool | None = True, user_id: str | None = None
    ) -> UserMemory | Json | None:
        """A memory, if it is that user's, or None."""
        row = await self._run(self._stores.memories.find(memory_id, user_id))
        return UserMemory.from_dict(row) if row is not None and deserialize else row

    async def get_user_memories(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        topics: list[str] | None = None,
        search_content: str | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        deserialize: bool | None = True,
    ) -> list[UserMemory] | tuple[list[Json], int]:
        """Memories, ``limit`` at most, in the order in which they were made by default; as rows, with the total.

        They have all ``topics``, and hold ``search_content``, in capitals or not.
        """
        wanted = MemoryFilter(user_id, agent_id, team_id, topics, search_content)
        order = Order(limit, page, sort_by, sort_order)
        rows, total = await self._run(self._stores.memories.page(wanted, order, with_total=not deserialize))
        return [UserMemory.from_dict(row) for row in rows] if deserialize else (rows, total)

    async def get_user_memory_stats(
        self, limit: int | None = None, page: int | None = None, user_id: str | None = None
    ) -> tuple[list[Json], int]:
        """How many memories each user has, and when the last one changed; and how many users there are."""
        return await self._run(self._stores.memories.stats(limit, page, user_id))

    async def upsert_user_memory(self, memory: UserMemory, deserialize: bool | None = True) -> UserMemory | Json | None:
        """Store a memory of its user, or its new version."""
        row = await self._write(self._stores.memories.upsert(memory))
        return UserMemory.from_dict(row) if deserialize else row

    async def upsert_memories(
        self, memories: list[UserMemory], deserialize: bool | None = True, preserve_updated_at: bool = False
    ) -> list[UserMemory | Json]:
        """Store many memories."""
        rows = await self._write(self._stores.memories.upsert_many(memories, keep_updated_at=preserve_updated_at))
        return [UserMemory.from_dict(row) if deserialize else row for row in rows]

    async def get_metrics(
        self, starting_date: date | None = None, ending_date: date | None = None, user_id: str | None = None
    ) -> tuple[list[Json], int | None]:
        """The figures of days, as they were calculated last; of a user, or with ``""`` of nobody."""
        return await self._run(self._stores.metrics.find(starting_date, ending_date, user_id))

    async def calculate_metrics(self) -> list[Json] | None:
        """Calculate the figures of all days that are not complete."""
        return await self._run(self._stores.metrics.calculate())
