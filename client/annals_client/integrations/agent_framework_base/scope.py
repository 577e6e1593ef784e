"""Whose a session is: the application's, an agent's, a user's."""

from __future__ import annotations

import json
from dataclasses import dataclass

from annals_client.integrations.support import Session

APPLICATION = "agent-framework"
"""The memory space of who names none."""


@dataclass(frozen=True)
class Scope:
    """Where the sessions of a provider are: two providers of different scopes never see each other's.

    Parameters
    ----------
    source_id : which of several providers of a session
    default_source_id : the source whose sessions have their ids as they are
    application_id : the memory space
    """

    source_id: str
    default_source_id: str
    application_id: str = APPLICATION
    agent_id: str | None = None
    user_id: str | None = None

    def session(self, session_id: str | None) -> Session:
        """The session of this id. Raises ValueError for what is no id."""
        if not isinstance(session_id, str) or not session_id:
            raise ValueError("session_id must be a non-empty string")
        return Session(
            self._name_of(session_id),
            user_id=self.user_id,
            memory_space_id=self.application_id,
            agent_id=self.agent_id,
        )

    def labels(self) -> list[str]:
        """The namespace of documents of this scope, within its memory space."""
        user = [] if self.user_id is None else ["user", self.user_id]
        return [*user, *([] if self.agent_id is None else ["agent", self.agent_id])]

    def find_id(self, name: str | None) -> str | None:
        """The session id that a session's name says; None where it is of another source or agent."""
        if name is None:
            return None
        if not name.startswith("["):
            return name if self._is_plain else None
        try:
            source_id, agent_id, session_id = json.loads(name)
        except ValueError:  # a session of something else
            return None
        return session_id if (source_id, agent_id) == (self.source_id, self.agent_id) else None

    def has_owner_of(self, other: Scope) -> bool:
        """Whether what is stored here belongs to the same application, agent and user as in another scope."""
        mine, theirs = ((each.application_id, each.agent_id, each.user_id) for each in (self, other))
        return mine == theirs

    @property
    def _is_plain(self) -> bool:
        return self.source_id == self.default_source_id and self.agent_id is None

    def _name_of(self, session_id: str) -> str:
        if self._is_plain and not session_id.startswith("["):
            return session_id
        return json.dumps([self.source_id, self.agent_id, session_id], ensure_ascii=False, separators=(",", ":"))
