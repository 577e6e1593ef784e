"""The session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import AnnalsError, PreconditionFailed
from annals_client.integrations.openai_agents.items import Item, batches, to_item, to_message
from annals_client.integrations.support import Clients, ClosesClients, Session, Sessions, framework
from annals_client.models import Appended, Rewound
from annals_client.wire import as_json

with framework("openai-agents"):
    from agents import SessionSettings, TResponseInputItem
    from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

T = TypeVar("T")
Act = Callable[[AsyncAnnals, str], Awaitable[T]]
"""What is done with the conversation of an id."""

logger = logging.getLogger("annals_client.integrations")

SPACE = "openai-agents"
"""The memory space of sessions that name none."""

AGENT = "agent"
"""The agent of sessions that name none."""

PAGE = 1000


class AnnalsSession(ClosesClients):
    """A session's items, in the ledger. It implements the protocol ``agents.memory.Session``.

    A session is a conversation, which the first items make. Items come back equal; what is popped or cleared is
    rewound, and the ledger keeps it. Several sessions of the same id, in threads, event loops and processes, are one.

    Parameters
    ----------
    session_id : which session; the same id of two users is two sessions
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    user_id, agent_id : who takes part
    memory_space_id : where its messages are searched and recalled
    session_settings : as of the framework's sessions; ``limit`` is how many items ``get_items`` gives by itself

    Raises
    ------
    annals_client.AnnalsError : from each of its methods; a write that was not answered is sent again, and done once
    """

    session_settings: SessionSettings | None

    def __init__(
        self,
        session_id: str,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = AGENT,
        memory_space_id: str | None = SPACE,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.session_settings = coerce_session_settings(
            SessionSettings() if session_settings is None else session_settings
        )
        self._clients = Clients(client, url=url, key=key)
        self._sessions = Sessions(self._clients)
        self._session = Session(session_id, user_id, memory_space_id, agent_id)
        self._ends = _Ends()

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest items, oldest first: ``limit`` of them, or as many as the settings say, or all.

        Messages that others redacted are left out, and counted in no limit.
        """
        wanted = resolve_session_limit(limit, self.session_settings)
        if wanted is not None and wanted <= 0:
            return []

        async def read(annals: AsyncAnnals, conversation_id: str) -> list[Item]:
            return await _read_newest(annals, conversation_id, wanted, self._ends)

        found = await self._sessions.afind(self._session, read)
        return cast("list[TResponseInputItem]", found or [])

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items. They are stored together, or none of them is.

        Who is cancelled meanwhile is so once they are stored, or refused.
        """
        new = [as_json(dict(cast("Mapping[str, Any]", item)), "items") for item in items]
        if new:
            append: Act[None] = lambda annals, name: _append(annals, name, new, self._ends)  # noqa: E731
            await _to_its_end(self._sessions.ause(self._session, append))

    async def pop_item(self) -> TResponseInputItem | None:
        """Take back the newest item, and return it; None where there is none. Two at once take two items."""
        pop: Act[Item | None] = lambda annals, name: _pop(annals, name, self._ends)  # noqa: E731
        found = await _to_its_end(self._sessions.afind(self._session, pop))
        return cast("TResponseInputItem | None", found)

    async def clear_session(self) -> None:
        """Take back all items. The session goes on empty."""

        async def clear(annals: AsyncAnnals, conversation_id: str) -> None:
            await annals.conversations.clear_messages(conversation_id)

        await _to_its_end(self._sessions.afind(self._session, clear))

    async def delete_session(self) -> None:
        """Erase the session with all that was ever said in it. Its id is free for a new one."""

        async def erase(annals: AsyncAnnals, conversation_id: str) -> None:
            await annals.conversations.erase(conversation_id)

        await _to_its_end(self._sessions.afind(self._session, erase))
        self._sessions.forget(self._session)

    def close(self) -> None:
        """Close the client that was made here, but for its connections of event loops; see ``aclose``."""
        self._clients.close()


class _Ends:
    """Where conversations end, as far as is known. What is written there costs a quarter: it needs no marker."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def keep(self, conversation_id: str, seq: int | None) -> None:
        """Note the seq of the newest record."""
        if seq is not None:
            self._known = {conversation_id: seq}

    async def write(self, conversation_id: str, write: Callable[[int | None], Awaitable[T]]) -> T:
        """Write where the conversation ends; if it was gone on with meanwhile, wherever it ends now."""
        known = self._known.pop(conversation_id, None)
        if known is not None:
            with suppress(PreconditionFailed):
                return await write(known)
        return await write(None)


async def _read_newest(annals: AsyncAnnals, conversation_id: str, limit: int | None, ends: _Ends) -> list[Item]:
    """The items of the newest messages, the oldest first."""
    items: list[Item] = []
    page_size = PAGE if limit is None else min(limit, PAGE)
    # The preamble, which a conversation may have, is before all messages, at seq 0.
    listing = annals.messages.list(conversation_id, order="desc", after=0, page_size=page_size)
    async for page in listing.pages():
        ends.keep(conversation_id, page.tail_seq)
        for message in page.items:
            if (item := await to_item(annals, conversation_id, message)) is not None:
                items.append(item)
            if len(items) == limit:
                return items[::-1]
    return items[::-1]


async def _pop(annals: AsyncAnnals, conversation_id: str, ends: _Ends) -> Item | None:
    async def rewind(if_match: int | None) -> Rewound:
        return await annals.conversations.rewind(conversation_id, messages=1, if_match=if_match)

    while (done := await ends.write(conversation_id, rewind)).removed:
        ends.keep(conversation_id, done.seq)
        if (item := await to_item(annals, conversation_id, done.removed[-1])) is not None:
            return item
    return None


async def _append(annals: AsyncAnnals, conversation_id: str, items: Sequence[Item], ends: _Ends) -> None:
    """Append items, in as many entries as they need; where one fails, those before it are taken back."""
    done: list[Appended] = []
    for batch in batches(items):
        messages = [await to_message(annals, item) for item in batch]

        async def append(if_match: int | None, messages: list[dict[str, Any]] = messages) -> Appended:
            return await annals.messages.append_many(conversation_id, messages, if_match=if_match)

        try:
            done.append(await ends.write(conversation_id, append))
        except AnnalsError:
            await _take_back(annals, conversation_id, done)
            raise
        ends.keep(conversation_id, done[-1].tail_seq)


async def _take_back(annals: AsyncAnnals, conversation_id: str, done: Sequence[Appended]) -> None:
    """Take back the items that were stored before others of the same call were refused."""
    if not done:
        return
    before, last = done[0].messages[0].seq - 1, done[-1].tail_seq
    try:
        await annals.conversations.rewind(conversation_id, to_seq=before, if_match=last)
    except PreconditionFailed:
        logger.error("Items of a call that failed stay in the session: others went on with it meanwhile")


async def _to_its_end(write: Coroutine[Any, Any, T]) -> T:
    """Do a write to its end, even if whoever waits for it is cancelled: nobody could tell what became of it."""
    task = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled() and (failure := task.exception()):
            logger.error("A session's write failed while its caller was cancelled: %s", failure)
        raise
