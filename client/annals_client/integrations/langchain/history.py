"""``AnnalsChatMessageHistory``: a session's messages in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from annals_client.calls import Steps
from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.langchain.messages import append_messages, from_ledger, restore, to_ledger
from annals_client.integrations.support import Clients, Session, Sessions
from annals_client.listing import collect_items
from annals_client.resources.messages import Messages

AGENT = "langchain"
"""The agent of sessions without a user."""


class AnnalsChatMessageHistory(BaseChatMessageHistory):
    """The messages of a session, which is a conversation: each is one message of the ledger, and comes back equal.

    It holds no messages itself: what another process adds is read by this one. ``clear`` takes the messages back; the
    ledger keeps them, marked as rewound.

    Parameters
    ----------
    session_id : any text; the same one of two users is two sessions
    client : an Annals or an AsyncAnnals; either serves both the synchronous and the asynchronous methods
    url, key : as of Annals, where there is no client; else ``ANNALS_URL`` and ``ANNALS_KEY``
    user_id : whose session it is: it is erased and exported with that user
    agent_id : who answers
    memory_space_id : the memory space
    run_id : the run of what is added here
    history_size : how many of the newest messages are returned; None for all. The ledger keeps all
    metadata : of the conversation, where it is made

    Raises
    ------
    AnnalsError : what is not stored, or cannot be read
    TypeError : a message that holds what cannot be stored, such as an object as an artifact
    ValueError : ``session_id`` is empty, or ``history_size`` is negative
    """

    def __init__(
        self,
        session_id: str,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        memory_space_id: str | None = None,
        run_id: str | None = None,
        history_size: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not session_id:
            raise ValueError("session_id must name a session")
        if history_size is not None and history_size < 0:
            raise ValueError(f"history_size must be 0 or more, or None for all, not {history_size}")
        self.session_id = session_id
        self.history_size = history_size
        self._run_id = {"run_id": run_id} if run_id else {}
        self._clients = Clients(client, url=url, key=key)
        self._sessions = Sessions(self._clients)
        agent = agent_id or (None if user_id else AGENT)
        self._session = Session(session_id, user_id, memory_space_id, agent, tuple((metadata or {}).items()))

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages, the oldest first; the newest ``history_size`` of them where that is given."""
        return self._sessions.find(self._session, lambda annals, of: annals.sender.run(self._read(of))) or []

    @messages.setter
    def messages(self, messages: list[BaseMessage]) -> None:
        raise AttributeError("What is stored is changed by add_messages and clear")

    async def aget_messages(self) -> list[BaseMessage]:
        """``messages`` for asyncio."""
        return await self._sessions.afind(self._session, lambda annals, of: annals.sender.run(self._read(of))) or []

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages at the end, all of them or none, unless they are more than one entry holds (300 KB)."""
        new = [to_ledger(message) for message in messages]
        if new:
            self._sessions.use(
                self._session, lambda annals, of: annals.sender.run(append_messages(of, new, self._run_id))
            )

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """``add_messages`` for asyncio."""
        new = [to_ledger(message) for message in messages]
        if new:
            await self._sessions.ause(
                self._session, lambda annals, of: annals.sender.run(append_messages(of, new, self._run_id))
            )

    def clear(self) -> None:
        """Take all messages back: the session begins anew."""
        self._sessions.find(self._session, lambda annals, of: annals.conversations.clear_messages(of))

    async def aclear(self) -> None:
        """``clear`` for asyncio."""
        await self._sessions.afind(self._session, lambda annals, of: annals.conversations.clear_messages(of))

    def close(self) -> None:
        """Close the connections that were made here, but for those of event loops; see ``aclose``."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections that were made here, but for those of other event loops."""
        await self._clients.aclose()

    def _read(self, conversation_id: str) -> Steps[list[BaseMessage]]:
        if self.history_size is None:
            stored = yield from collect_items(Messages.list.walk(conversation_id, page_size=500, include_archived=True))
        elif self.history_size == 0:
            stored = []
        else:
            stored = yield from Messages.latest.steps(None, conversation_id, self.history_size, include_archived=True)
        whole = yield from restore(conversation_id, stored)
        return [from_ledger(message) for message in whole]
