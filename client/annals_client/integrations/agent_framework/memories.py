"""The context provider: recalls before a run, and remembers after it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar

from agent_framework import AgentSession, ContextProvider, Message, SessionContext, SupportsAgentRun

from annals_client.client import Annals, AsyncAnnals
from annals_client.filters import MemoryFilter
from annals_client.formats.agent_framework import Fields
from annals_client.integrations.agent_framework.history import AnnalsHistoryProvider
from annals_client.integrations.agent_framework_base.recall import (
    CONTEXT_PROMPT,
    REMEMBERED_ROLES,
    TOP_K,
    Recall,
)
from annals_client.integrations.agent_framework_base.scope import APPLICATION, Scope
from annals_client.integrations.agent_framework_base.transcripts import Transcripts
from annals_client.integrations.support import Clients, ClosesClients

logger = logging.getLogger(__name__)


class AnnalsContextProvider(ClosesClients, ContextProvider):
    """Memories beyond the session: recalled before a run, as one user's message, and stored after it.

    What is stored belongs to the storage scope (``application_id``, ``agent_id``, ``user_id``), what is recalled to the
    retrieval scope (``search_*``); that never follows from the storage scope, and without it nothing is recalled. An
    agent's memories are those of all its users.

    Beside an ``AnnalsHistoryProvider`` of the same storage scope that stores inputs and outputs, nothing is stored
    twice: its messages are the memories.

    Parameters
    ----------
    source_id : which of several providers of an agent
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    application_id, agent_id, user_id : whose the memories are that are stored; the application is the memory space
    search_application_id, search_agent_id, search_user_id : whose memories are recalled
    top_k : how many memories are recalled, at most
    min_score : how good a memory has to be, from 0 to 1
    context_prompt : what stands before them
    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "annals_memory"
    DEFAULT_CONTEXT_PROMPT: ClassVar[str] = CONTEXT_PROMPT

    def __init__(
        self,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        application_id: str | None = None,
        agent_id: str | None = None,
        user_id: str | None = None,
        search_application_id: str | None = None,
        search_agent_id: str | None = None,
        search_user_id: str | None = None,
        top_k: int = TOP_K,
        min_score: float = 0.0,
        context_prompt: str | None = None,
    ) -> None:
        super().__init__(source_id)
        self.context_prompt = context_prompt or self.DEFAULT_CONTEXT_PROMPT
        self._clients = Clients(client, url=url, key=key)
        self._has_owner = bool(application_id or agent_id or user_id)
        self._scope = Scope(
            source_id, AnnalsHistoryProvider.DEFAULT_SOURCE_ID, application_id or APPLICATION, agent_id, user_id
        )
        self._transcripts = Transcripts(self._clients, self._scope)
        self._recall = Recall(search_application_id or self._scope.application_id, top_k, min_score)
        self._searches = _searches(search_application_id, search_agent_id, search_user_id)
        self._has_warned = False

    async def before_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Add what is remembered to the context of a run.

        Where the search does not answer, that is logged, and the run goes on without memories.

        Raises
        ------
        ValueError : the provider has no storage scope
        """
        self._require_owner()
        if not self._searches:
            self._warn()
            return
        asked = [message.text for message in context.input_messages]
        shown = [message.text for message in context.get_messages(include_input=True)]
        prompt = await self._recall.prompt(
            self._clients, self._searches, asked, shown=shown, heading=self.context_prompt
        )
        if prompt is not None:
            context.extend_messages(self, [Message("user", [prompt])])

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Store what a user, the system and the model said.

        Raises
        ------
        ValueError : the provider has no storage scope
        """
        self._require_owner()
        if _is_in_history(agent, self._scope):
            return
        made = context.response.messages if context.response else []
        await self._transcripts.add(context.session_id, _words_of(context.input_messages), _words_of(made))

    def _require_owner(self) -> None:
        if not self._has_owner:
            raise ValueError(
                "At least one of application_id, agent_id and user_id is required: whose memories these are"
            )

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Nothing is recalled: set search_user_id, search_agent_id or search_application_id of %s",
                type(self).__name__,
            )


def _searches(application_id: str | None, agent_id: str | None, user_id: str | None) -> list[MemoryFilter]:
    """The filters of the searches: a user's memories and an agent's are searched for apart, or else all."""
    searches: list[MemoryFilter] = []
    if user_id:
        searches.append({"user_id": user_id})
    if agent_id:
        searches.append({"agent_id": agent_id})
    return searches or ([{}] if application_id else [])


def _is_in_history(agent: Any, scope: Scope) -> bool:
    """Whether a history provider of an agent stores what is said where it is to be remembered."""
    return any(
        isinstance(provider, AnnalsHistoryProvider) and provider.remembers(scope)
        for provider in getattr(agent, "context_providers", ())
    )


def _words_of(messages: Iterable[Message]) -> list[Fields]:
    """What was said in messages, without all else that they hold."""
    return [
        Message(message.role, [message.text], author_name=message.author_name, message_id=message.message_id).to_dict()
        for message in messages
        if message.role in REMEMBERED_ROLES and message.text.strip()
    ]
