"""Strands' memory over Annals: what is searched, what is added, and messages that are kept as they were said."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import AnnalsError
from annals_client.integrations.strands.messages import to_fields
from annals_client.integrations.strands.repository import SPACE
from annals_client.integrations.support import Clients, Session, Sessions, framework
from annals_client.models import Hit
from annals_client.resources.memory import Question

with framework("strands"):
    from strands.memory.types import AddMessagesContext, MemoryEntry, MemoryStore, Metadata, SearchOptions
    from strands.types.content import Message
    from strands.types.session import SessionMessage

if TYPE_CHECKING:
    from strands.memory.extraction.types import ExtractionConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_RESULTS = 3
"""How many results there are where nobody says it; Strands' own default."""


class AnnalsMemoryStore(MemoryStore):
    """A memory for ``MemoryManager(stores=[…])``: searched by meaning and by word, and written once.

    ``search`` finds what was added, and all that was said in the sessions of the memory space, those of
    AnnalsSessionManager too. What ``add`` is given twice is there once. Messages of ``add_messages`` are those of a
    conversation, one for each run of an agent; a batch that is sent again adds none.

    Parameters
    ----------
    name, description, max_search_results, writable, extraction : as of Strands' MemoryStoreConfig
    client : an Annals or AsyncAnnals to be used instead of one of ``url`` and ``key``
    url, key : where Annals answers, and the key; else ``ANNALS_URL`` and ``ANNALS_KEY``
    user_id : whose memories they are; without it, those of the memory space are searched, whoever's they are
    memory_space_id : where they are
    min_score : from 0 to 1, below which nothing is found
    """

    def __init__(
        self,
        name: str,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = SPACE,
        description: str | None = None,
        max_search_results: int | None = None,
        min_score: float | None = None,
        writable: bool = False,
        extraction: ExtractionConfig | bool | None = None,
    ) -> None:
        if max_search_results is not None and max_search_results < 1:
            raise ValueError("max_search_results must be at least 1")
        self.name = name
        self.description = description
        self.max_search_results = max_search_results
        self.writable = writable
        self.extraction = extraction
        self._clients = Clients(client, url=url, key=key)
        self._sessions = Sessions(self._clients)
        self._user_id = user_id
        self._space = memory_space_id
        self._min_score = min_score
        self._run_id = uuid4().hex

    def close(self) -> None:
        """Close the connections that were opened here."""
        self._clients.close()

    async def initialize(self) -> None:
        """Begin a run: the numbers of its messages begin again, so they are told from those of other runs."""
        self._run_id = uuid4().hex

    async def search(self, query: str, options: SearchOptions | None = None) -> list[MemoryEntry]:
        """What fits the query, the best first. Raises ValueError for a maximum below 1."""
        wanted = (options or {}).get("max_search_results")
        if wanted is not None and wanted < 1:
            raise ValueError("max_search_results must be at least 1")
        limit = wanted or self.max_search_results or DEFAULT_RESULTS
        return [_entry(hit) for hit in await self._run("searched", self._search, query, limit)]

    async def add(self, content: str, metadata: Metadata | None = None) -> str:
        """Keep a text; the same one again changes only its metadata. Gives its memory's id."""
        self._require_writable()
        if not content.strip():
            raise ValueError("content must not be empty")
        return await self._run("written", self._add, content, metadata)

    async def add_messages(self, messages: list[Message], context: AddMessagesContext | None = None) -> list[str]:
        """Keep messages as they were said, each once: by the run and its number in it. Gives their ids."""
        self._require_writable()
        numbers = context.sequence_numbers if context else None
        if numbers is not None and len(numbers) != len(messages):
            raise ValueError("sequence_numbers must be one for each message")
        names = [f"{self._run_id}/{number}" for number in numbers] if numbers is not None else [None] * len(messages)
        return await self._run("written", self._append, messages, names) if messages else []

    async def _run(self, what: str, act: Callable[..., T], *args: Any) -> T:
        """Do something in a thread; a failure is logged, since Strands goes on without the store."""
        try:
            return await asyncio.to_thread(act, *args)
        except AnnalsError as failure:
            log.error("The memory store %s could not be %s: %s", self.name, what, failure)
            raise

    def _require_writable(self) -> None:
        if not self.writable:
            raise ValueError(f"The memory store {self.name} is not writable: make it with writable=True")

    def _search(self, query: str, limit: int) -> list[Hit]:
        question: Question = {"memory_space_id": self._space, "limit": limit}
        if self._user_id:
            question["user_id"] = self._user_id
        if self._min_score is not None:
            question["min_score"] = self._min_score
        return self._clients.sync.memory.search(query, **question)

    def _add(self, content: str, metadata: Metadata | None) -> str:
        memory = self._clients.sync.memories.put(
            f"strands/{sha256(content.encode()).hexdigest()}",
            content,
            memory_space_id=self._space,
            user_id=self._user_id,
            agent_id=None if self._user_id else self.name,
            metadata=_json(metadata or {}),
        )
        return memory.memory_id

    def _append(self, messages: list[Message], names: list[str | None]) -> list[str]:
        agent_id = None if self._user_id else self.name
        session = Session(f"memory/{self.name}/{self._run_id}", self._user_id, self._space, agent_id)
        return self._sessions.use(
            session, lambda annals, conversation: _append_all(annals, conversation, messages, names)
        )


def _append_all(annals: Annals, conversation: str, messages: list[Message], names: list[str | None]) -> list[str]:
    ids = []
    for message, name in zip(messages, names, strict=True):
        fields = to_fields(annals, SessionMessage.from_message(message, 0))
        for volatile in ("timestamp", "metadata"):  # of the moment, and not the same when it is sent again
            fields.pop(volatile, None)
        appended = annals.messages.append(conversation, external_id=name, **fields)
        ids.append(appended.messages[0].message_id)
    return ids


def _entry(hit: Hit) -> MemoryEntry:
    found = {"memory_id": hit.memory_id, "score": hit.score, "role": hit.role, "created_at": hit.created_at.isoformat()}
    if hit.conversation_ref is not None:
        found |= {
            "conversation_id": hit.conversation_ref.conversation_id,
            "message_ids": hit.conversation_ref.message_ids,
        }
    own = {name: value for name, value in found.items() if value is not None}
    return MemoryEntry(content=hit.content, metadata={**hit.metadata, **own})


def _json(metadata: Metadata) -> dict[str, Any]:
    """Metadata as JSON, whatever a caller put into it: what is none, such as a time, as its text."""
    decoded: dict[str, Any] = json.loads(json.dumps(metadata, default=str))
    return decoded
