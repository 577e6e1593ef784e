"""The history provider."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, ClassVar

from agent_framework import AgentSession, HistoryProvider, Message, SessionContext, SupportsAgentRun

from annals_client.client import Annals, AsyncAnnals
from annals_client.formats.agent_framework import Fields
from annals_client.integrations.agent_framework_base.messages import is_excluded
from annals_client.integrations.agent_framework_base.scope import APPLICATION, Scope
from annals_client.integrations.agent_framework_base.transcripts import Transcripts
from annals_client.integrations.support import Clients, ClosesClients

_run: ContextVar[SessionContext | None] = ContextVar("annals_agent_framework_run", default=None)
"""The run whose messages are being stored: it tells what it was given from what it made."""


class AnnalsHistoryProvider(ClosesClients, HistoryProvider):
    """The history of sessions, in the ledger.

    A session is a conversation. What callers hand on again of what was said before is stored once, and what the model
    answers is stored always, also where it says the same again.

    Parameters
    ----------
    source_id : which of several providers of an agent; each has a history of its own
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    application_id : the memory space
    agent_id, user_id : whose sessions these are; the same session id of two users is two sessions
    max_messages : how many of the newest messages are returned; the ledger keeps all. With 0, nothing is stored
    skip_excluded : whether to leave out what compaction excluded
    load_messages, store_inputs, store_context_messages, store_context_from, store_outputs : as of HistoryProvider

    Raises
    ------
    ValueError : ``max_messages`` is negative
    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "annals"

    def __init__(
        self,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        application_id: str = APPLICATION,
        agent_id: str | None = None,
        user_id: str | None = None,
        max_messages: int | None = None,
        skip_excluded: bool = False,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
    ) -> None:
        super().__init__(
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        if max_messages is not None and max_messages < 0:
            raise ValueError(f"max_messages must be 0 or more, or None for all, not {max_messages}")
        self.max_messages = max_messages
        self.skip_excluded = skip_excluded
        self._clients = Clients(client, url=url, key=key)
        self._scope = Scope(source_id, self.DEFAULT_SOURCE_ID, application_id, agent_id, user_id)
        self._transcripts = Transcripts(self._clients, self._scope)

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """The messages of a session, the oldest first; none of a session that nothing was said in.

        Raises
        ------
        ValueError : ``session_id`` is empty
        """
        if self.max_messages == 0:
            return []
        is_wanted = _is_kept if self.skip_excluded else None
        return [
            Message.from_dict(fields)
            for fields in await self._transcripts.read(session_id, self.max_messages, is_wanted=is_wanted)
        ]

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Store messages, but for those at the beginning that are stored already.

        Raises
        ------
        ValueError : ``session_id`` is empty
        """
        if self.max_messages == 0:
            return
        run = _run.get()
        if run is None:
            await self._transcripts.add(session_id, [message.to_dict() for message in messages])
            return
        was_given = {id(message) for message in run.get_messages(include_input=True)}
        given = [message.to_dict() for message in messages if id(message) in was_given]
        made = [message.to_dict() for message in messages if id(message) not in was_given]
        await self._transcripts.add(session_id, given, made)

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Store what a run was given, and what it made."""
        token = _run.set(context)
        try:
            await super().after_run(agent=agent, session=session, context=context, state=state)
        finally:
            _run.reset(token)

    async def clear(self, session_id: str | None) -> None:
        """Begin the session anew: nothing that was said in it is returned. The ledger keeps it, marked as rewound."""
        await self._transcripts.clear(session_id)

    async def list_sessions(self) -> list[str]:
        """The ids of the sessions, in order. One that was begun a moment ago may be missing still."""
        return await self._transcripts.list_ids()

    def remembers(self, scope: Scope) -> bool:
        """Whether all that is said in a run is stored, for the application, the agent and the user of a scope."""
        stores_all = self.store_inputs and self.store_outputs and self.max_messages != 0
        return stores_all and self._scope.has_owner_of(scope)


def _is_kept(fields: Fields) -> bool:
    return not is_excluded(fields)
