"""The messages of a chat, as ``message_history=`` takes them."""

from __future__ import annotations

from collections.abc import Sequence

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.histories import Histories
from annals_client.integrations.pydantic_ai.rows import messages_of, rows_of
from annals_client.integrations.support import Clients, Session, framework

with framework("pydantic-ai"):
    from pydantic_ai.messages import ModelMessage


class AnnalsMessageHistory:
    """The messages of one chat: loaded before a run, and appended after it.

    A message is known by its contents, its run and its times: appended twice, by a retry or with all that was said
    before, it is stored once. Threads, event loops and processes may share a chat.

    Parameters
    ----------
    session_id : the chat's id
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id, memory_space_id : whose chat it is, and where; the same id of two users is two chats
    """

    def __init__(
        self,
        session_id: str,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str | None = None,
    ) -> None:
        self._histories = Histories(Clients(client, url=url, key=key))
        self._session = Session(session_id, user_id=user_id, memory_space_id=memory_space_id)

    def load(self, limit: int | None = None) -> list[ModelMessage]:
        """All messages, or the newest ``limit``; none where there is no such chat. Raises AnnalsError."""
        return messages_of(self._histories.read(self._session, limit))

    async def aload(self, limit: int | None = None) -> list[ModelMessage]:
        """``load`` for asyncio."""
        return messages_of(await self._histories.aread(self._session, limit))

    def append(self, messages: Sequence[ModelMessage]) -> None:
        """Add messages; those that are stored already come first. Raises AnnalsError."""
        self._histories.append(self._session, rows_of(messages))

    async def aappend(self, messages: Sequence[ModelMessage]) -> None:
        """``append`` for asyncio."""
        await self._histories.aappend(self._session, rows_of(messages))

    def replace(self, messages: Sequence[ModelMessage]) -> None:
        """Have the history be these messages, after it was shortened or summarised, for example. Raises AnnalsError.

        What they begin with, and is stored, stays; the others are taken back by a rewind, and the new ones appended.
        """
        self._histories.replace(self._session, rows_of(messages))

    async def areplace(self, messages: Sequence[ModelMessage]) -> None:
        """``replace`` for asyncio."""
        await self._histories.areplace(self._session, rows_of(messages))

    def clear(self) -> None:
        """Take back all messages; the ledger keeps them. Raises AnnalsError."""
        self.replace([])

    async def aclear(self) -> None:
        """``clear`` for asyncio."""
        await self.areplace([])

    def delete(self) -> None:
        """Erase the chat. Its id is free for a new one. Raises AnnalsError."""
        self._histories.erase(self._session)

    async def adelete(self) -> None:
        """``delete`` for asyncio."""
        await self._histories.aerase(self._session)
