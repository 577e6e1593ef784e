"""The session store: snapshots of sessions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from agent_framework import AgentSession, SessionStore

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.agent_framework_base.records import Record, Records
from annals_client.integrations.agent_framework_base.scope import APPLICATION, Scope
from annals_client.integrations.support import Clients, ClosesClients

COLLECTION = "agent-framework-sessions"
SNAPSHOT_VERSION = "1.0"


class AnnalsSessionStore(ClosesClients, SessionStore):
    """Sessions with their states, as documents.

    A session that was read, and changed by somebody else since, is not overwritten: ``set`` raises. One that was not
    read from here replaces what is there.

    Parameters
    ----------
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    application_id : the memory space
    agent_id, user_id : whose sessions these are; they go with their user when that is erased
    ttl_s : for how many seconds a session is kept after its last change; for good without
    last_writer_wins : whether a session that was changed since it was read is overwritten
    """

    def __init__(
        self,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        application_id: str = APPLICATION,
        agent_id: str | None = None,
        user_id: str | None = None,
        ttl_s: int | None = None,
        last_writer_wins: bool = False,
    ) -> None:
        super().__init__()
        self._clients = Clients(client, url=url, key=key)
        scope = Scope(COLLECTION, COLLECTION, application_id, agent_id, user_id)
        self._records = Records(self._clients, scope, COLLECTION, ttl_s=ttl_s)
        self._last_writer_wins = last_writer_wins
        self._read: WeakKeyDictionary[AgentSession, tuple[str, Record]] = WeakKeyDictionary()

    async def get(self, session_id: str) -> AgentSession | None:
        """A session as it is stored, or None.

        Raises
        ------
        ValueError : ``session_id`` is empty; the snapshot is of a version that is not known, or cannot be restored
        """
        self.validate_session_id(session_id)
        record = await self._records.get(session_id)
        if record is None:
            return None
        snapshot: dict[str, Any] = record.value
        if snapshot.get("version") != SNAPSHOT_VERSION:
            found, known = snapshot.get("version"), SNAPSHOT_VERSION
            raise ValueError(f"The snapshot of the session {session_id!r} is of version {found!r}, not {known!r}")
        session = AgentSession.from_dict(snapshot)
        self._read[session] = (session_id, replace(record, value=None))
        return session

    async def set(self, session_id: str, session: AgentSession) -> None:
        """Store a session.

        Raises
        ------
        ValueError : ``session_id`` is empty; the state holds not-a-number or infinity
        TypeError : the state holds what is no JSON, for which no type is registered
        PreconditionFailed : the session was changed, or deleted, since it was read
        """
        self.validate_session_id(session_id)
        if type(session) is not AgentSession:
            raise TypeError(f"AnnalsSessionStore takes AgentSession instances only, not a {type(session).__name__}")
        snapshot = {"version": SNAPSHOT_VERSION, **session.to_dict()}
        if isinstance(session.service_session_id, Mapping):
            snapshot["service_session_id"] = dict(session.service_session_id)
        _require_json(snapshot["state"], "state")
        read_id, record = self._read.get(session, (session_id, None))
        replaces = None if self._last_writer_wins or read_id != session_id else record
        stored = await self._records.put(session_id, snapshot, replaces=replaces)
        self._read[session] = (session_id, replace(stored, value=None))

    async def delete(self, session_id: str) -> None:
        """Delete a session, if it is there.

        Raises
        ------
        ValueError : ``session_id`` is empty
        """
        self.validate_session_id(session_id)
        await self._records.delete(session_id)


def _require_json(value: Any, path: str) -> None:
    """Raise TypeError or ValueError for a value that could not be restored, which names where it is."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"The session's {path} must be a finite float, not {value}")
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        parts = ((f"{path}.{name}", part) for name, part in value.items())
    elif isinstance(value, list):
        parts = ((f"{path}[{place}]", part) for place, part in enumerate(value))
    elif not isinstance(value, str | int | float | None):
        raise TypeError(f"The session's {path} is a {type(value).__name__}: call register_state_type() for it")
    for where, part in parts:
        _require_json(part, where)
